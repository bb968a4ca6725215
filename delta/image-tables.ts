// The tables of a squashfs image as units and contents for the patch maker: metadata blocks, lists of pointers to them, and all
// that is not understood as raw bytes. For the publisher.

import { type ByteSource, readRange } from './byte-source.ts';
import { copyBytesMax, tableHeaderBytes } from './patch-operations.ts';
import { metadataBlockBytes } from './squashfs-metadata.ts';
import type { Superblock } from './squashfs-superblock.ts';
import type { Zstd } from './zstd.ts';

export interface Unit {
  /** table: a metadata block; its header of two bytes stands before `offsetBytes`. raw: no block at all. */
  readonly kind: 'data' | 'fragment' | 'table' | 'raw';
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  readonly isStored: boolean;
  readonly rawBytes: number;
}

export interface Slice {
  readonly unit: number;
  /** In the unit's unpacked bytes. */
  readonly at: number;
  readonly lengthBytes: number;
}

/** A file, or a table of the image. Holes are left out. */
export interface Content {
  /** A path, or the name of a table; null: a file that no directory names. */
  readonly name: string | null;
  readonly slices: readonly Slice[];
  readonly lengthBytes: number;
}

const storedFlag = 0x8000;
const pointerBytes = 8;
const xattrHeaderBytes = 16;

interface PointerList {
  readonly name: string;
  readonly start: number;
  readonly lengthBytes: number;
  /** Where the metadata blocks that it points to begin, by name of the table. */
  readonly tables: readonly (readonly [name: string, start: number])[];
}

/** The lists of pointers to metadata blocks behind the directories: what lies between them are metadata blocks. */
const readPointerLists = async (source: ByteSource, superblock: Superblock): Promise<readonly PointerList[]> => {
  const { tables, fragments, inodes, ids } = superblock;
  const lists: PointerList[] = [];
  const add = async (name: string, start: number | null, tableBytes: number): Promise<void> => {
    if (start === null || tableBytes === 0) return;
    const lengthBytes = Math.ceil(tableBytes / metadataBlockBytes) * pointerBytes;
    const first = Number((await readRange(source, start, pointerBytes, name)).readBigUInt64LE(0));
    lists.push({ name: `list of ${name}`, start, lengthBytes, tables: [[name, first]] });
  };
  await add('fragments', tables.fragments, fragments * 16);
  await add('exports', tables.exports, inodes * 8);
  await add('ids', tables.ids, ids * 4);
  if (tables.xattrs !== null) {
    const header = await readRange(source, tables.xattrs, xattrHeaderBytes, 'xattrs');
    const blocks = Math.ceil((header.readUInt32LE(8) * 16) / metadataBlockBytes);
    const pointers = await readRange(source, tables.xattrs + xattrHeaderBytes, blocks * pointerBytes, 'xattrs');
    lists.push({
      name: 'list of xattrs',
      start: tables.xattrs,
      lengthBytes: xattrHeaderBytes + blocks * pointerBytes,
      tables: [
        ['xattrs', Number(header.readBigUInt64LE(0))],
        ...(blocks === 0 ? [] : [['xattr ids', Number(pointers.readBigUInt64LE(0))] as const]),
      ],
    });
  }
  return lists;
};

export interface Draft {
  readonly units: Unit[];
  readonly contents: Content[];
}

export const addRaw = ({ units, contents }: Draft, name: string, from: number, to: number): void => {
  const slices: Slice[] = [];
  for (let at = from; at < to; at += copyBytesMax) {
    const lengthBytes = Math.min(copyBytesMax, to - at);
    slices.push({ unit: units.length, at: 0, lengthBytes });
    units.push({ kind: 'raw', offsetBytes: at, lengthBytes, isStored: true, rawBytes: lengthBytes });
  }
  if (to > from) contents.push({ name: `raw ${name}`, slices, lengthBytes: to - from });
};

/** A metadata block at this place; null: there is none, as far as its header tells. */
const tableUnit = async (source: ByteSource, at: number, end: number, zstd: Zstd): Promise<Unit | null> => {
  if (at + tableHeaderBytes > end) return null;
  const header = (await readRange(source, at, tableHeaderBytes, 'a metadata block')).readUInt16LE(0);
  const lengthBytes = header & (storedFlag - 1);
  const isStored = (header & storedFlag) !== 0;
  const offsetBytes = at + tableHeaderBytes;
  if (lengthBytes === 0 || lengthBytes > metadataBlockBytes || offsetBytes + lengthBytes > end) return null;
  if (isStored) return { kind: 'table', offsetBytes, lengthBytes, isStored, rawBytes: lengthBytes };
  const packed = await readRange(source, offsetBytes, lengthBytes, 'a metadata block');
  try {
    const rawBytes = zstd.decompress(packed, metadataBlockBytes).length;
    return rawBytes === 0 ? null : { kind: 'table', offsetBytes, lengthBytes, isStored, rawBytes };
  } catch {
    return null;
  }
};

/** Everything from the inode table on. What is not understood becomes raw bytes: a patch can hold those too. */
export const addTables = async (
  draft: Draft,
  source: ByteSource,
  superblock: Superblock,
  zstd: Zstd,
): Promise<void> => {
  const { tables, usedBytes } = superblock;
  const lists = await readPointerLists(source, superblock);
  const listAt = new Map(lists.map((list) => [list.start, list]));
  const nameAt = new Map<number, string>([
    ...lists.flatMap((list) => list.tables.map(([name, start]) => [start, name] as const)),
    [tables.inodes, 'inodes'],
    [tables.directories, 'directories'],
  ]);
  const ends = [...lists.map(({ start }) => start), usedBytes].sort((one, two) => one - two);
  let slices: Slice[] = [];
  let name = 'inodes';
  const close = (): void => {
    const lengthBytes = slices.reduce((sum, slice) => sum + slice.lengthBytes, 0);
    if (lengthBytes > 0) draft.contents.push({ name: `table ${name}`, slices, lengthBytes });
    slices = [];
  };
  let at = tables.inodes;
  while (at < usedBytes) {
    const list = listAt.get(at);
    const end = ends.find((start) => start > at) ?? usedBytes;
    const next = nameAt.get(at);
    if (next !== undefined || list !== undefined) close();
    if (list !== undefined) {
      const listEnd = Math.min(usedBytes, at + list.lengthBytes);
      addRaw(draft, list.name, at, listEnd);
      at = listEnd;
      continue;
    }
    if (next !== undefined) name = next;
    const unit = await tableUnit(source, at, end, zstd);
    if (unit === null) {
      close();
      addRaw(draft, `behind ${name}`, at, end);
      at = end;
      continue;
    }
    slices.push({ unit: draft.units.length, at: 0, lengthBytes: unit.rawBytes });
    draft.units.push(unit);
    at = unit.offsetBytes + unit.lengthBytes;
  }
  close();
  addRaw(draft, 'padding', usedBytes, source.lengthBytes);
};
