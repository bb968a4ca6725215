// The head of a patch: what it is for, how its blocks are compressed, where the old ones lie, and its groups. Numbers are bounded
// as they are read, and what cannot be is refused before anything is done with it. Pure.

import type { ImageId } from '../agent/core/ports.ts';
import { ByteReader, ByteWriter, refusePatch } from './number-stream.ts';
import { type DifferenceBytes, differenceStreams } from './patch-difference.ts';
import { selfTestDigestBytes, zstdLevelMax } from './zstd.ts';

/** 34 GB of blocks of 128 KiB. */
export const oldBlocksMax = 2 ** 18;
const groupsMax = 2 ** 12;
const blockBytesMin = 4096;
const blockBytesMax = 1024 * 1024;
/** 2^43, 8 TiB, as in release documents. */
const imageBytesMax = 2 ** 43;
const nameBytesMax = 64;
const digestBytes = 32;
/** Of the SHA-256 of a group as it stands in the file. */
export const groupDigestBytes = 16;
/** All streams of a group, packed or unpacked: what applying holds in memory of them, and what a cut may cost. */
export const groupBytesMax = 4 * 1024 * 1024;
/** A patch that unpacks to more than this many times its image is a bomb. */
const unpackedFactorMax = 4;
const unpackedSlackBytes = 1024 * 1024;

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
  /** First 16 bytes of the SHA-256 of its bytes in the file: whoever trusts the head can trust the group. */
  readonly digestHex: string;
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

export const encodeHead = ({ base, image, recompression, oldBlocks, groups }: PatchHead): Buffer => {
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
  for (const { newBytes, packedBytes, digestHex, streams } of groups) {
    writer.number(newBytes);
    writer.number(packedBytes);
    writer.bytes(Buffer.from(digestHex, 'hex'));
    for (const stream of streams) {
      writer.number(stream.packedBytes);
      writer.number(stream.rawBytes);
    }
  }
  return writer.finish();
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
  const count = reader.number(oldBlocksMax);
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
  const digestHex = reader.bytes(groupDigestBytes).toString('hex');
  const streams = groupStreams.map(() => ({
    packedBytes: reader.number(groupBytesMax),
    rawBytes: reader.number(groupBytesMax),
  }));
  const sum = (of: 'packedBytes' | 'rawBytes'): number => streams.reduce((total, stream) => total + stream[of], 0);
  if (newBytes === 0 || sum('packedBytes') !== packedBytes || sum('rawBytes') > groupBytesMax)
    return refusePatch('the lengths of a group cannot be');
  if (streams.some((stream) => stream.packedBytes > stream.rawBytes)) return refusePatch('a stream grew by packing');
  return { newBytes, packedBytes, digestHex, streams };
};

/** Throws PATCH_MALFORMED on anything but what {@link encodeHead} writes. */
export const decodeHead = (raw: Uint8Array): PatchHead => {
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
