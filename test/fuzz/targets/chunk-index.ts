// The chunk index: refused, or exactly the bytes that its content encodes to.

import {
  type ChunkIndex,
  decodeIndex,
  digestOf,
  encodeIndex,
  type IndexedImage,
  indexLengthOf,
} from '../../../delta/chunk-index.ts';
import { attempt, type FuzzTarget, type Judge, mustEqual } from '../target.ts';

const chunksOf = (index: ChunkIndex) =>
  Array.from({ length: index.count }, (_, chunk) => ({
    lengthBytes: index.offsetOf(chunk + 1) - index.offsetOf(chunk),
    digestHex: index.digestOf(chunk).toString('hex'),
  }));

const judgeBy =
  (decode: (bytes: Uint8Array) => ChunkIndex): Judge =>
  (input) => {
    const lengthBytes = indexLengthOf(input);
    const { value: index, label } = attempt(['INDEX_MALFORMED'], () => decode(input));
    if (index === null) return label;
    mustEqual(
      'does not encode back to itself',
      Buffer.from(encodeIndex(index.image, chunksOf(index))).toString('hex'),
      Buffer.from(input).toString('hex'),
    );
    mustEqual('the header says another length', String(lengthBytes), String(input.length));
    return 'accepted';
  };

const anImage: IndexedImage = {
  lengthBytes: 0,
  sha256Hex: '5a'.repeat(32),
  codec: 'zstd',
  level: 15,
  blockBytes: 131_072,
};

const seedOf = (lengths: readonly number[]): Uint8Array =>
  encodeIndex(
    { ...anImage, lengthBytes: lengths.reduce((sum, length) => sum + length, 0) },
    lengths.map((lengthBytes) => ({ lengthBytes, digestHex: digestOf(Buffer.from(`${lengthBytes}`)).toString('hex') })),
  );

const headerBytes = 64;
const entryBytes = 20;

export const chunkIndexTarget = (): FuzzTarget => ({
  name: 'chunk-index',
  seeds: [
    seedOf([96]),
    seedOf([96, 17_000, 700, 40_000, 1_048_576]),
    seedOf(Array.from({ length: 200 }, (_, index) => index + 1)),
  ],
  dictionary: ['OTADINDX', '\u0001\u0000\u0000\u0000', '\u0000\u0000\u0010\u0000'],
  // Counts and sums that fit, so that mutants get as far as the entries.
  mend: (input) => {
    const chunks = Math.max(0, Math.floor((input.length - headerBytes) / entryBytes));
    const bytes = Buffer.from(input.subarray(0, headerBytes + chunks * entryBytes));
    if (bytes.length < headerBytes) return input;
    let sum = 0;
    for (let at = headerBytes; at < bytes.length; at += entryBytes) sum += bytes.readUInt32LE(at);
    bytes.writeUInt32LE(chunks, 12);
    bytes.writeBigUInt64LE(BigInt(sum), 16);
    return bytes;
  },
  judge: judgeBy(decodeIndex),
  canary: {
    bug: 'bytes behind the last chunk are passed over',
    judge: judgeBy((bytes) => {
      const count = bytes.length >= headerBytes ? Buffer.from(bytes).readUInt32LE(12) : 0;
      return decodeIndex(bytes.subarray(0, headerBytes + count * entryBytes));
    }),
  },
});
