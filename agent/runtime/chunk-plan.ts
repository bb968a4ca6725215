// Which chunks of an image are copied and which are fetched, in the order of the image: runs that lie together are one read,
// chunks that are fetched are joined to requests. Pure, and lazy: a large image has a hundred thousand chunks.

import type { ChunkTable } from '../core/ports.ts';

/** A request costs about as much as these bytes: a shorter gap is fetched along. */
export const gapBytesMax = 2048;
/** One request at the most, unless a single chunk is longer: what a cut in it can cost, times the requests in flight. */
export const requestBytesMax = 192 * 1024;
/** One read of a slot at the most. */
export const copyBytesMax = 1024 * 1024;

/** Where a chunk can be copied from. */
export interface ChunkPlace {
  readonly place: 'running' | 'other';
  /** Of what is held there: the other slot may hold two things. */
  readonly holding: number;
  readonly offsetBytes: number;
}

export type ChunkStep =
  | (ChunkPlace & { readonly kind: 'copy'; readonly first: number; readonly end: number })
  | { readonly kind: 'fetch'; readonly first: number; readonly end: number };

/** Null: nowhere. */
export type FindChunk = (chunk: number) => ChunkPlace | null;

const copyEnd = (table: ChunkTable, first: number, from: ChunkPlace, find: FindChunk): number => {
  const start = table.offsetOf(first);
  let end = first + 1;
  while (end < table.count && table.offsetOf(end + 1) - start <= copyBytesMax) {
    const next = find(end);
    if (next === null || next.holding !== from.holding) break;
    if (next.offsetBytes !== from.offsetBytes + table.offsetOf(end) - start) break;
    end += 1;
  }
  return end;
};

const fetchEnd = (table: ChunkTable, first: number, find: FindChunk): number => {
  const start = table.offsetOf(first);
  let end = first + 1;
  for (let next = end; next < table.count; next += 1) {
    const isBeyond = table.offsetOf(next + 1) - start > requestBytesMax;
    const isGapLong = table.offsetOf(next) - table.offsetOf(end) >= gapBytesMax;
    if (isBeyond || isGapLong) break;
    if (find(next) === null) end = next + 1;
  }
  return end;
};

/** The steps from chunk `first` to the end of the image. */
export function* planChunks(table: ChunkTable, first: number, find: FindChunk): Generator<ChunkStep, void> {
  for (let chunk = first; chunk < table.count; ) {
    const from = find(chunk);
    const end = from === null ? fetchEnd(table, chunk, find) : copyEnd(table, chunk, from, find);
    yield from === null ? { kind: 'fetch', first: chunk, end } : { kind: 'copy', ...from, first: chunk, end };
    chunk = end;
  }
}

/** The chunk that holds this byte of the image. */
export const chunkAt = (table: ChunkTable, offsetBytes: number): number => {
  let low = 0;
  let high = table.count;
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (table.offsetOf(middle) <= offsetBytes) low = middle;
    else high = middle;
  }
  return low;
};
