// A squashfs image as the patch maker sees it: units that cover it once (data and fragment blocks, metadata blocks, raw bytes),
// and contents (files, tables) as slices of units. Reads and unpacks units on demand. For the publisher.

import { OtadError } from '../agent/core/errors.ts';
import { type ByteSource, readRange } from './byte-source.ts';
import { addRaw, addTables, type Content, type Draft, type Slice, type Unit } from './image-tables.ts';
import { createBlockCache } from './old-space.ts';
import { tableHeaderBytes } from './patch-operations.ts';
import { type BlockMap, type Extent, readBlockMap } from './squashfs.ts';
import type { FileBlocks } from './squashfs-inodes.ts';
import { type MetadataTable, readNames } from './squashfs-names.ts';
import { parseSuperblock, type Superblock, superblockBytes } from './squashfs-superblock.ts';
import type { Zstd } from './zstd.ts';

export interface ImageContent {
  readonly source: ByteSource;
  readonly level: number;
  readonly blockBytes: number;
  readonly units: readonly Unit[];
  readonly contents: readonly Content[];
  /** As the unit lies in the image, a metadata block with its header. */
  readPacked(unit: number): Promise<Buffer>;
  readRaw(unit: number): Promise<Uint8Array>;
}

const defaultZstdLevel = 15;
const cacheBytes = 64 * 1024 * 1024;

/** Why a patch cannot be made for this image. */
const notPatchable = (problem: string): never => {
  throw new OtadError('IMAGE_NOT_PATCHABLE', { problem });
};

/** Throws IMAGE_NOT_PATCHABLE for another compressor than zstd. */
const checkCodec = async (source: ByteSource): Promise<void> => {
  const head = await readRange(source, 0, Math.min(superblockBytes, source.lengthBytes), 'the superblock');
  const { codec } = parseSuperblock(head, source.lengthBytes);
  if (codec !== 'zstd')
    notPatchable(`it is compressed with ${codec}, and patches need zstd: gateways update by the index only`);
};

/** Options of the compressor follow the superblock when they are not the default ones. */
const readLevel = async (source: ByteSource, superblock: Superblock): Promise<number> => {
  if (!superblock.hasCodecOptions) return defaultZstdLevel;
  return (await readRange(source, superblockBytes + tableHeaderBytes, 4, 'the options')).readUInt32LE(0);
};

/** Unpacked lengths of all data blocks, by offset in the image. */
const dataLengths = (files: readonly FileBlocks[], blockBytes: number): ReadonlyMap<number, number> => {
  const lengths = new Map<number, number>();
  for (const { startBytes, sizeBytes, blocks } of files) {
    let at = startBytes;
    for (const [index, { lengthBytes }] of blocks.entries()) {
      const rawBytes = Math.min(blockBytes, sizeBytes - index * blockBytes);
      if (lengthBytes > 0 && (lengths.get(at) ?? rawBytes) !== rawBytes)
        notPatchable('two files share a block and differ in how much of it is theirs');
      if (lengthBytes > 0) lengths.set(at, rawBytes);
      at += lengthBytes;
    }
  }
  return lengths;
};

const addBlocks = async (draft: Draft, { extents, files, superblock }: BlockMap, source: ByteSource, zstd: Zstd) => {
  const lengths = dataLengths(files, superblock.blockBytes);
  const rawBytesOf = async ({ kind, offsetBytes, lengthBytes, isStored }: Extent): Promise<number> => {
    const known = lengths.get(offsetBytes);
    if (kind === 'data' && known !== undefined) return known;
    if (isStored) return lengthBytes;
    return zstd.decompress(await readRange(source, offsetBytes, lengthBytes, 'a block'), superblock.blockBytes).length;
  };
  for (const extent of extents) {
    if (extent.offsetBytes >= superblock.tables.inodes) return;
    const { kind, offsetBytes, lengthBytes, isStored } = extent;
    const end = Math.min(offsetBytes + lengthBytes, superblock.tables.inodes);
    if (kind === 'tables') addRaw(draft, offsetBytes === 0 ? 'superblock' : 'gap', offsetBytes, end);
    else draft.units.push({ kind, offsetBytes, lengthBytes, isStored, rawBytes: await rawBytesOf(extent) });
  }
};

