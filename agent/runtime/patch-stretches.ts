// Cuts what a patch makes where the chunk index can check it. A chunk that does not come out right is told as one to be fetched,
// whatever part of it was wrong. Holds one chunk at the most. Without an index each piece is a stretch, and the image's digest decides.

import type { ChunkTable, PatchedPiece } from '../core/ports.ts';
import { chunkAt } from './chunk-plan.ts';

export interface Stretch {
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  /** Valid until the next stretch; null: to be fetched. */
  readonly bytes: Uint8Array | null;
  /** Of them, those that were copied from the old image. */
  readonly oldBytes: number;
  /** Of them, those that were fetched as they are. */
  readonly fetchedBytes: number;
  /** What the patch says of bytes that are fetched in its place; null: nothing. */
  readonly isRight: ((bytes: Uint8Array) => boolean) | null;
}

export interface Stretches {
  /** The stretches that this piece completes. Pieces come in order, the first where the first stretch begins. */
  take(piece: PatchedPiece): Iterable<Stretch>;
}

const lengthOf = (piece: PatchedPiece): number => (piece.kind === 'bytes' ? piece.bytes.length : piece.lengthBytes);

/** Pieces as they are. */
const pieceByPiece = function* (piece: PatchedPiece): Generator<Stretch> {
  const { offsetBytes } = piece;
  const bytes = piece.kind === 'bytes' ? piece.bytes : null;
  const lengthBytes = lengthOf(piece);
  const isRight = piece.kind === 'bytes' ? null : (piece.isRight ?? null);
  const of = (origin: 'old' | 'fetched'): number =>
    piece.kind === 'bytes' && piece.origin === origin ? lengthBytes : 0;
  yield { offsetBytes, lengthBytes, bytes, oldBytes: of('old'), fetchedBytes: of('fetched'), isRight };
};

/** `startBytes`: where a chunk begins. */
export const createStretches = (table: ChunkTable | null, startBytes: number): Stretches => {
  if (table === null) return { take: pieceByPiece };
  let chunk = chunkAt(table, startBytes);
  let at = startBytes;
  /** The chunk so far, where it takes more than one piece; zeros where one is missing. */
  let begun: Uint8Array | null = null;
  let oldBytes = 0;
  let fetchedBytes = 0;

  const complete = (bytes: Uint8Array): Stretch => {
    const offsetBytes = table.offsetOf(chunk);
    const isRight = table.isChunk(chunk, bytes);
    const whole = isRight ? bytes : null;
    const stretch = { offsetBytes, lengthBytes: bytes.length, bytes: whole, oldBytes, fetchedBytes, isRight: null };
    chunk += 1;
    begun = null;
    oldBytes = 0;
    fetchedBytes = 0;
    return stretch;
  };

  const take = function* (piece: PatchedPiece): Generator<Stretch> {
    const end = piece.offsetBytes + lengthOf(piece);
    while (at < end) {
      const start = table.offsetOf(chunk);
      const chunkEnd = table.offsetOf(chunk + 1);
      const to = Math.min(end, chunkEnd);
      const part = piece.kind === 'bytes' ? piece.bytes.subarray(at - piece.offsetBytes, to - piece.offsetBytes) : null;
      if (piece.kind === 'bytes' && piece.origin === 'old') oldBytes += to - at;
      if (piece.kind === 'bytes' && piece.origin === 'fetched') fetchedBytes += to - at;
      const isAlone = at === start && to === chunkEnd && part !== null;
      if (!isAlone) {
        begun ??= new Uint8Array(chunkEnd - start);
        if (part !== null) begun.set(part, at - start);
      }
      at = to;
      if (to === chunkEnd) yield complete(isAlone ? part : (begun as Uint8Array));
    }
  };
  return { take };
};
