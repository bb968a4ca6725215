// Cuts a stream of an image where its chunk index can check it. Holds one chunk at the most, and knows whose bytes it is made of.
// Judges nothing.

import type { ChunkTable } from '../core/ports.ts';

export interface ArrivedChunk {
  readonly chunk: number;
  /** Valid until the next one. */
  readonly bytes: Uint8Array;
  /** Who sent all of it; null: two servers did. */
  readonly server: string | null;
}

export interface ChunkGate {
  /** Bytes of the chunk that has begun to arrive. */
  readonly heldBytes: Uint8Array;
  /** The chunks that these bytes complete. */
  take(bytes: Uint8Array, server: string): Iterable<ArrivedChunk>;
}

/** `first`: the chunk that the stream begins with, or behind `begun` of it, which no server has sent. */
export const createChunkGate = (table: ChunkTable, first: number, begun: Uint8Array): ChunkGate => {
  let chunk = first;
  let memory = begun;
  let filled = begun.length;
  let sender: string | null = null;
  return {
    get heldBytes() {
      return memory.subarray(0, filled);
    },
    *take(bytes, server) {
      for (let rest = bytes; rest.length > 0 && chunk < table.count; ) {
        const lengthBytes = table.offsetOf(chunk + 1) - table.offsetOf(chunk);
        if (memory.length < lengthBytes) {
          const larger = new Uint8Array(lengthBytes);
          larger.set(memory.subarray(0, filled));
          memory = larger;
        }
        const piece = rest.subarray(0, lengthBytes - filled);
        memory.set(piece, filled);
        sender = filled === 0 || sender === server ? server : null;
        filled += piece.length;
        rest = rest.subarray(piece.length);
        if (filled < lengthBytes) return;
        filled = 0;
        yield { chunk, bytes: memory.subarray(0, lengthBytes), server: sender };
        chunk += 1;
      }
    },
  };
};
