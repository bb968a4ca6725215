// The slots of this gateway as a source of chunks: the running one, and what the other one still holds ahead of the bytes that are
// written into it. Reads only, past the page cache. A slot that does not hold what its index says is given up.

import type { ChunkTable, SlotReader } from '../core/ports.ts';
import { ceilToBlock, floorToBlock } from '../core/slot-layout.ts';
import type { ChunkPlace, ChunkStep, FindChunk } from './chunk-plan.ts';
import { isDeviceFault } from './slot-medium.ts';

/** So many chunks of what a slot holds may be others than its index says before it is not asked again. */
const missesMax = 8;

export interface HeldSlot {
  readonly place: ChunkPlace['place'];
  readonly reader: SlotReader;
  readonly table: ChunkTable;
  /** For each chunk of the wanted image the chunk of this table with the same bytes, or -1. */
  readonly matches: Int32Array;
}

export interface HeldChunks {
  /** Where to copy a chunk from, if anywhere. */
  readonly find: FindChunk;
  /** The bytes of a run, valid until the next call; null where the medium does not give them back. */
  read(step: Extract<ChunkStep, { kind: 'copy' }>, signal: AbortSignal): Promise<Uint8Array | null>;
  /** Notes a chunk that was not what the index says. True when what it came from is given up for that: then plans are out of date. */
  miss(place: ChunkPlace): boolean;
}

/** Unaligned bytes of a slot, by whole blocks; null where it does not give them back. */
export const readBytes = async (
  reader: SlotReader,
  offsetBytes: number,
  lengthBytes: number,
  signal: AbortSignal,
): Promise<Uint8Array | null> => {
  const from = floorToBlock(offsetBytes);
  const to = ceilToBlock(offsetBytes + lengthBytes);
  if (to > reader.sizeBytes) return null;
  try {
    const blocks = await reader.read(from, to - from, signal);
    return blocks.subarray(offsetBytes - from, offsetBytes - from + lengthBytes);
  } catch (error) {
    if (!isDeviceFault(error)) throw error;
    return null;
  }
};

/** `slots` in the order in which they are asked. */
export const createHeldChunks = (wanted: ChunkTable, slots: readonly HeldSlot[]): HeldChunks => {
  const holdings = slots.map((held, holding) => ({ ...held, holding, misses: 0 }));
  return {
    find: (chunk) => {
      for (const { place, holding, table, matches, misses } of holdings) {
        const match = misses < missesMax ? (matches[chunk] ?? -1) : -1;
        if (match < 0) continue;
        const offsetBytes = table.offsetOf(match);
        // Whatever the other slot held before these bytes is overwritten by the time that they are needed.
        if (place === 'running' || offsetBytes >= wanted.offsetOf(chunk)) return { place, holding, offsetBytes };
      }
      return null;
    },
    read: async ({ holding, offsetBytes, first, end }, signal) => {
      const held = holdings[holding];
      if (held === undefined) return null;
      return readBytes(held.reader, offsetBytes, wanted.offsetOf(end) - wanted.offsetOf(first), signal);
    },
    miss: ({ holding }) => {
      const held = holdings[holding];
      if (held === undefined) return false;
      held.misses += 1;
      return held.misses === missesMax;
    },
  };
};