const fileSlices = (
  { startBytes, sizeBytes, blocks, fragment }: FileBlocks,
  fragments: readonly Extent[],
  { units, unitAt, blockBytes }: { units: readonly Unit[]; unitAt: ReadonlyMap<number, number>; blockBytes: number },
): readonly Slice[] => {
  const slices: Slice[] = [];
  let at = startBytes;
  for (const { lengthBytes } of blocks) {
    const unit = unitAt.get(at);
    if (lengthBytes > 0 && unit !== undefined) slices.push({ unit, at: 0, lengthBytes: units[unit]?.rawBytes ?? 0 });
    at += lengthBytes;
  }
  const tailBytes = sizeBytes - blocks.length * blockBytes;
  const unit = fragment === null ? undefined : unitAt.get(fragments[fragment.index]?.offsetBytes ?? -1);
  if (fragment === null || unit === undefined || tailBytes <= 0) return slices;
  if (fragment.offsetBytes + tailBytes > (units[unit]?.rawBytes ?? 0)) notPatchable('a tail runs past its fragment');
  return [...slices, { unit, at: fragment.offsetBytes, lengthBytes: tailBytes }];
};

/** A table's bytes, and where its blocks begin. */
const tableOf = async (
  image: Pick<ImageContent, 'units' | 'readRaw'>,
  from: number,
  to: number,
): Promise<MetadataTable> => {
  const starts = new Map<number, number>();
  const pieces: Uint8Array[] = [];
  let length = 0;
  for (const [index, unit] of image.units.entries()) {
    if (unit.kind !== 'table' || unit.offsetBytes < from || unit.offsetBytes >= to) continue;
    starts.set(unit.offsetBytes - tableHeaderBytes - from, length);
    pieces.push(await image.readRaw(index));
    length += unit.rawBytes;
  }
  return { bytes: Buffer.concat(pieces), starts };
};

/** Throws IMAGE_NOT_PATCHABLE with a sentence for images that no patch can be made for; IMAGE_UNUSABLE for what is no image. */
export const readContent = async (source: ByteSource, zstd: Zstd): Promise<ImageContent> => {
  await checkCodec(source);
  const map = await readBlockMap(source, () => (bytes, bytesMax) => zstd.decompress(bytes, bytesMax));
  const { superblock, files, fragments } = map;
  const draft: Draft = { units: [], contents: [] };
  await addBlocks(draft, map, source, zstd);
  await addTables(draft, source, superblock, zstd);
  const { units, contents } = draft;
  const cache = createBlockCache(cacheBytes);
  const unitOf = (index: number): Unit => units[index] ?? notPatchable('it has no such unit');
  const readRaw = async (index: number): Promise<Uint8Array> => {
    const known = cache.get(index);
    if (known !== undefined) return known;
    const { offsetBytes, lengthBytes, isStored, rawBytes } = unitOf(index);
    const packed = await readRange(source, offsetBytes, lengthBytes, 'a block');
    // A copy: the source may use its buffer again.
    const raw = isStored ? new Uint8Array(packed) : zstd.decompress(packed, superblock.blockBytes);
    if (raw.length !== rawBytes) notPatchable(`a block unpacks to ${raw.length} bytes instead of ${rawBytes}`);
    cache.keep(index, raw);
    return raw;
  };
  const unitAt = new Map(units.map(({ offsetBytes }, index) => [offsetBytes, index]));
  const { tables, blockBytes, usedBytes } = superblock;
  const reference = Number((await readRange(source, 32, 8, 'the superblock')).readBigUInt64LE(0));
  const names = readNames(
    await tableOf({ units, readRaw }, tables.inodes, tables.directories),
    await tableOf({ units, readRaw }, tables.directories, usedBytes),
    { block: Math.floor(reference / 65_536), offset: reference % 65_536 },
  );
  for (const file of files) {
    const slices = fileSlices(file, fragments, { units, unitAt, blockBytes });
    const lengthBytes = slices.reduce((sum, slice) => sum + slice.lengthBytes, 0);
    if (lengthBytes > 0) contents.push({ name: names.get(file.inode) ?? null, slices, lengthBytes });
  }
  return {
    source,
    level: await readLevel(source, superblock),
    blockBytes,
    units,
    contents,
    readPacked: async (index) => {
      const { kind, offsetBytes, lengthBytes } = unitOf(index);
      const headerBytes = kind === 'table' ? tableHeaderBytes : 0;
      return readRange(source, offsetBytes - headerBytes, lengthBytes + headerBytes, 'a block');
    },
    readRaw,
  };
};
