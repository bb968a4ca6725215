// The old space of a patch: the old image's blocks that it needs, unpacked, one after another. Unpacks what is asked for and
// keeps the last few, since a patch jumps back and forth between them.

import { OtadError } from '../agent/core/errors.ts';
import type { ByteSource } from './byte-source.ts';
import { refusePatch } from './number-stream.ts';
import type { OldBlock } from './patch-head.ts';
import type { Zstd } from './zstd.ts';

/** 32 blocks of 128 KiB: as many misses again as there are blocks, where 8 would have three times that. */
const cacheBytesMin = 4 * 1024 * 1024;
const cacheBlocksMin = 8;

export interface OldSpace {
  readonly lengthBytes: number;
  /** Hands over the pieces of a range, in order. False: a block cannot be read or does not unpack. Throws PATCH_MALFORMED. */
  visit(at: number, lengthBytes: number, each: (bytes: Uint8Array, from: number) => void): Promise<boolean>;
}

/** Bytes of unpacked blocks by number, the least recently used ones dropped. */
export const createBlockCache = (bytesMax: number) => {
  const kept = new Map<number, Uint8Array>();
  let keptBytes = 0;
  return {
    get: (index: number): Uint8Array | undefined => {
      const bytes = kept.get(index);
      if (bytes === undefined) return undefined;
      kept.delete(index);
      kept.set(index, bytes);
      return bytes;
    },
    keep: (index: number, bytes: Uint8Array): void => {
      kept.set(index, bytes);
      keptBytes += bytes.length;
      for (const [oldest, old] of kept) {
        if (keptBytes <= bytesMax) return;
        kept.delete(oldest);
        keptBytes -= old.length;
      }
    },
  };
};

/** The block's bytes; throws what the source throws, and a RangeError on damage. */
const unpackBlock = async (source: ByteSource, block: OldBlock, zstd: Zstd): Promise<Uint8Array> => {
  const stored = await source.read(block.offsetBytes, block.lengthBytes);
  const bytes = block.isStored ? stored : zstd.decompress(stored, block.rawBytes);
  if (bytes.length !== block.rawBytes) throw new RangeError('a block has another length than the patch says');
  return bytes;
};

/** Starts of the blocks in the old space; one more for its end. */
export const spaceStarts = (blocks: readonly { readonly rawBytes: number }[]): Float64Array => {
  const starts = new Float64Array(blocks.length + 1);
  for (const [index, { rawBytes }] of blocks.entries()) starts[index + 1] = (starts[index] as number) + rawBytes;
  return starts;
};

/** The block that holds the byte. */
const blockAt = (starts: Float64Array, at: number): number => {
  let low = 0;
  let high = starts.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >>> 1;
    if ((starts[middle] as number) <= at) low = middle;
    else high = middle;
  }
  return low;
};

export interface OldSpaceTools {
  readonly zstd: Zstd;
  /** So many blocks may be unpacked by now, those that are unpacked again included. A patch that wants more is refused. */
  readonly unpackedMax: () => number;
}

export const createOldSpace = (
  source: ByteSource,
  blocks: readonly OldBlock[],
  blockBytes: number,
  { zstd, unpackedMax }: OldSpaceTools,
): OldSpace => {
  const starts = spaceStarts(blocks);
  const cache = createBlockCache(Math.max(cacheBytesMin, cacheBlocksMin * blockBytes));
  let unpackedBlocks = 0;
  const bytesOf = async (index: number): Promise<Uint8Array> => {
    const known = cache.get(index);
    if (known !== undefined) return known;
    unpackedBlocks += 1;
    if (unpackedBlocks > unpackedMax()) return refusePatch('it unpacks old blocks over and over');
    const bytes = await unpackBlock(source, blocks[index] as OldBlock, zstd);
    cache.keep(index, bytes);
    return bytes;
  };
  return {
    lengthBytes: starts[blocks.length] as number,
    visit: async (at, lengthBytes, each) => {
      try {
        for (let done = 0; done < lengthBytes; ) {
          const index = blockAt(starts, at + done);
          const bytes = await bytesOf(index);
          const from = at + done - (starts[index] as number);
          const part = bytes.subarray(from, from + lengthBytes - done);
          if (part.length === 0) return false;
          each(part, done);
          done += part.length;
        }
        return true;
      } catch (error) {
        if (error instanceof OtadError && error.code === 'PATCH_MALFORMED') throw error;
        // Which of the many other ways of failing it was does not matter: what cannot be had from here is fetched.
        return false;
      }
    },
  };
};
