// Checks a chunk index against the bytes of its image as they stream by, chunk by chunk: an index that names other bytes would
// send every gateway that goes by it back to the whole image.

import { OtadError } from '../../agent/core/errors.ts';
import { type ChunkIndex, decodeIndex, digestOf } from '../../delta/chunk-index.ts';

export interface IndexedImage {
  readonly lengthBytes: number;
  readonly sha256Hex: string;
}

export interface IndexCheck {
  push(piece: Uint8Array): void;
  /** After the last piece. */
  check(): void;
}

/** Throws INDEX_MALFORMED unless these bytes are an index that says it is of this image. */
export const readIndexOf = (bytes: Uint8Array, image: IndexedImage): ChunkIndex => {
  const index = decodeIndex(bytes);
  if (index.image.lengthBytes !== image.lengthBytes || index.image.sha256Hex !== image.sha256Hex) {
    throw new OtadError('INDEX_MALFORMED', { reason: 'it is of another image' });
  }
  return index;
};

export const createIndexCheck = (index: ChunkIndex): IndexCheck => {
  let chunk = 0;
  let rest: Buffer = Buffer.alloc(0);
  let wrongAt: number | null = null;
  return {
    push: (piece) => {
      rest = Buffer.concat([rest, piece]);
      while (chunk < index.count) {
        const lengthBytes = index.offsetOf(chunk + 1) - index.offsetOf(chunk);
        if (rest.length < lengthBytes) return;
        const isSame = digestOf(rest.subarray(0, lengthBytes)).equals(index.digestOf(chunk));
        if (!isSame) wrongAt ??= index.offsetOf(chunk);
        rest = rest.subarray(lengthBytes);
        chunk += 1;
      }
    },
    check: () => {
      if (wrongAt !== null || chunk !== index.count) {
        const reason = 'a chunk has another digest than the bytes of the image';
        throw new OtadError('INDEX_MALFORMED', { reason, offsetBytes: wrongAt ?? index.offsetOf(chunk) });
      }
    },
  };
};
