// The paths of a squashfs image's regular files, for the publisher: which old file a new one is likely to come from. Follows
// the directories from the root; a gateway never does this.

import { OtadError } from '../agent/core/errors.ts';

/** A table of metadata blocks: its bytes unpacked, and where each block begins in them, by its offset in the table. */
export interface MetadataTable {
  readonly bytes: Buffer;
  readonly starts: ReadonlyMap<number, number>;
}

const directoryType = 1;
const fileType = 2;
const extendedDirectoryType = 8;
/** The size of a directory counts '.' and '..', which are not in the table. */
const absentBytes = 3;
const depthMax = 256;
const entriesMax = 2 ** 22;

const refuse = (problem: string): never => {
  throw new OtadError('IMAGE_UNUSABLE', { problem });
};

/** A view of `lengthBytes` from there on, or of all that follows. */
const at = ({ bytes, starts }: MetadataTable, block: number, offset: number, lengthBytes: number): Buffer => {
  const start = starts.get(block) ?? refuse('a reference to no metadata block');
  if (start + offset + lengthBytes > bytes.length) refuse('a directory runs past the end of its table');
  return bytes.subarray(start + offset, start + offset + lengthBytes);
};

interface Listing {
  readonly block: number;
  readonly offset: number;
  readonly lengthBytes: number;
}

const listingOf = (inodes: MetadataTable, block: number, offset: number): Listing => {
  const type = at(inodes, block, offset, 2).readUInt16LE(0);
  if (type === directoryType) {
    const inode = at(inodes, block, offset, 32);
    return { block: inode.readUInt32LE(16), lengthBytes: inode.readUInt16LE(24), offset: inode.readUInt16LE(26) };
  }
  if (type !== extendedDirectoryType) return refuse('a directory is of another type');
  const inode = at(inodes, block, offset, 40);
  return { lengthBytes: inode.readUInt32LE(20), block: inode.readUInt32LE(24), offset: inode.readUInt16LE(34) };
};

interface Entry {
  readonly name: string;
  readonly type: number;
  readonly inode: number;
  readonly block: number;
  readonly offset: number;
}

function* entriesOf(directories: MetadataTable, { block, offset, lengthBytes }: Listing): Generator<Entry> {
  if (lengthBytes <= absentBytes) return;
  const bytes = at(directories, block, offset, lengthBytes - absentBytes);
  for (let from = 0; from < bytes.length; ) {
    if (from + 12 > bytes.length) return refuse('a directory ends in the middle');
    const count = bytes.readUInt32LE(from) + 1;
    const inodeBlock = bytes.readUInt32LE(from + 4);
    const inodeBase = bytes.readUInt32LE(from + 8);
    from += 12;
    for (let index = 0; index < count; index += 1) {
      if (from + 8 > bytes.length) return refuse('a directory ends in the middle');
      const nameBytes = bytes.readUInt16LE(from + 6) + 1;
      if (from + 8 + nameBytes > bytes.length) return refuse('a directory ends in the middle');
      yield {
        offset: bytes.readUInt16LE(from),
        inode: inodeBase + bytes.readInt16LE(from + 2),
        type: bytes.readUInt16LE(from + 4),
        block: inodeBlock,
        name: bytes.toString('latin1', from + 8, from + 8 + nameBytes),
      };
      from += 8 + nameBytes;
    }
  }
}

/** The path of each regular file, by the number of its inode; of several hard links the first. Throws IMAGE_UNUSABLE. */
export const readNames = (
  inodes: MetadataTable,
  directories: MetadataTable,
  root: { readonly block: number; readonly offset: number },
): ReadonlyMap<number, string> => {
  const names = new Map<number, string>();
  let entries = 0;
  const walk = (block: number, offset: number, path: string, depth: number): void => {
    if (depth > depthMax) refuse('its directories are too deep');
    for (const entry of entriesOf(directories, listingOf(inodes, block, offset))) {
      entries += 1;
      if (entries > entriesMax) refuse('it has too many directory entries');
      const own = `${path}/${entry.name}`;
      if (entry.type === directoryType) walk(entry.block, entry.offset, own, depth + 1);
      else if (entry.type === fileType && !names.has(entry.inode)) names.set(entry.inode, own);
    }
  };
  walk(root.block, root.offset, '', 0);
  return names;
};
