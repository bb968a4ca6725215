// The chunk index of an image: its pieces in order, each with length and a short digest, so that a gateway finds those that it
// has. This file owns the format. An index is kept packed as it came: a large image has a hundred thousand chunks.

import { createHash } from 'node:crypto';
import { OtadError } from '../agent/core/errors.ts';
import { type SquashfsCodec, squashfsCodecs } from './squashfs-superblock.ts';

/** What the image says of its making; a patch must compress in the same way. */
export interface IndexedImage {
  readonly lengthBytes: number;
  readonly sha256Hex: string;
  readonly codec: SquashfsCodec;
  /** Of the compressor; 0 where it has none. */
  readonly level: number;
  readonly blockBytes: number;
}

export interface Chunk {
  readonly lengthBytes: number;
  /** First 16 bytes of the SHA-256, hex: enough to find; what decides is the signed dm-verity root. */
  readonly digestHex: string;
}

export interface ChunkIndex {
  readonly image: IndexedImage;
  readonly count: number;
  /** Where the chunk begins in the image; for `count` the image's end. */
  offsetOf(chunk: number): number;
  /** The 16 bytes themselves: a view into the index. */
  digestOf(chunk: number): Buffer;
}

// Layout, little-endian: magic 8, version 4, number of chunks 4, image length 8, image SHA-256 32, squashfs block size 4,
// squashfs compressor number 2, its level 2; then for each chunk, in the order of the image, length 4 and digest 16.
const magic = 'OTADINDX';
const formatVersion = 1;
const headerBytes = 64;
const entryBytes = 20;
export const chunkDigestBytes = 16;
/** One squashfs block at the most. */
export const chunkBytesMax = 1024 * 1024;
/** Bounds memory on the device; about 200,000 chunks, which is 10 GB of an ordinary root file system. */
export const indexBytesMax = 4 * 1024 * 1024;
const chunksMax = Math.floor((indexBytesMax - headerBytes) / entryBytes);

export const digestOf = (bytes: Uint8Array): Buffer =>
  createHash('sha256').update(bytes).digest().subarray(0, chunkDigestBytes);

const codecNumbers = new Map(Object.entries(squashfsCodecs).map(([number, codec]) => [codec, Number(number)]));

/** Throws IMAGE_NOT_INDEXABLE for an image of more chunks than an index may list. */
export const encodeIndex = (image: IndexedImage, chunks: readonly Chunk[]): Uint8Array => {
  if (chunks.length > chunksMax) {
    throw new OtadError('IMAGE_NOT_INDEXABLE', { problem: 'it has more chunks than an index may list', chunksMax });
  }
  const bytes = Buffer.alloc(headerBytes + chunks.length * entryBytes);
  bytes.write(magic, 0, 'latin1');
  bytes.writeUInt32LE(formatVersion, 8);
  bytes.writeUInt32LE(chunks.length, 12);
  bytes.writeBigUInt64LE(BigInt(image.lengthBytes), 16);
  bytes.write(image.sha256Hex, 24, 'hex');
  bytes.writeUInt32LE(image.blockBytes, 56);
  bytes.writeUInt16LE(codecNumbers.get(image.codec) ?? 0, 60);
  bytes.writeUInt16LE(image.level, 62);
  chunks.forEach(({ lengthBytes, digestHex }, chunk) => {
    bytes.writeUInt32LE(lengthBytes, headerBytes + chunk * entryBytes);
    bytes.write(digestHex, headerBytes + chunk * entryBytes + 4, 'hex');
  });
  return bytes;
};

const refuse = (reason: string): never => {
  throw new OtadError('INDEX_MALFORMED', { reason });
};

const asBuffer = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** Bytes of the index that begins with `head`, as its header says; null where none begins there. */
export const indexLengthOf = (head: Uint8Array): number | null => {
  const bytes = asBuffer(head);
  if (bytes.length < headerBytes || bytes.toString('latin1', 0, 8) !== magic) return null;
  const count = bytes.readUInt32LE(12);
  return bytes.readUInt32LE(8) === formatVersion && count <= chunksMax ? headerBytes + count * entryBytes : null;
};

const imageOf = (bytes: Buffer, lengthBytes: number): IndexedImage => {
  const codec = (squashfsCodecs as Readonly<Record<number, SquashfsCodec>>)[bytes.readUInt16LE(60)];
  if (codec === undefined) return refuse('its compressor is not known');
  const sha256Hex = bytes.toString('hex', 24, 56);
  return { lengthBytes, sha256Hex, codec, level: bytes.readUInt16LE(62), blockBytes: bytes.readUInt32LE(56) };
};

/** Throws INDEX_MALFORMED on anything but a whole index whose chunks add up to the image. The index keeps `input`. */
export const decodeIndex = (input: Uint8Array): ChunkIndex => {
  const bytes = asBuffer(input);
  const lengthBytes = indexLengthOf(bytes) ?? refuse('no chunk index of a format that is known');
  const count = (lengthBytes - headerBytes) / entryBytes;
  if (count === 0 || bytes.length !== lengthBytes) return refuse('another length than its chunks take');
  const offsets = new Float64Array(count + 1);
  for (let chunk = 0; chunk < count; chunk += 1) {
    const chunkBytes = bytes.readUInt32LE(headerBytes + chunk * entryBytes);
    if (chunkBytes === 0 || chunkBytes > chunkBytesMax) return refuse('a chunk has a length that cannot be');
    offsets[chunk + 1] = (offsets[chunk] ?? 0) + chunkBytes;
  }
  const imageBytes = offsets[count] ?? 0;
  if (bytes.readBigUInt64LE(16) !== BigInt(imageBytes)) return refuse('its chunks do not add up to the image');
  const inside = (chunk: number, last: number): number => {
    if (Number.isInteger(chunk) && chunk >= 0 && chunk <= last) return chunk;
    throw new OtadError('INTERNAL', { step: 'chunk index', chunk, count });
  };
  return {
    image: imageOf(bytes, imageBytes),
    count,
    offsetOf: (chunk) => offsets[inside(chunk, count)] ?? 0,
    digestOf: (chunk) => {
      const at = headerBytes + inside(chunk, count - 1) * entryBytes + 4;
      return bytes.subarray(at, at + chunkDigestBytes);
    },
  };
};
