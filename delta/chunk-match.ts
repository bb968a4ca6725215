// Finds the chunks of one index in another: a table over the digests, packed, so that two large images fit into a few
// megabytes. Pure.

import type { ChunkTable } from '../agent/core/ports.ts';

/** Digests that share a place are tried this often; chunks made to collide cost a fetch, never a search without end. */
const probesMax = 64;

const isSame = (one: ChunkTable, chunk: number, other: ChunkTable, candidate: number): boolean =>
  one.offsetOf(chunk + 1) - one.offsetOf(chunk) === other.offsetOf(candidate + 1) - other.offsetOf(candidate) &&
  Buffer.compare(one.digestOf(chunk), other.digestOf(candidate)) === 0;

/** For each chunk of `wanted` a chunk of `held` with the same bytes, or -1. */
export const matchChunks = (wanted: ChunkTable, held: ChunkTable): Int32Array => {
  const places = 2 ** Math.ceil(Math.log2(held.count * 2));
  const table = new Int32Array(places).fill(-1);
  const placeOf = (index: ChunkTable, chunk: number, probe: number): number => {
    const [one = 0, two = 0, three = 0, four = 0] = index.digestOf(chunk);
    return ((one | (two << 8) | (three << 16) | (four << 24)) + probe) & (places - 1);
  };
  for (let chunk = 0; chunk < held.count; chunk += 1) {
    for (let probe = 0; probe < probesMax; probe += 1) {
      const place = placeOf(held, chunk, probe);
      if (table[place] !== -1) continue;
      table[place] = chunk;
      break;
    }
  }
  const found = new Int32Array(wanted.count).fill(-1);
  for (let chunk = 0; chunk < wanted.count; chunk += 1) {
    for (let probe = 0; probe < probesMax; probe += 1) {
      const candidate = table[placeOf(wanted, chunk, probe)] ?? -1;
      if (candidate === -1) break;
      if (!isSame(wanted, chunk, held, candidate)) continue;
      found[chunk] = candidate;
      break;
    }
  }
  return found;
};
