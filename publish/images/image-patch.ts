// Patches between two image files: made, proven with the code that gateways run, and held against the other ways to the new
// image. A patch that does not prove itself never leaves this file.

import { OtadError } from '../../agent/core/errors.ts';
import { type ByteSource, bytesSource } from '../../delta/byte-source.ts';
import { makeIndex } from '../../delta/chunk-cut.ts';
import { decodeIndex } from '../../delta/chunk-index.ts';
import { makePatch, type PatchReport } from '../../delta/patch-make.ts';
import { provePatch } from '../../delta/patch-proof.ts';
import type { PatchStep } from '../../delta/unit-fates.ts';
import type { Zstd } from '../../delta/zstd.ts';
import { loadZstd } from '../../delta/zstd-module.ts';
import { withImageSource } from './image-source.ts';
import { decompressorOf } from './squashfs-codec.ts';

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
  | { readonly kind: 'none'; readonly problem: string; readonly ways: WayFigures };

export interface ImagePatchOptions {
  readonly onProgress?: ((step: PatchStep, done: number, total: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

const indexOf = async (source: ByteSource, zstd: Zstd): Promise<Uint8Array> =>
  makeIndex(source, ({ codec }) =>
    codec === 'zstd' ? (bytes, bytesMax) => zstd.decompress(bytes, bytesMax) : decompressorOf(codec),
  );

const compareWays = async (old: ByteSource, image: ByteSource, zstd: Zstd): Promise<WayFigures> => {
  const encoded = await indexOf(image, zstd);
  const index = decodeIndex(encoded);
  const held = decodeIndex(await indexOf(old, zstd));
  const known = new Set(Array.from({ length: held.count }, (_, chunk) => held.digestOf(chunk).toString('latin1')));
  let missingBytes = 0;
  for (let chunk = 0; chunk < index.count; chunk += 1) {
    if (!known.has(index.digestOf(chunk).toString('latin1')))
      missingBytes += index.offsetOf(chunk + 1) - index.offsetOf(chunk);
  }
  return { fullBytes: image.lengthBytes, indexBytes: encoded.length + missingBytes };
};

/**
 * The proven patch from the old image to the new one, or why there is none. Throws PATCH_UNPROVEN, IMAGE_UNUSABLE, CANCELLED.
 */
export const patchImages = (oldPath: string, path: string, options: ImagePatchOptions): Promise<PatchOutcome> =>
  withImageSource(oldPath, (old) =>
    withImageSource(path, async (image): Promise<PatchOutcome> => {
      const zstd = await loadZstd();
      const ways = await compareWays(old, image, zstd);
      const none = (problem: string): PatchOutcome => ({ kind: 'none', problem, ways });
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
