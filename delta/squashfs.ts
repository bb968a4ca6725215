// Where the blocks of a squashfs image lie. Reads superblock, inode table and fragment table; never file names or contents.
// The extents cover the image without a gap and without an overlap, or there are none.

import { OtadError } from '../agent/core/errors.ts';
import { type ByteSource, readRange } from './byte-source.ts';
import { type FileBlocks, readInodes } from './squashfs-inodes.ts';
import { type Decompress, metadataBlockBytes, readMetadataBlock, readMetadataRun } from './squashfs-metadata.ts';
import { inodeTableBytesMax, parseSuperblock, type Superblock, superblockBytes } from './squashfs-superblock.ts';

/** data: one block of a file. fragment: one block of file tails. tables: everything else, padding included. */
export type ExtentKind = 'data' | 'fragment' | 'tables';

export interface Extent {
  readonly kind: ExtentKind;
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  /** The bytes are as they are in the file, not compressed. */
  readonly isStored: boolean;
}

export interface BlockMap {
  readonly superblock: Superblock;
  readonly files: readonly FileBlocks[];
  /** Blocks of file tails, by the index that files name them with. */
  readonly fragments: readonly Extent[];
  /** In the order of the image. */
  readonly extents: readonly Extent[];
}

const fragmentEntryBytes = 16;
const storedFlag = 0x0100_0000;

const refuse = (problem: string, offsetBytes: number): never => {
  throw new OtadError('IMAGE_UNUSABLE', { problem, offsetBytes });
};

const readFragments = async (
  source: ByteSource,
  { fragments, tables, blockBytes }: Superblock,
  decompress: Decompress,
): Promise<Extent[]> => {
  if (fragments === 0 || tables.fragments === null) return [];
  const blocks = Math.ceil((fragments * fragmentEntryBytes) / metadataBlockBytes);
  const pointers = await readRange(source, tables.fragments, blocks * 8, 'the fragment table');
  const pieces: Buffer[] = [];
  for (let index = 0; index < blocks; index += 1) {
    const offsetBytes = Number(pointers.readBigUInt64LE(index * 8));
    pieces.push((await readMetadataBlock(source, offsetBytes, decompress)).bytes);
  }
  const table = Buffer.concat(pieces);
  if (table.length !== fragments * fragmentEntryBytes)
    refuse('the fragment table has another length', tables.fragments);
  return Array.from({ length: fragments }, (_, index) => {
    const offsetBytes = Number(table.readBigUInt64LE(index * fragmentEntryBytes));
    const word = table.readUInt32LE(index * fragmentEntryBytes + 8);
    const lengthBytes = word & (storedFlag - 1);
    if (lengthBytes === 0 || lengthBytes > blockBytes)
      refuse('a fragment block has a length that cannot be', offsetBytes);
    return { kind: 'fragment', offsetBytes, lengthBytes, isStored: (word & storedFlag) !== 0 };
  });
};

const dataExtents = (files: readonly FileBlocks[]): Extent[] =>
  files.flatMap(({ startBytes, blocks }) => {
    let at = startBytes;
    return blocks.flatMap(({ lengthBytes, isStored }) => {
      if (lengthBytes === 0) return [];
      at += lengthBytes;
      return [{ kind: 'data' as const, offsetBytes: at - lengthBytes, lengthBytes, isStored }];
    });
  });

/** Sorted, equal ones once (files with the same content share their blocks), and all that lies between as tables. */
const cover = (blocks: readonly Extent[], imageLengthBytes: number, tablesStart: number): readonly Extent[] => {
  const sorted = [...blocks].sort((one, two) => one.offsetBytes - two.offsetBytes || one.lengthBytes - two.lengthBytes);
  const extents: Extent[] = [];
  let at = 0;
  const fill = (to: number): void => {
    if (to > at) extents.push({ kind: 'tables', offsetBytes: at, lengthBytes: to - at, isStored: true });
  };
  for (const block of sorted) {
    const last = extents.at(-1);
    if (last !== undefined && last.kind !== 'tables' && last.offsetBytes === block.offsetBytes) {
      if (last.lengthBytes !== block.lengthBytes)
        refuse('two blocks share a start and differ in length', block.offsetBytes);
      continue;
    }
    if (block.offsetBytes < Math.max(at, superblockBytes))
      refuse('a block overlaps what lies before it', block.offsetBytes);
    fill(block.offsetBytes);
    extents.push(block);
    at = block.offsetBytes + block.lengthBytes;
  }
  if (at > tablesStart) refuse('a block overlaps the tables', at);
  fill(imageLengthBytes);
  return extents;
};

/** Throws IMAGE_UNUSABLE for what is no whole, consistent squashfs image. `decompress` is of the image's own compressor. */
export const readBlockMap = async (
  source: ByteSource,
  decompressorOf: (superblock: Superblock) => Decompress,
): Promise<BlockMap> => {
  const header = await readRange(source, 0, Math.min(superblockBytes, source.lengthBytes), 'the superblock');
  const superblock = parseSuperblock(header, source.lengthBytes);
  const decompress = decompressorOf(superblock);
  const { tables, inodes, blockBytes } = superblock;
  const bytesMax = inodeTableBytesMax(superblock);
  const table = await readMetadataRun(source, tables.inodes, tables.directories, decompress, bytesMax);
  const files = readInodes(table, inodes, blockBytes);
  for (const { fragment } of files) {
    if (fragment !== null && fragment.index >= superblock.fragments)
      refuse('a file names a fragment that does not exist', fragment.index);
  }
  const fragments = await readFragments(source, superblock, decompress);
  const blocks = [...dataExtents(files), ...fragments];
  return { superblock, files, fragments, extents: cover(blocks, source.lengthBytes, tables.inodes) };
};
