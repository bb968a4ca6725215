// Patches, applied to a small old image: refused, or pieces that cover the new image once, from any byte on, each with the
// checksum that stands in the patch; and the same pieces whether applying began at the start or in the middle.

import { brotliDecompressSync, crc32 } from 'node:zlib';
import { OtadError } from '../../../agent/core/errors.ts';
import { bytesSource } from '../../../delta/byte-source.ts';
import { applyPatch } from '../../../delta/patch-apply.ts';
import { DifferenceWriter } from '../../../delta/patch-difference.ts';
import { encodePatch, type OpenPatch, openPatch, packGroup } from '../../../delta/patch-format.ts';
import { type GroupBytes, groupStreams, type PatchHead } from '../../../delta/patch-head.ts';
import { OperationWriter } from '../../../delta/patch-operations.ts';
import type { Random } from '../../bootctl/random.ts';
import { noise } from '../../support/noise.ts';
import { Finding, type FuzzTarget, type Judge } from '../target.ts';

const old = noise(6000, 'old');
const prefixBytes = 24;
/** Mutants say of themselves how long the image is; none longer is applied. */
const imageBytesMax = 1 << 20;

/** Compression that costs nothing: what is fuzzed is the patch, and libzstd has fuzzers of its own. */
const zstd = {
  compress: (bytes: Uint8Array) => Buffer.concat([Buffer.from('Z'), bytes.subarray(0, -1)]),
  decompress: (bytes: Uint8Array, bytesMax: number) => Buffer.alloc(bytesMax, bytes),
};

const piecesOf = async (patch: OpenPatch, fromBytes: number): Promise<Buffer> => {
  const pieces: Uint8Array[] = [];
  let at = fromBytes;
  for await (const piece of applyPatch(patch, bytesSource(old), { zstd, fromBytes })) {
    const lengthBytes = piece.kind === 'bytes' ? piece.bytes.length : piece.lengthBytes;
    if (piece.offsetBytes !== at || lengthBytes < 1)
      throw new Finding(`a piece at ${piece.offsetBytes} instead of ${at}`);
    pieces.push(piece.kind === 'bytes' ? piece.bytes : Buffer.alloc(lengthBytes, '?'));
    at += lengthBytes;
    if (at > patch.head.image.lengthBytes) throw new Finding(`a piece ends at ${at}, behind the image`);
  }
  if (at !== patch.head.image.lengthBytes) throw new Finding(`it ends at ${at} of ${patch.head.image.lengthBytes}`);
  return Buffer.concat(pieces);
};

const judgeBy =
  (pieces: typeof piecesOf): Judge =>
  async (input) => {
    try {
      const patch = await openPatch(bytesSource(input));
      const { lengthBytes } = patch.head.image;
      if (lengthBytes > imageBytesMax) return 'too long to be applied here';
      const whole = await pieces(patch, 0);
      const middle = lengthBytes >> 1;
      if (!(await pieces(patch, middle)).equals(whole.subarray(middle)))
        throw new Finding('other bytes when applying begins in the middle');
      return `accepted with ${patch.head.groups.length} groups`;
    } catch (error) {
      if (error instanceof Finding) throw error;
      if (!(error instanceof OtadError)) throw new Finding(`an untyped error: ${(error as Error).stack}`);
      if (error.code !== 'PATCH_MALFORMED' && error.code !== 'PATCH_BASE_MISMATCH')
        throw new Finding(`${error.code} is no answer of this code: ${error.message}`);
      return `${error.code} ${error.details.reason ?? ''}`.replace(/\d+/g, '0');
    }
  };

const groupOf = (seed: string): { readonly newBytes: number; readonly streams: GroupBytes } => {
  const operations = new OperationWriter();
  const difference = new DifferenceWriter();
  const made: Buffer[] = [];
  const add = (kind: 'raw' | 'block' | 'table' | 'stored-table', raw: Buffer, bytes: Uint8Array): void => {
    const checksum = crc32(bytes) >>> 0;
    operations.add({ kind, lengthBytes: bytes.length, oldOffset: 0, rawBytes: raw.length, checksum });
    made.push(Buffer.from(bytes));
  };
  const copy = old.subarray(500, 900);
  operations.add({ kind: 'copy', lengthBytes: 400, oldOffset: 500, rawBytes: 0, checksum: crc32(copy) >>> 0 });
  made.push(Buffer.from(copy));
  const changed = Buffer.from(old.subarray(1000, 1800));
  for (let at = 7; at < changed.length; at += 90) changed[at] = (changed[at] ?? 0) ^ 3;
  const fresh = noise(150, seed);
  difference.add({ kind: 'old', oldAt: 1000, old: old.subarray(1000, 1800), bytes: changed });
  difference.add({ kind: 'fresh', bytes: fresh });
  difference.add({ kind: 'old', oldAt: 0, old: old.subarray(0, 50), bytes: old.subarray(0, 50) });
  add('block', changed.subarray(0, 600), zstd.compress(changed.subarray(0, 600)));
  add('raw', changed.subarray(600), changed.subarray(600));
  const header = (length: number): Buffer => Buffer.from([length & 255, length >> 8]);
  const packed = zstd.compress(fresh);
  add('table', fresh, Buffer.concat([header(packed.length), packed]));
  add('stored-table', old.subarray(0, 50), Buffer.concat([header(50 | 0x8000), old.subarray(0, 50)]));
  const newBytes = made.reduce((sum, { length }) => sum + length, 0);
  return { newBytes, streams: { ...operations.finish(), ...difference.finish() } };
};

