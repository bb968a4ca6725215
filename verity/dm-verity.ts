// dm-verity, format 1: superblock and hash tree byte for byte as `veritysetup format --hash-offset` writes them (SHA-256,
// blocks of 4096 bytes, salt before the block). Never trusts a superblock: every parameter comes from signed metadata.

import { hash } from 'node:crypto';
import { OtadError } from '../agent/core/errors.ts';
import type { TreeBuilder, TreeSink } from '../agent/core/ports.ts';
import { blockSizeBytes, ceilToBlock } from '../agent/core/slot-layout.ts';
import type { VerityParameters } from '../agent/core/types.ts';

const digestBytes = 32;
const digestsPerBlock = blockSizeBytes / digestBytes;
const superblockBytes = blockSizeBytes;

/** The field in the superblock has room for 256 bytes. */
export const saltBytesMax = 256;

/**
 * The UUID of every superblock: all zero. It protects nothing (the kernel never reads it, the root does not cover it), and
 * a fixed one lets publisher and gateway write the same bytes without agreeing on one.
 */
export const superblockUuid: Uint8Array = new Uint8Array(16);

/** Blocks of the lowest level that are handed to a sink at once: 256 KiB of tree, for 32 MiB of image. */
const runBlocksMax = 64;

/** Largest piece that is read at once to compute a root. */
const readBytesMax = 1024 * 1024;

interface Level {
  readonly blocks: number;
  /** From the start of the superblock. */
  readonly offsetBytes: number;
}

/** The levels of the tree, lowest first. One data block needs none: its digest is the root. */
const levelsOf = (dataBlocks: number): readonly Level[] => {
  const counts: number[] = [];
  for (let blocks = dataBlocks; blocks > 1; ) {
    blocks = Math.ceil(blocks / digestsPerBlock);
    counts.push(blocks);
  }
  // The root's level stands first in the file, the lowest last.
  return counts.map((blocks, index) => ({
    blocks,
    offsetBytes: superblockBytes + blockSizeBytes * counts.slice(index + 1).reduce((sum, above) => sum + above, 0),
  }));
};

const dataBlocksOf = (imageLengthBytes: number): number => {
  if (!Number.isSafeInteger(imageLengthBytes) || imageLengthBytes <= 0) {
    throw new OtadError('RELEASE_MALFORMED', { imageLengthBytes });
  }
  return ceilToBlock(imageLengthBytes) / blockSizeBytes;
};

/** Bytes of superblock and tree for an image of this length. */
export const treeLengthBytes = (imageLengthBytes: number): number =>
  levelsOf(dataBlocksOf(imageLengthBytes)).reduce((sum, level) => sum + level.blocks * blockSizeBytes, superblockBytes);

const saltOf = (saltHex: string): Buffer => {
  if (!/^(?:[0-9a-f]{2})*$/.test(saltHex) || saltHex.length > 2 * saltBytesMax) {
    throw new OtadError('RELEASE_MALFORMED', { field: 'verity.saltHex', charsMax: 2 * saltBytesMax });
  }
  return Buffer.from(saltHex, 'hex');
};

const writeSuperblock = (target: Buffer, salt: Buffer, dataBlocks: number): void => {
  target.write('verity\0\0', 0, 'latin1');
  target.writeUInt32LE(1, 8); // version of the superblock
  target.writeUInt32LE(1, 12); // hash type: the ordinary one, not Chrome OS's
  target.set(superblockUuid, 16);
  target.write('sha256', 32, 'latin1');
  target.writeUInt32LE(blockSizeBytes, 64); // data blocks
  target.writeUInt32LE(blockSizeBytes, 68); // hash blocks
  target.writeBigUInt64LE(BigInt(dataBlocks), 72);
  target.writeUInt16LE(salt.length, 80);
  target.set(salt, 88);
};

/** Writes SHA-256(salt || block) of a block in `source` to `target`. */
type BlockDigest = (source: Buffer, sourceOffset: number, target: Buffer, targetOffset: number) => void;

const createBlockDigest = (salt: Buffer): BlockDigest => {
  const salted = Buffer.alloc(salt.length + blockSizeBytes);
  salted.set(salt);
  return (source, sourceOffset, target, targetOffset) => {
    source.copy(salted, salt.length, sourceOffset, sourceOffset + blockSizeBytes);
    // One call that gives a one-byte string costs a third less CPU than a hash object for each block.
    target.write(hash('sha256', salted, 'binary'), targetOffset, 'latin1');
  };
};

const asBuffer = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/**
 * The tree over an image of `imageLengthBytes`, fed in order. Without a sink, `finish` gives all of superblock and tree;
 * with one, the lowest level goes to the sink in runs of up to 256 KiB and what is left takes 1/16000 of the image.
 */
