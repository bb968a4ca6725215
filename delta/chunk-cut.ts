// Cuts an image into chunks, on the publisher's machine: at squashfs block boundaries, where an unchanged file's bytes are the
// same wherever they moved to. Small blocks are joined, and where a group of them ends is decided by what they hold.

import { createHash } from 'node:crypto';
import { OtadError } from '../agent/core/errors.ts';
import { type ByteSource, readRange } from './byte-source.ts';
import { type Chunk, digestOf, encodeIndex } from './chunk-index.ts';
import { type Extent, readBlockMap } from './squashfs.ts';
import { type Decompress, readMetadataBlock } from './squashfs-metadata.ts';
import { type SquashfsCodec, type Superblock, superblockBytes } from './squashfs-superblock.ts';

/** Blocks under this are joined with their neighbours: a chunk costs 20 bytes of index. */
const joinedBytesMin = 16 * 1024;
/** A group that its content does not end is ended here. */
const groupBytesMax = 64 * 1024;
/** One block in this many ends its group: then a block that came or went changes the groups around it and no others. */
const groupBlocks = 4;
/** Tables change all over with every release: larger pieces would match less, smaller ones cost more than they save. */
const tablePieceBytes = 64 * 1024;

const isGroupEnd = (digest: Buffer): boolean => digest.readUInt32LE(0) % groupBlocks === 0;

const toChunk = (lengthBytes: number, digest: Buffer): Chunk => ({ lengthBytes, digestHex: digest.toString('hex') });

const cutTables = async (source: ByteSource, { offsetBytes, lengthBytes }: Extent): Promise<readonly Chunk[]> => {
  const chunks: Chunk[] = [];
  for (let at = 0; at < lengthBytes; at += tablePieceBytes) {
    const piece = Math.min(tablePieceBytes, lengthBytes - at);
    chunks.push(toChunk(piece, digestOf(await readRange(source, offsetBytes + at, piece, 'a table'))));
  }
  return chunks;
};

/** The chunks of an image whose blocks lie at `extents`, which cover it. */
export const cutChunks = async (source: ByteSource, extents: readonly Extent[]): Promise<readonly Chunk[]> => {
  const chunks: Chunk[] = [];
  let group: Buffer[] = [];
  let groupBytes = 0;
  const close = (): void => {
    if (groupBytes > 0) chunks.push(toChunk(groupBytes, digestOf(Buffer.concat(group))));
    group = [];
    groupBytes = 0;
  };
  for (const extent of extents) {
    if (extent.kind === 'tables') {
      close();
      chunks.push(...(await cutTables(source, extent)));
      continue;
    }
    const bytes = await readRange(source, extent.offsetBytes, extent.lengthBytes, 'a block');
    const digest = digestOf(bytes);
    if (bytes.length >= joinedBytesMin) {
      close();
      chunks.push(toChunk(bytes.length, digest));
      continue;
    }
    group.push(Buffer.from(bytes));
    groupBytes += bytes.length;
    if (isGroupEnd(digest) || groupBytes >= groupBytesMax) close();
  }
  close();
  return chunks;
};

const optionsBytesMin = 4;

/** The level that the image's compressor ran at; 0 for one that has no levels. */
const levelOf = async (source: ByteSource, superblock: Superblock, decompress: Decompress): Promise<number> => {
  const defaults: Partial<Record<SquashfsCodec, number>> = { gzip: 9, zstd: 15 };
  const level = defaults[superblock.codec];
  if (level === undefined) return 0;
  if (!superblock.hasCodecOptions) return level;
  const { bytes } = await readMetadataBlock(source, superblockBytes, decompress);
  if (bytes.length < optionsBytesMin) {
    throw new OtadError('IMAGE_UNUSABLE', { problem: 'its compressor options are too short' });
  }
  return bytes.readUInt32LE(0);
};

const sha256Of = async (source: ByteSource): Promise<string> => {
  const hash = createHash('sha256');
  const pieceBytes = 1024 * 1024;
  for (let at = 0; at < source.lengthBytes; at += pieceBytes) {
    hash.update(await source.read(at, Math.min(pieceBytes, source.lengthBytes - at)));
  }
  return hash.digest('hex');
};

/** The index of a squashfs image, encoded. Throws IMAGE_UNUSABLE, and IMAGE_NOT_INDEXABLE for a whole image that it cannot cut. */
export const makeIndex = async (
  source: ByteSource,
  decompressorOf: (superblock: Superblock) => Decompress,
): Promise<Uint8Array> => {
  const { superblock, extents } = await readBlockMap(source, decompressorOf);
  const level = await levelOf(source, superblock, decompressorOf(superblock));
  const { codec, blockBytes } = superblock;
  const image = { lengthBytes: source.lengthBytes, sha256Hex: await sha256Of(source), codec, level, blockBytes };
  return encodeIndex(image, await cutChunks(source, extents));
};
