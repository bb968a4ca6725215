// Patches between two image files: made, proven with the code that gateways run, and held against the other ways to the new
// image. A patch that does not prove itself never leaves this file.

import { OtadError } from '../../agent/core/errors.ts';
import { type ByteSource, bytesSource, readRange } from '../../delta/byte-source.ts';
import { makeIndex } from '../../delta/chunk-cut.ts';
import { decodeIndex } from '../../delta/chunk-index.ts';
import { makePatch, type PatchReport } from '../../delta/patch-make.ts';
import { provePatch } from '../../delta/patch-proof.ts';
import { parseSuperblock, type SquashfsCodec, superblockBytes } from '../../delta/squashfs-superblock.ts';
import type { PatchStep } from '../../delta/unit-fates.ts';
import type { Zstd } from '../../delta/zstd.ts';
import { loadZstd } from '../../delta/zstd-module.ts';
import { blaming, withImageSource } from './image-source.ts';
import { decompressorOf, isUnpackable } from './squashfs-codec.ts';

/** Bytes on the wire by each way. */
export interface WayFigures {
  readonly fullBytes: number;
  /** The index and the chunks that the old image does not have. */
  readonly indexBytes: number;
}

export type PatchOutcome =
  | {
      readonly kind: 'made';
      readonly bytes: Uint8Array;
      readonly report: PatchReport;
      readonly ways: WayFigures;
      readonly baseSha256Hex: string;
    }
  /** `problem`: why there is none, in a sentence. */
  | { readonly kind: 'none'; readonly problem: string; readonly ways: WayFigures }
  /** One of the images cannot be looked into: there is neither index nor patch, each with its reason. */
  | {
      readonly kind: 'full-only';
      readonly problem: string;
      readonly indexProblem: string;
      readonly fullBytes: number;
    };

export interface ImagePatchOptions {
  readonly onProgress?: ((step: PatchStep, done: number, total: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
  /** What the images are called in sentences: old, new. Default: their paths. */
  readonly names?: readonly [string, string] | undefined;
}

interface NamedCodec {
  readonly name: string;
  readonly codec: SquashfsCodec;
}

const codecOf = async (source: ByteSource): Promise<SquashfsCodec> => {
  const head = await readRange(source, 0, Math.min(superblockBytes, source.lengthBytes), 'the superblock');
  return parseSuperblock(head, source.lengthBytes).codec;
};

const sayCodecs = (images: readonly NamedCodec[]): string =>
  images.map(({ name, codec }) => `${name} is compressed with ${codec}`).join(' and ');

/** What the compressors alone decide; null: nothing stands against a patch. */
const judgeCodecs = (images: readonly NamedCodec[]): { problem: string; indexProblem: string | null } | null => {
  const others = images.filter(({ codec }) => codec !== 'zstd');
  if (others.length === 0) return null;
  const opaque = others.filter(({ codec }) => !isUnpackable(codec));
  const problem = `${sayCodecs(others)}, and patches need zstd`;
  if (opaque.length === 0) return { problem: `${problem}: gateways update by the index only`, indexProblem: null };
  return { problem, indexProblem: `${sayCodecs(opaque)}; use zstd, gzip, xz or lz4` };
};

const indexOf = async (source: ByteSource, zstd: Zstd): Promise<Uint8Array> =>
  makeIndex(source, ({ codec }) =>
    codec === 'zstd' ? (bytes, bytesMax) => zstd.decompress(bytes, bytesMax) : decompressorOf(codec),
  );

const compareWays = async (
  [oldPath, old]: readonly [string, ByteSource],
  [path, image]: readonly [string, ByteSource],
  zstd: Zstd,
): Promise<WayFigures> => {
  const encoded = await blaming(path, indexOf(image, zstd));
  const index = decodeIndex(encoded);
  const held = decodeIndex(await blaming(oldPath, indexOf(old, zstd)));
  const known = new Set(Array.from({ length: held.count }, (_, chunk) => held.digestOf(chunk).toString('latin1')));
  let missingBytes = 0;
  for (let chunk = 0; chunk < index.count; chunk += 1) {
    if (!known.has(index.digestOf(chunk).toString('latin1')))
      missingBytes += index.offsetOf(chunk + 1) - index.offsetOf(chunk);
  }
  return { fullBytes: image.lengthBytes, indexBytes: encoded.length + missingBytes };
};

/**
 * The proven patch from the old image to the new one, or why there is none. Throws PATCH_UNPROVEN, IMAGE_UNUSABLE,
 * IMAGE_NOT_INDEXABLE, CANCELLED.
 */
export const patchImages = (oldPath: string, path: string, options: ImagePatchOptions): Promise<PatchOutcome> =>
  withImageSource(oldPath, (old) =>
    withImageSource(path, async (image): Promise<PatchOutcome> => {
      const [oldName, name] = options.names ?? [oldPath, path];
      const codecs = [
        { name: oldName, codec: await blaming(oldPath, codecOf(old)) },
        { name, codec: await blaming(path, codecOf(image)) },
      ];
      const verdict = judgeCodecs(codecs);
      if (verdict !== null && verdict.indexProblem !== null) {
        const { problem, indexProblem } = verdict;
        return { kind: 'full-only', problem, indexProblem, fullBytes: image.lengthBytes };
      }
      const zstd = await loadZstd();
      const ways = await compareWays([oldPath, old], [path, image], zstd);
      const none = (problem: string): PatchOutcome => ({ kind: 'none', problem, ways });
      if (verdict !== null) return none(verdict.problem);
      try {
        const { bytes, head, report } = await makePatch(old, image, { zstd, ...options });
        // A fresh instance, as on a gateway: nothing that making it left behind may help.
        await provePatch(bytesSource(bytes), old, image, { zstd: await loadZstd(), ...options });
        return { kind: 'made', bytes, report, ways, baseSha256Hex: head.base.sha256Hex };
      } catch (error) {
        if (!(error instanceof OtadError)) throw error;
        // Readable, and yet refused where it is applied: it takes more work than a gateway puts into a patch.
        if (error.code === 'PATCH_MALFORMED') return none(`gateways would refuse its patch: ${error.details.reason}`);
        if (error.code !== 'IMAGE_NOT_PATCHABLE') throw error;
        return none(String(error.details.problem));
      }
    }),
  );
