// Walks the inode table of a squashfs image for the one thing that delta updates need of it: where each file's data blocks lie and
// how long they are. Pure. Names, owners and times are passed over.

import { OtadError } from '../agent/core/errors.ts';

/** The data blocks of one file: they lie one behind another. */
export interface FileBlocks {
  /** The number of its inode. */
  readonly inode: number;
  readonly startBytes: number;
  readonly sizeBytes: number;
  /** Bytes of each block in the image; 0: a hole. The flag is set where the block is stored as it is. */
  readonly blocks: readonly { readonly lengthBytes: number; readonly isStored: boolean }[];
  /** Where its tail lies in a fragment block; null: it has none. */
  readonly fragment: { readonly index: number; readonly offsetBytes: number } | null;
}

const headerBytes = 16;
const noFragment = 0xffff_ffff;
const storedFlag = 0x0100_0000;
const lengthMask = 0x00ff_ffff;
const nameBytesMax = 256;
const symlinkBytesMax = 65_535;

const refuse = (problem: string, offsetBytes: number): never => {
  throw new OtadError('IMAGE_UNUSABLE', { problem, inodeOffsetBytes: offsetBytes });
};

/** A reader over the table that refuses to run past its end. */
const createCursor = (table: Buffer, start: number) => {
  let at = start;
  const take = (lengthBytes: number): number => {
    if (at + lengthBytes > table.length) refuse('an inode runs past the end of its table', start);
    at += lengthBytes;
    return at - lengthBytes;
  };
  return {
    u16: () => table.readUInt16LE(take(2)),
    u32: () => table.readUInt32LE(take(4)),
    u64: () => {
      const value = Number(table.readBigUInt64LE(take(8)));
      return Number.isSafeInteger(value) ? value : refuse('an inode holds a number that cannot be', start);
    },
    skip: (lengthBytes: number) => void take(lengthBytes),
    at: () => at,
  };
};
type Cursor = ReturnType<typeof createCursor>;
type Body = Omit<FileBlocks, 'inode'>;

const blocksOf = (
  cursor: Cursor,
  {
    startBytes,
    sizeBytes,
    fragment,
    offsetBytes,
  }: Readonly<Record<'startBytes' | 'sizeBytes' | 'fragment' | 'offsetBytes', number>>,
  blockBytes: number,
): Body => {
  const hasFragment = fragment !== noFragment;
  const count = hasFragment ? Math.floor(sizeBytes / blockBytes) : Math.ceil(sizeBytes / blockBytes);
  const blocks: { lengthBytes: number; isStored: boolean }[] = [];
  for (let index = 0; index < count; index += 1) {
    const word = cursor.u32();
    const lengthBytes = word & lengthMask;
    if (lengthBytes > blockBytes) refuse('a data block is longer than a block', cursor.at());
    blocks.push({ lengthBytes, isStored: (word & storedFlag) !== 0 });
  }
  return { startBytes, sizeBytes, blocks, fragment: hasFragment ? { index: fragment, offsetBytes } : null };
};

const readExtendedDirectory = (cursor: Cursor): void => {
  cursor.skip(16);
  const indexes = cursor.u16();
  cursor.skip(6);
  for (let index = 0; index < indexes; index += 1) {
    cursor.skip(8);
    const nameBytes = cursor.u32() + 1;
    if (nameBytes > nameBytesMax) refuse('a name in a directory index is too long', cursor.at());
    cursor.skip(nameBytes);
  }
};

const readSymlink = (cursor: Cursor): void => {
  cursor.skip(4);
  const targetBytes = cursor.u32();
  if (targetBytes > symlinkBytesMax) refuse('the target of a symbolic link is too long', cursor.at());
  cursor.skip(targetBytes);
};

/** What follows the common header, by the type of the inode; null: it has no data blocks. */
const readBody = (type: number, cursor: Cursor, blockBytes: number): Body | null => {
  switch (type) {
    case 1:
      cursor.skip(16);
      return null;
    case 2: {
      const [startBytes, fragment, offsetBytes, sizeBytes] = [cursor.u32(), cursor.u32(), cursor.u32(), cursor.u32()];
      return blocksOf(cursor, { startBytes, fragment, offsetBytes, sizeBytes }, blockBytes);
    }
    case 3:
      readSymlink(cursor);
      return null;
    case 4:
    case 5:
      cursor.skip(8);
      return null;
    case 6:
    case 7:
      cursor.skip(4);
      return null;
    case 8:
      readExtendedDirectory(cursor);
      return null;
    case 9: {
      const [startBytes, sizeBytes] = [cursor.u64(), cursor.u64()];
      cursor.skip(12);
      const [fragment, offsetBytes] = [cursor.u32(), cursor.u32()];
      cursor.skip(4);
      return blocksOf(cursor, { startBytes, sizeBytes, fragment, offsetBytes }, blockBytes);
    }
    case 10:
      readSymlink(cursor);
      cursor.skip(4);
      return null;
    case 11:
    case 12:
      cursor.skip(12);
      return null;
    case 13:
    case 14:
      cursor.skip(8);
      return null;
    default:
      return refuse(`an inode of type ${type} is not known`, cursor.at());
  }
};

/** Every regular file's blocks, in the order of the table. `inodes`: how many the superblock says there are. Throws IMAGE_UNUSABLE. */
export const readInodes = (table: Buffer, inodes: number, blockBytes: number): readonly FileBlocks[] => {
  const files: FileBlocks[] = [];
  let at = 0;
  for (let count = 0; count < inodes; count += 1) {
    const cursor = createCursor(table, at);
    const type = cursor.u16();
    cursor.skip(headerBytes - 6);
    const inode = cursor.u32();
    const file = readBody(type, cursor, blockBytes);
    if (file !== null) files.push({ inode, ...file });
    at = cursor.at();
  }
  if (at !== table.length) refuse('the inode table holds more than its inodes', at);
  return files;
};
