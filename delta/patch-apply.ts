// Makes the new image from the old one and a patch: pieces in the order of the image, from any byte on. What does not come out
// as the patch says is told as missing, to be fetched; nothing here is trusted, the signed dm-verity root decides. Memory is
// bounded whatever the image: one group of the patch, the cache of old blocks, the compressor, one piece.

import { OtadError } from '../agent/core/errors.ts';
import type { ImageId, PatchedPiece } from '../agent/core/ports.ts';
import type { ByteSource } from './byte-source.ts';
import { ByteReader, refusePatch } from './number-stream.ts';
import { createOldSpace, type OldSpace } from './old-space.ts';
import { DifferenceReader, type Piece } from './patch-difference.ts';
import type { OpenPatch } from './patch-format.ts';
import type { GroupBytes, PatchHead } from './patch-head.ts';
import { checksumOf, type Operation, readOperations, tableHeader } from './patch-operations.ts';
import { selfTestDigest, type Zstd, zstdRelease } from './zstd.ts';

export interface ApplyOptions {
  readonly zstd: Zstd;
  /** Default 0. What lies before is not made; the rest of its group is read. */
  readonly fromBytes?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Old blocks may be unpacked again, but not without end: a patch that jumps for the sake of it is refused. */
const unpackedPerOperation = 16;
const unpackedSlack = 1024;

/** Throws PATCH_BASE_MISMATCH or PATCH_CODEC_MISMATCH: this patch is not for this slot, image or library. */
export const checkPatch = (
  { base, image, recompression }: PatchHead,
  expected: { readonly base: ImageId; readonly image: ImageId },
  zstd: Zstd,
): void => {
  const pairs = [
    ['base', base, expected.base],
    ['image', image, expected.image],
  ] as const;
  for (const [what, says, is] of pairs) {
    if (says.sha256Hex === is.sha256Hex && says.lengthBytes === is.lengthBytes) continue;
    throw new OtadError('PATCH_BASE_MISMATCH', { what, patch: says.sha256Hex, here: is.sha256Hex });
  }
  const { library, level, selfTestHex } = recompression;
  const isSame = library === zstdRelease && selfTestDigest(zstd, level).toString('hex') === selfTestHex;
  if (!isSame) throw new OtadError('PATCH_CODEC_MISMATCH', { patch: library, here: zstdRelease, level });
};

/** The piece with its old bytes; null: some cannot be had. */
const complete = async ({ bytes, addends }: Piece, old: OldSpace): Promise<Buffer | null> => {
  for (const { at, oldAt, lengthBytes } of addends) {
    const isWhole = await old.visit(oldAt, lengthBytes, (part, from) => {
      for (let index = 0, to = at + from; index < part.length; index += 1, to += 1) {
        bytes[to] = (bytes[to] as number) + (part[index] as number);
      }
    });
    if (!isWhole) return null;
  }
  return bytes;
};

const finish = (kind: Exclude<Operation['kind'], 'copy'>, raw: Buffer, level: number, zstd: Zstd): Uint8Array => {
  switch (kind) {
    case 'raw':
      return raw;
    case 'block':
      return zstd.compress(raw, level);
    case 'table': {
      const packed = zstd.compress(raw, level);
      return Buffer.concat([tableHeader(packed.length, false), packed]);
    }
    case 'stored-table':
      return Buffer.concat([tableHeader(raw.length, true), raw]);
  }
};

/** What a group is applied with, and how far the whole has come. */
interface Run {
  readonly head: PatchHead;
  readonly base: ByteSource;
  readonly old: OldSpace;
  readonly options: ApplyOptions;
  readonly count: { operations: number };
}

const endingCodes: readonly string[] = ['CANCELLED', 'INTERNAL', 'PATCH_MALFORMED'];

/** The bytes of one operation; null: they cannot be made here. */
const carryOut = async (run: Run, operation: Operation, piece: Piece | null): Promise<Uint8Array | null> => {
  const { base, old, options, head } = run;
  try {
    const { kind, oldOffset, lengthBytes } = operation;
    const made =
      kind === 'copy' || piece === null
        ? await base.read(oldOffset, lengthBytes)
        : await complete(piece, old).then((raw) => raw && finish(kind, raw, head.recompression.level, options.zstd));
    if (made === null || made.length !== lengthBytes) return null;
    return checksumOf(made) === operation.checksum ? made : null;
  } catch (error) {
    // A slot that cannot be read here may be readable elsewhere; a patch that is refused, a request to stop, our own fault: no.
    if (error instanceof OtadError && endingCodes.includes(error.code)) throw error;
    return null;
  }
};

const wrongLength = 'a group makes another length than it says';

/** Where the pieces of a group begin and end in the image. Not one of them lies outside. */
interface Span {
  readonly startBytes: number;
  readonly endBytes: number;
}

async function* applyGroup(run: Run, group: GroupBytes, { startBytes, endBytes }: Span): AsyncGenerator<PatchedPiece> {
  const { head, old, options, count } = run;
  const { fromBytes = 0, signal } = options;
  const difference = new DifferenceReader(group, old.lengthBytes);
  const bounds = { blockBytes: head.recompression.blockBytes, oldLengthBytes: head.base.lengthBytes };
  let at = startBytes;
  for (const operation of readOperations(new ByteReader(group.operations), new ByteReader(group.checksums), bounds)) {
    if (signal?.aborted === true) throw new OtadError('CANCELLED', { step: 'patch' });
    count.operations += 1;
    const offsetBytes = Math.max(at, fromBytes);
    const passedBytes = offsetBytes - at;
    at += operation.lengthBytes;
    if (at > endBytes) return refusePatch(wrongLength);
    const piece = operation.kind === 'copy' ? null : difference.take(operation.rawBytes);
    if (passedBytes >= operation.lengthBytes) continue;
    const bytes = await carryOut(run, operation, piece);
    if (bytes === null) {
      const missing = { kind: 'missing', offsetBytes, lengthBytes: operation.lengthBytes - passedBytes } as const;
      const isRight = (fetched: Uint8Array): boolean => checksumOf(fetched) === operation.checksum;
      yield passedBytes === 0 ? { ...missing, isRight } : missing;
    } else {
      const origin = operation.kind === 'copy' ? 'old' : 'made';
      yield { kind: 'bytes', offsetBytes, bytes: bytes.subarray(passedBytes), origin };
    }
  }
  difference.end();
  if (at < endBytes) refusePatch(wrongLength);
}

/**
 * The new image from `fromBytes` on, without a gap. `base` may be longer than the old image, such as a slot. Throws
 * PATCH_MALFORMED, after pieces that were good when the damage lies in a later group; CANCELLED.
 */
export async function* applyPatch(
  patch: OpenPatch,
  base: ByteSource,
  options: ApplyOptions,
): AsyncGenerator<PatchedPiece> {
  const { head } = patch;
  if (base.lengthBytes < head.base.lengthBytes)
    throw new OtadError('PATCH_BASE_MISMATCH', { what: 'base', lengthBytes: base.lengthBytes });
  const count = { operations: 0 };
  const unpackedMax = (): number => unpackedSlack + unpackedPerOperation * (count.operations + head.oldBlocks.length);
  const old = createOldSpace(base, head.oldBlocks, head.recompression.blockBytes, { zstd: options.zstd, unpackedMax });
  const run: Run = { head, base, old, options, count };
  let at = 0;
  for (const [index, { newBytes }] of head.groups.entries()) {
    const end = at + newBytes;
    if (end > (options.fromBytes ?? 0)) {
      const group = await patch.readGroup(index);
      yield* applyGroup(run, group, { startBytes: at, endBytes: end });
    }
    at = end;
  }
}
