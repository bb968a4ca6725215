// The file format of a patch: head and groups, every length declared before it is used, and bounded. Groups stand alone, so
// that applying can begin at any of them. docs/internals/delta-patch.md describes it. Pure: knows no image and no device.

import { brotliCompressSync, brotliDecompressSync, constants } from 'node:zlib';
import { OtadError } from '../agent/core/errors.ts';
import { type ByteSource, readRange } from './byte-source.ts';
import { ByteReader, ByteWriter, refusePatch } from './number-stream.ts';
import { type DifferenceBytes, differenceStreams } from './patch-difference.ts';
import { checksumOf } from './patch-operations.ts';
import { selfTestDigestBytes, zstdLevelMax } from './zstd.ts';

const magic = 'OTADPTCH';
const formatVersion = 1;
/** Magic 8, version 4, and of the head: bytes here 4, bytes unpacked 4, CRC-32 of them 4. */
const prefixBytes = 24;
const headBytesMax = 16 * 1024 * 1024;
const blocksMax = 2 ** 20;
const groupsMax = 2 ** 16;
const blockBytesMin = 4096;
const blockBytesMax = 1024 * 1024;
/** 2^43, 8 TiB, as in release documents. */
const imageBytesMax = 2 ** 43;
const nameBytesMax = 64;
const digestBytes = 32;
/** All streams of a group, unpacked: what applying holds in memory of them. */
export const groupBytesMax = 16 * 1024 * 1024;
/** A patch that unpacks to more than this many times its image is a bomb. */
const unpackedFactorMax = 4;
const unpackedSlackBytes = 1024 * 1024;

export interface ImageId {
  readonly lengthBytes: number;
  readonly sha256Hex: string;
}

/** How blocks are compressed again. */
export interface Recompression {
  readonly codec: 'zstd';
  readonly level: number;
  readonly blockBytes: number;
  /** The release of the library, in words. */
  readonly library: string;
  /** What the library makes of the self-test's input at this level. */
  readonly selfTestHex: string;
}

/** A compressed or stored block of the old image. All of them, unpacked, one after another, are the old space. */
export interface OldBlock {
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  readonly rawBytes: number;
  readonly isStored: boolean;
}

export const groupStreams = ['operations', 'checksums', ...differenceStreams] as const;
type GroupStream = (typeof groupStreams)[number];
export type GroupBytes = DifferenceBytes & Readonly<Record<GroupStream, Uint8Array>>;

export interface GroupEntry {
  /** Bytes of the new image that it makes. */
  readonly newBytes: number;
  readonly packedBytes: number;
  readonly checksum: number;
  /** In the order of `groupStreams`: bytes in the file, bytes unpacked. */
  readonly streams: readonly { readonly packedBytes: number; readonly rawBytes: number }[];
}

export interface PatchHead {
  readonly base: ImageId;
  readonly image: ImageId;
  readonly recompression: Recompression;
  /** In the order of the old image. */
  readonly oldBlocks: readonly OldBlock[];
  readonly groups: readonly GroupEntry[];
}

