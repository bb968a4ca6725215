// The superblock of a squashfs 4.0 image (kernel documentation, filesystems/squashfs; fields little-endian). Parsing checks
// every relation that the tables' readers rely on, so that they need not.

import { OtadError } from '../agent/core/errors.ts';

export const superblockBytes = 96;
const magic = 0x73717368;

/** By the number that the superblock holds. */
export const squashfsCodecs = { 1: 'gzip', 2: 'lzma', 3: 'lzo', 4: 'xz', 5: 'lz4', 6: 'zstd' } as const;
export type SquashfsCodec = (typeof squashfsCodecs)[keyof typeof squashfsCodecs];

const blockBytesMin = 4096;
const blockBytesMax = 1024 * 1024;
/** 4 million inodes is far beyond any root file system. It bounds what is kept of each; for the bytes see `inodeTableBytesMax`. */
const inodesMax = 2 ** 22;
/** Bounds the memory of the inode table: 64 bytes for each of 4 million inodes, which is about what a real one takes. */
const inodeTableBytesLimit = 256 * 1024 * 1024;
/** What any image may take: the block lists of 256 GiB of holes and copies, at the usual 128 KiB. */
const inodeTableBytesSpare = 8 * 1024 * 1024;
/** On average, links' targets and directories' indexes included; a plain one takes 20 to 56. */
const inodeBytesMax = 256;
/** A word for each block of a file, and sixteen blocks packed to the length of one. */
const listBytesPerBlock = 4 * 16;
/** Zstd packs the inodes of a tree of nothing but empty files to a 24th. */
const inodePackingMax = 64;
/** A table that the image does not have. */
const absent = 0xffff_ffff_ffff_ffffn;

const compressorOptionsFlag = 0x0400;

export interface Superblock {
  readonly inodes: number;
  readonly blockBytes: number;
  readonly fragments: number;
  readonly codec: SquashfsCodec;
  /** A metadata block with options of the compressor follows the superblock. */
  readonly hasCodecOptions: boolean;
  readonly ids: number;
  /** Length of the file system; what follows is padding. */
  readonly usedBytes: number;
  /** Starts of the tables, in the order in which they lie in an image; null where there is none. */
  readonly tables: {
    readonly inodes: number;
    readonly directories: number;
    readonly fragments: number | null;
    readonly exports: number | null;
    readonly ids: number;
    readonly xattrs: number | null;
  };
}

/** The most that the inode table may unpack to: by its inodes and the image's length, and by its own length in the image. */
export const inodeTableBytesMax = ({
  inodes,
  blockBytes,
  usedBytes,
  tables,
}: Pick<Superblock, 'inodes' | 'blockBytes' | 'usedBytes'> & {
  readonly tables: Pick<Superblock['tables'], 'inodes' | 'directories'>;
}): number => {
  const byContent = inodes * inodeBytesMax + Math.ceil(usedBytes / blockBytes) * listBytesPerBlock;
  const byPacking = (tables.directories - tables.inodes) * inodePackingMax;
  return Math.min(inodeTableBytesLimit, inodeTableBytesSpare + Math.min(byContent, byPacking));
};

const refuse = (problem: string, details: Readonly<Record<string, string | number>> = {}): never => {
  throw new OtadError('IMAGE_UNUSABLE', { problem, ...details });
};

/** Throws IMAGE_UNUSABLE on what is no superblock of a whole squashfs 4.0 image of `imageLengthBytes`. */
export const parseSuperblock = (bytes: Uint8Array, imageLengthBytes: number): Superblock => {
  const block = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (block.length < superblockBytes || block.readUInt32LE(0) !== magic) {
    return refuse('does not start with a squashfs superblock');
  }
  const version = `${block.readUInt16LE(28)}.${block.readUInt16LE(30)}`;
  if (version !== '4.0') return refuse(`squashfs version ${version}, not 4.0`);
  const inodes = block.readUInt32LE(4);
  if (inodes < 1 || inodes > inodesMax) return refuse('its number of inodes cannot be', { inodes });
  const blockBytes = block.readUInt32LE(12);
  if (blockBytes < blockBytesMin || blockBytes > blockBytesMax || blockBytes !== 2 ** block.readUInt16LE(22)) {
    return refuse('its block size cannot be', { blockBytes });
  }
  const codecNumber = block.readUInt16LE(20);
  const codec = (squashfsCodecs as Readonly<Record<number, SquashfsCodec>>)[codecNumber];
  if (codec === undefined) return refuse('its compressor is not known', { compressor: codecNumber });
  const usedBytes = block.readBigUInt64LE(40);
  if (usedBytes < superblockBytes || usedBytes > BigInt(imageLengthBytes)) {
    return refuse(`${imageLengthBytes} bytes long, but its superblock says ${usedBytes}`);
  }
  const start = (offset: number, name: string): number | null => {
    const value = block.readBigUInt64LE(offset);
    if (value === absent) return null;
    if (value < superblockBytes || value >= usedBytes) return refuse(`its table of ${name} lies outside of the image`);
    return Number(value);
  };
  const present = (offset: number, name: string): number => start(offset, name) ?? refuse(`it has no table of ${name}`);
  const tables = {
    inodes: present(64, 'inodes'),
    directories: present(72, 'directories'),
    fragments: start(80, 'fragments'),
    exports: start(88, 'exports'),
    ids: present(48, 'ids'),
    xattrs: start(56, 'extended attributes'),
  };
  if (tables.directories < tables.inodes) return refuse('its directories lie before its inodes');
  const fragments = block.readUInt32LE(16);
  if (fragments > inodes || (fragments > 0 && tables.fragments === null)) {
    return refuse('its number of fragments cannot be', { fragments });
  }
  return {
    inodes,
    blockBytes,
    fragments,
    codec,
    hasCodecOptions: (block.readUInt16LE(24) & compressorOptionsFlag) !== 0,
    ids: block.readUInt16LE(26),
    usedBytes: Number(usedBytes),
    tables,
  };
};
