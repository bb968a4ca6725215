// The chunk index of an image: its pieces in order, each with length and a short digest, so that a gateway finds those that it
// has. Cut at squashfs block boundaries, where an unchanged file's bytes are the same wherever they moved to.

import { createHash } from 'node:crypto';
import { OtadError } from '../agent/core/errors.ts';
import { type ByteSource, readRange } from './byte-source.ts';
import type { Extent } from './squashfs.ts';

export interface Chunk {
  readonly lengthBytes: number;
  /** First 16 bytes of the SHA-256, hex: enough to find; what decides is the signed dm-verity root. */
  readonly digestHex: string;
}

export interface ChunkIndex {
  readonly imageLengthBytes: number;
  /** In the order of the image. */
  readonly chunks: readonly Chunk[];
}

// Layout, little-endian: magic 8, version 4, number of chunks 4, image length 8, then for each chunk length 4 and digest 16.
const magic = 'OTADINDX';
const formatVersion = 1;
const headerBytes = 24;
const entryBytes = 20;
export const chunkDigestBytes = 16;
/** One squashfs block at the most. */
export const chunkBytesMax = 1024 * 1024;
/** 8 million chunks would be 160 MB of index: this is the bound of memory, not of images. */
const chunksMax = 2 ** 20;
/** Blocks under this are joined with their neighbours: a chunk costs 20 bytes of index. */
const joinedBytesMin = 16 * 1024;
/** Tables change all over with every release: larger pieces would match less, smaller ones cost more than they save. */
const tablePieceBytes = 64 * 1024;

export const digestOf = (bytes: Uint8Array): string =>
  createHash('sha256').update(bytes).digest().subarray(0, chunkDigestBytes).toString('hex');

/** Lengths of the chunks. A long block stands alone, so that joining starts anew behind it wherever it moves. */
export const cutLengths = (extents: readonly Extent[]): readonly number[] => {
  const lengths: number[] = [];
  let joined = 0;
  const close = (): void => {
    if (joined > 0) lengths.push(joined);
    joined = 0;
  };
  for (const { kind, lengthBytes } of extents) {
    if (kind !== 'tables' && lengthBytes < joinedBytesMin) {
      joined += lengthBytes;
      if (joined >= joinedBytesMin) close();
      continue;
    }
    close();
    const pieceBytes = kind === 'tables' ? tablePieceBytes : lengthBytes;
    for (let left = lengthBytes; left > 0; left -= pieceBytes) lengths.push(Math.min(pieceBytes, left));
  }
  close();
  return lengths;
};

/** The index of an image whose blocks lie at `extents`. */
export const makeIndex = async (source: ByteSource, extents: readonly Extent[]): Promise<ChunkIndex> => {
  const chunks: Chunk[] = [];
  let at = 0;
  for (const lengthBytes of cutLengths(extents)) {
    chunks.push({ lengthBytes, digestHex: digestOf(await readRange(source, at, lengthBytes, 'a chunk')) });
    at += lengthBytes;
  }
  if (at !== source.lengthBytes) {
    throw new OtadError('INTERNAL', { step: 'chunk index', coveredBytes: at, imageLengthBytes: source.lengthBytes });
  }
  return { imageLengthBytes: at, chunks };
};

export const encodeIndex = ({ imageLengthBytes, chunks }: ChunkIndex): Uint8Array => {
  const bytes = Buffer.alloc(headerBytes + chunks.length * entryBytes);
  bytes.write(magic, 0, 'latin1');
  bytes.writeUInt32LE(formatVersion, 8);
  bytes.writeUInt32LE(chunks.length, 12);
  bytes.writeBigUInt64LE(BigInt(imageLengthBytes), 16);
  chunks.forEach(({ lengthBytes, digestHex }, index) => {
    bytes.writeUInt32LE(lengthBytes, headerBytes + index * entryBytes);
    bytes.write(digestHex, headerBytes + index * entryBytes + 4, 'hex');
  });
  return bytes;
};

const refuse = (reason: string): never => {
  throw new OtadError('INDEX_MALFORMED', { reason });
};

/** Throws INDEX_MALFORMED on anything but a whole index whose chunks add up to the image. */
export const decodeIndex = (input: Uint8Array): ChunkIndex => {
  const bytes = Buffer.from(input.buffer, input.byteOffset, input.byteLength);
  if (bytes.length < headerBytes || bytes.toString('latin1', 0, 8) !== magic) return refuse('no chunk index');
  if (bytes.readUInt32LE(8) !== formatVersion) return refuse(`format ${bytes.readUInt32LE(8)} is not known`);
  const count = bytes.readUInt32LE(12);
  if (count === 0 || count > chunksMax) return refuse('a number of chunks that cannot be');
  if (bytes.length !== headerBytes + count * entryBytes) return refuse('another length than its chunks take');
  const chunks: Chunk[] = [];
  let sum = 0;
  for (let at = headerBytes; at < bytes.length; at += entryBytes) {
    const lengthBytes = bytes.readUInt32LE(at);
    if (lengthBytes === 0 || lengthBytes > chunkBytesMax) return refuse('a chunk has a length that cannot be');
    sum += lengthBytes;
    chunks.push({ lengthBytes, digestHex: bytes.toString('hex', at + 4, at + entryBytes) });
  }
  if (bytes.readBigUInt64LE(16) !== BigInt(sum)) return refuse('its chunks do not add up to the image');
  return { imageLengthBytes: sum, chunks };
};
