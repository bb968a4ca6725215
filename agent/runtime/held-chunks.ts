// The slots of this gateway as a source of chunks: the running one, and what the other one still holds ahead of the bytes that are
// written into it. Reads only, past the page cache. A slot that does not hold what its index says is given up.

import type { ChunkTable, Indexing, SlotReader } from '../core/ports.ts';
import { ceilToBlock, floorToBlock } from '../core/slot-layout.ts';
import type { ChunkPlace, ChunkStep, FindChunk } from './chunk-plan.ts';
import { isMediumFault } from './slot-medium.ts';

/** So many chunks of a slot may be others than its index says before it is not asked again. */
const missesMax = 8;

export interface HeldSlot {
  readonly place: ChunkPlace['place'];
  readonly reader: SlotReader;
  readonly table: ChunkTable;
}

export interface HeldChunks {
  /** Where to copy a chunk from, if anywhere. */
  readonly find: FindChunk;
  /** The bytes of a run, valid until the next call; null where the medium does not give them back. */
  read(step: Extract<ChunkStep, { kind: 'copy' }>, signal: AbortSignal): Promise<Uint8Array | null>;
  /** Notes a chunk that was not what the index says. True when its slot is given up for that: then plans are out of date. */
  miss(place: ChunkPlace['place']): boolean;
}

interface Candidate extends HeldSlot {
  readonly matches: Int32Array;
  misses: number;
}

/** Unaligned bytes of a slot, by whole blocks. */
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
    if (!isMediumFault(error)) throw error;
    return null;
  }
};

/** `slots` in the order in which they are asked. */
export const createHeldChunks = (
  wanted: ChunkTable,
  slots: readonly HeldSlot[],
  { match }: Pick<Indexing, 'match'>,
): HeldChunks => {
  let candidates: readonly Candidate[] = slots.map((held) => ({
    ...held,
    matches: match(wanted, held.table),
    misses: 0,
  }));
  return {
    find: (chunk) => {
      for (const { place, table, matches } of candidates) {
        const match = matches[chunk] ?? -1;
        if (match < 0) continue;
        const offsetBytes = table.offsetOf(match);
        // Whatever the other slot held before these bytes is overwritten by the time that they are needed.
        if (place === 'running' || offsetBytes >= wanted.offsetOf(chunk)) return { place, offsetBytes };
      }
      return null;
    },
    read: async ({ place, offsetBytes, first, end }, signal) => {
      const held = candidates.find((candidate) => candidate.place === place);
      if (held === undefined) return null;
      return readBytes(held.reader, offsetBytes, wanted.offsetOf(end) - wanted.offsetOf(first), signal);
    },
    miss: (place) => {
      const held = candidates.find((candidate) => candidate.place === place);
      if (held === undefined) return false;
      held.misses += 1;
      if (held.misses < missesMax) return false;
      candidates = candidates.filter((candidate) => candidate !== held);
      return true;
    },
  };
};