export const createTreeBuilder = (
  verity: Pick<VerityParameters, 'saltHex'>,
  imageLengthBytes: number,
  sink?: TreeSink,
): TreeBuilder => {
  const dataBlocks = dataBlocksOf(imageLengthBytes);
  const salt = saltOf(verity.saltHex);
  const digest = createBlockDigest(salt);
  const levels = levelsOf(dataBlocks);
  const lowest = levels[0];
  const total = treeLengthBytes(imageLengthBytes);
  const head = Buffer.alloc(sink === undefined || lowest === undefined ? total : lowest.offsetBytes);
  const emit: TreeSink = sink ?? ((offsetBytes, bytes) => head.set(bytes, offsetBytes));
  const root = Buffer.alloc(digestBytes);
  const run = Buffer.alloc(Math.min(lowest?.blocks ?? 0, runBlocksMax) * blockSizeBytes);
  let count = 0; // data blocks so far
  let emitted = 0; // blocks of the lowest level so far

  /** Puts the digest of block `index` of `level` where its parent holds it. */
  const raise = (level: number, index: number, source: Buffer, sourceOffset: number): void => {
    const parent = levels[level + 1];
    if (parent === undefined) digest(source, sourceOffset, root, 0);
    else digest(source, sourceOffset, head, parent.offsetBytes + index * digestBytes);
  };

  const emitRun = (lengthBytes: number): void => {
    for (let offset = 0; offset < lengthBytes; offset += blockSizeBytes) {
      raise(0, emitted + offset / blockSizeBytes, run, offset);
    }
    emit((lowest?.offsetBytes ?? 0) + emitted * blockSizeBytes, new Uint8Array(run.subarray(0, lengthBytes)));
    emitted += lengthBytes / blockSizeBytes;
    run.fill(0);
  };

  return {
    update(bytes) {
      const source = asBuffer(bytes);
      const blocks = source.length / blockSizeBytes;
      if (!Number.isInteger(blocks) || count + blocks > dataBlocks) {
        throw new OtadError('INTERNAL', { step: 'verity', lengthBytes: bytes.length, count, dataBlocks });
      }
      for (let offset = 0; offset < source.length; offset += blockSizeBytes) {
        if (lowest === undefined) {
          digest(source, offset, root, 0);
        } else {
          const at = (count * digestBytes) % run.length;
          digest(source, offset, run, at);
          if (at + digestBytes === run.length) emitRun(run.length);
        }
        count += 1;
      }
    },
    finish() {
      if (count !== dataBlocks) throw new OtadError('INTERNAL', { step: 'verity', count, dataBlocks });
      if (lowest !== undefined && emitted < lowest.blocks) emitRun((lowest.blocks - emitted) * blockSizeBytes);
      levels.forEach((level, index) => {
        for (let block = 0; index > 0 && block < level.blocks; block += 1) {
          raise(index, block, head, level.offsetBytes + block * blockSizeBytes);
        }
      });
      writeSuperblock(head, salt, dataBlocks);
      return { rootHex: root.toString('hex'), bytes: head };
    },
  };
};

/** Gives exactly `lengthBytes` bytes of an image from `offsetBytes` on. */
export type ImageReader = (offsetBytes: number, lengthBytes: number) => Promise<Uint8Array>;

/** The root (lower-case hex) of an image that is read piece by piece; a partial last block counts as padded with zeros. */
export const computeRoot = async (
  read: ImageReader,
  saltHex: string,
  imageLengthBytes: number,
  signal: AbortSignal,
): Promise<string> => {
  const tree = createTreeBuilder({ saltHex }, imageLengthBytes, () => {});
  for (let offset = 0; offset < imageLengthBytes; offset += readBytesMax) {
    if (signal.aborted) throw new OtadError('CANCELLED', { step: 'verity' });
    const piece = await read(offset, Math.min(readBytesMax, imageLengthBytes - offset));
    if (piece.length % blockSizeBytes === 0) {
      tree.update(piece);
    } else {
      const padded = new Uint8Array(ceilToBlock(piece.length));
      padded.set(piece);
      tree.update(padded);
    }
  }
  return tree.finish().rootHex;
};

/** Throws VERITY_ROOT_MISMATCH unless the image that `read` gives has the root of `verity`. */
export const verifyImage = async (
  read: ImageReader,
  verity: VerityParameters,
  imageLengthBytes: number,
  signal: AbortSignal,
): Promise<void> => {
  const actual = await computeRoot(read, verity.saltHex, imageLengthBytes, signal);
  if (actual !== verity.rootHex) throw new OtadError('VERITY_ROOT_MISMATCH', { expected: verity.rootHex, actual });
};