/** The head as it is, so that mutants of it are read. */
const storeHead = (patch: Buffer): Buffer => {
  const packedBytes = patch.readUInt32LE(12);
  const packed = patch.subarray(prefixBytes, prefixBytes + packedBytes);
  const head = packedBytes === patch.readUInt32LE(16) ? packed : brotliDecompressSync(packed);
  const prefix = Buffer.from(patch.subarray(0, prefixBytes));
  prefix.writeUInt32LE(head.length, 12);
  prefix.writeUInt32LE(crc32(head) >>> 0, 20);
  return Buffer.concat([prefix, head, patch.subarray(prefixBytes + packedBytes)]);
};

const seedOf = (...parts: readonly ReturnType<typeof groupOf>[]): Buffer => {
  const groups = parts.map(({ newBytes, streams }) => packGroup(newBytes, streams));
  const lengthBytes = groups.reduce((sum, { entry }) => sum + entry.newBytes, 0);
  const head: PatchHead = {
    base: { lengthBytes: old.length, sha256Hex: 'ab'.repeat(32) },
    image: { lengthBytes, sha256Hex: 'cd'.repeat(32) },
    recompression: { codec: 'zstd', level: 15, blockBytes: 4096, library: 'zstd 1.5.7', selfTestHex: 'ef'.repeat(16) },
    oldBlocks: [
      { offsetBytes: 0, lengthBytes: 1024, rawBytes: 1024, isStored: true },
      { offsetBytes: 1024, lengthBytes: 1024, rawBytes: 1024, isStored: true },
    ],
    groups: groups.map(({ entry }) => entry),
  };
  return storeHead(
    encodePatch(
      head,
      groups.map(({ packed }) => packed),
    ),
  );
};

/** A valid patch but for a few bytes of one stream, which no checksum tells. */
const spoilStream = (random: Random): Uint8Array => {
  const part = groupOf('one');
  const name = random.pick(groupStreams);
  let bytes = Buffer.from(part.streams[name]);
  for (let changes = 1 + random.below(3); changes > 0; changes -= 1) {
    const at = random.below(bytes.length + 1);
    const inserted = random.below(3) === 0 ? [random.below(256)] : [];
    const cut = random.below(3) === 0 ? 0 : 1;
    const changed = cut === 1 && inserted.length === 0 && random.below(2) === 0 ? [random.below(256)] : inserted;
    bytes = Buffer.concat([bytes.subarray(0, at), Buffer.from(changed), bytes.subarray(at + cut)]);
  }
  const newBytes = part.newBytes + (random.below(4) === 0 ? random.below(5) - 2 : 0);
  return seedOf({ newBytes, streams: { ...part.streams, [name]: bytes } }, ...(random.below(2) === 0 ? [part] : []));
};

/** Lengths and checksum of a head that is stored as it is. */
const mendHead = (input: Uint8Array): Uint8Array => {
  const bytes = Buffer.from(input);
  if (bytes.length < prefixBytes) return input;
  const packedBytes = Math.min(bytes.readUInt32LE(12), bytes.length - prefixBytes);
  bytes.writeUInt32LE(packedBytes, 16);
  bytes.writeUInt32LE(crc32(bytes.subarray(prefixBytes, prefixBytes + packedBytes)) >>> 0, 20);
  return bytes;
};

/** Loses what lies before, like code that begins a group at the wrong operation. */
const forgetful: typeof piecesOf = async (patch, fromBytes) => {
  const bytes = await piecesOf(patch, fromBytes);
  return fromBytes === 0 ? bytes : Buffer.concat([bytes.subarray(1), bytes.subarray(0, 1)]);
};

export const patchTarget = (): FuzzTarget => ({
  name: 'patch',
  seeds: [seedOf(groupOf('one')), seedOf(groupOf('one'), groupOf('two'))],
  dictionary: ['OTADPTCH', '\u0001\u0000\u0000\u0000', '\u0080', '\u0000\u0000\u0010\u0000'],
  mend: (mutant, random) => (random.below(2) === 0 ? spoilStream(random) : mendHead(mutant)),
  judge: judgeBy(piecesOf),
  canary: { bug: 'a byte is lost where applying begins in the middle', judge: judgeBy(forgetful) },
});
