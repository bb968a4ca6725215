// The port through which the install pipeline uses chunk indexes.

import type { ChunkTable, Indexing } from '../agent/core/ports.ts';
import { decodeIndex, digestOf, indexBytesMax, indexLengthOf } from './chunk-index.ts';
import { matchChunks } from './chunk-match.ts';

const decode = (bytes: Uint8Array): ChunkTable => {
  const { image, count, offsetOf, digestOf: digestAt } = decodeIndex(bytes);
  return {
    imageLengthBytes: image.lengthBytes,
    imageSha256Hex: image.sha256Hex,
    count,
    offsetOf,
    digestOf: digestAt,
    isChunk: (chunk, piece) =>
      piece.length === offsetOf(chunk + 1) - offsetOf(chunk) && digestOf(piece).equals(digestAt(chunk)),
  };
};

export const createIndexing = (): Indexing => ({
  indexBytesMax,
  decode,
  lengthOf: indexLengthOf,
  match: matchChunks,
});