const pack = (bytes: Uint8Array): Buffer =>
  brotliCompressSync(bytes, {
    params: {
      [constants.BROTLI_PARAM_QUALITY]: 11,
      [constants.BROTLI_PARAM_LGWIN]: 22,
      [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length,
    },
  });

/** What packing does not shorten stays as it is: equal lengths say so. */
const packIfShorter = (raw: Buffer): Buffer => {
  const packed = pack(raw);
  return packed.length < raw.length ? packed : raw;
};

/** Exactly `rawBytes`, however much the bytes would grow to. */
const unpack = (bytes: Buffer, rawBytes: number, what: string): Buffer => {
  if (bytes.length === rawBytes) return bytes;
  try {
    const raw = brotliDecompressSync(bytes, { maxOutputLength: Math.max(1, rawBytes) });
    return raw.length === rawBytes ? raw : refusePatch(`${what} has another length than it says`);
  } catch (cause) {
    if (cause instanceof OtadError) throw cause;
    throw new OtadError('PATCH_MALFORMED', { reason: `${what} does not unpack` }, { cause });
  }
};

const writeImage = (writer: ByteWriter, { lengthBytes, sha256Hex }: ImageId): void => {
  writer.number(lengthBytes);
  writer.bytes(Buffer.from(sha256Hex, 'hex'));
};

/** By columns: alike things compress best side by side. */
const writeBlocks = (writer: ByteWriter, blocks: readonly OldBlock[]): void => {
  writer.number(blocks.length);
  let end = 0;
  for (const { offsetBytes, lengthBytes } of blocks) {
    writer.number(offsetBytes - end);
    end = offsetBytes + lengthBytes;
  }
  for (const { lengthBytes } of blocks) writer.number(lengthBytes);
  for (const { isStored, rawBytes } of blocks) writer.number(isStored ? 0 : rawBytes);
};

const encodeHead = ({ base, image, recompression, oldBlocks, groups }: PatchHead): Buffer => {
  const writer = new ByteWriter();
  writeImage(writer, base);
  writeImage(writer, image);
  const library = Buffer.from(recompression.library, 'latin1');
  writer.number(recompression.level);
  writer.number(recompression.blockBytes);
  writer.number(library.length);
  writer.bytes(library);
  writer.bytes(Buffer.from(recompression.selfTestHex, 'hex'));
  writeBlocks(writer, oldBlocks);
  writer.number(groups.length);
  for (const { newBytes, packedBytes, checksum, streams } of groups) {
    writer.number(newBytes);
    writer.number(packedBytes);
    writer.word(checksum);
    for (const stream of streams) {
      writer.number(stream.packedBytes);
      writer.number(stream.rawBytes);
    }
  }
  return writer.finish();
};

/** The group's bytes in the file and its entry in the head. */
export const packGroup = (newBytes: number, bytes: GroupBytes): { entry: GroupEntry; packed: Buffer } => {
  const pieces = groupStreams.map((name) => {
    const raw = Buffer.from(bytes[name].buffer, bytes[name].byteOffset, bytes[name].byteLength);
    return { packed: packIfShorter(raw), rawBytes: raw.length };
  });
  const packed = Buffer.concat(pieces.map((piece) => piece.packed));
  const streams = pieces.map((piece) => ({ packedBytes: piece.packed.length, rawBytes: piece.rawBytes }));
  return { entry: { newBytes, packedBytes: packed.length, checksum: checksumOf(packed), streams }, packed };
};

export const encodePatch = (head: PatchHead, packedGroups: readonly Uint8Array[]): Buffer => {
  const raw = encodeHead(head);
  const packed = packIfShorter(raw);
  const prefix = Buffer.alloc(prefixBytes);
  prefix.write(magic, 0, 'latin1');
  prefix.writeUInt32LE(formatVersion, 8);
  prefix.writeUInt32LE(packed.length, 12);
  prefix.writeUInt32LE(raw.length, 16);
  prefix.writeUInt32LE(checksumOf(packed), 20);
  return Buffer.concat([prefix, packed, ...packedGroups]);
};

const readImage = (reader: ByteReader): ImageId => ({
  lengthBytes: reader.number(imageBytesMax),
  sha256Hex: reader.bytes(digestBytes).toString('hex'),
});

const readRecompression = (reader: ByteReader): Recompression => {
  const level = reader.number(zstdLevelMax);
  const blockBytes = reader.number(blockBytesMax);
  if (level === 0 || blockBytes < blockBytesMin || !Number.isInteger(Math.log2(blockBytes)))
    return refusePatch('a level or block size that cannot be');
  const library = reader.bytes(reader.number(nameBytesMax)).toString('latin1');
  if (!/^[\x20-\x7e]+$/.test(library)) return refusePatch('the library has no name');
  return { codec: 'zstd', level, blockBytes, library, selfTestHex: reader.bytes(selfTestDigestBytes).toString('hex') };
};

const readBlocks = (reader: ByteReader, base: ImageId, blockBytes: number): readonly OldBlock[] => {
  const count = reader.number(blocksMax);
  if (count > reader.leftBytes) return refusePatch('more old blocks than there is room for');
  const gaps = Array.from({ length: count }, () => reader.number(imageBytesMax));
  const lengths = Array.from({ length: count }, () => reader.number(blockBytesMax));
  let end = 0;
  return gaps.map((gap, index) => {
    const lengthBytes = lengths[index] ?? 0;
    const rawWord = reader.number(blockBytes);
    const offsetBytes = end + gap;
    end = offsetBytes + lengthBytes;
    if (lengthBytes === 0 || end > base.lengthBytes) return refusePatch('an old block outside of the old image');
    return { offsetBytes, lengthBytes, rawBytes: rawWord === 0 ? lengthBytes : rawWord, isStored: rawWord === 0 };
  });
};

const readGroup = (reader: ByteReader): GroupEntry => {
  const newBytes = reader.number(imageBytesMax);
  const packedBytes = reader.number(groupBytesMax);
  const checksum = reader.word();
  const streams = groupStreams.map(() => ({
    packedBytes: reader.number(groupBytesMax),
    rawBytes: reader.number(groupBytesMax),
  }));
  const sum = (of: 'packedBytes' | 'rawBytes'): number => streams.reduce((total, stream) => total + stream[of], 0);
  if (newBytes === 0 || sum('packedBytes') !== packedBytes || sum('rawBytes') > groupBytesMax)
    return refusePatch('the lengths of a group cannot be');
  if (streams.some((stream) => stream.packedBytes > stream.rawBytes)) return refusePatch('a stream grew by packing');
  return { newBytes, packedBytes, checksum, streams };
};

const decodeHead = (raw: Uint8Array): PatchHead => {
  const reader = new ByteReader(raw);
  const base = readImage(reader);
  const image = readImage(reader);
  const recompression = readRecompression(reader);
  const oldBlocks = readBlocks(reader, base, recompression.blockBytes);
  const count = reader.number(groupsMax);
  const groups = Array.from({ length: count }, () => readGroup(reader));
  reader.end();
  if (groups.reduce((sum, { newBytes }) => sum + newBytes, 0) !== image.lengthBytes)
    return refusePatch('its groups do not add up to the image');
  const unpacked = groups.reduce(
    (sum, { streams }) => sum + streams.reduce((all, { rawBytes }) => all + rawBytes, 0),
    0,
  );
  if (unpacked > image.lengthBytes * unpackedFactorMax + unpackedSlackBytes)
    return refusePatch('it unpacks to much more than the image');
  return { base, image, recompression, oldBlocks, groups };
};

/** A patch whose head is read and checked. */
export interface OpenPatch {
  readonly head: PatchHead;
  /** The streams of the group with this number. */
  readGroup(index: number): Promise<GroupBytes>;
}

/** Throws PATCH_MALFORMED on anything but a whole patch of the documented form. */
export const openPatch = async (source: ByteSource): Promise<OpenPatch> => {
  const read = async (offset: number, length: number): Promise<Buffer> =>
    offset + length > source.lengthBytes
      ? refusePatch('it ends too early')
      : readRange(source, offset, length, 'a patch');
  const prefix = await read(0, prefixBytes);
  if (prefix.toString('latin1', 0, 8) !== magic) return refusePatch('no patch');
  if (prefix.readUInt32LE(8) !== formatVersion) return refusePatch(`format ${prefix.readUInt32LE(8)} is not known`);
  const [packedBytes, rawBytes] = [prefix.readUInt32LE(12), prefix.readUInt32LE(16)];
  if (packedBytes > headBytesMax || rawBytes > headBytesMax) return refusePatch('its head is too long');
  const packedHead = await read(prefixBytes, packedBytes);
  if (checksumOf(packedHead) !== prefix.readUInt32LE(20)) return refusePatch('its head is damaged');
  const head = decodeHead(unpack(packedHead, rawBytes, 'the head'));
  const offsets: number[] = [];
  let end = prefixBytes + packedBytes;
  for (const group of head.groups) {
    offsets.push(end);
    end += group.packedBytes;
  }
  if (end !== source.lengthBytes) return refusePatch('another length than its groups take');
  return {
    head,
    readGroup: async (index) => {
      const [entry, offset] = [head.groups[index], offsets[index]];
      if (entry === undefined || offset === undefined) return refusePatch('there is no such group');
      const packed = await read(offset, entry.packedBytes);
      if (checksumOf(packed) !== entry.checksum) return refusePatch('a group is damaged');
      let at = 0;
      const streams = groupStreams.map((name, place) => {
        const { packedBytes: length = 0, rawBytes: raw = 0 } = entry.streams[place] ?? {};
        at += length;
        const bytes = packed.subarray(at - length, at);
        return [name, unpack(bytes, raw, `the stream ${name}`)] as const;
      });
      return Object.fromEntries(streams) as unknown as GroupBytes;
    },
  };
};
