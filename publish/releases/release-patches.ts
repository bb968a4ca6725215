// The patches of a release: targets beside its image, one for each published version that gateways come from. Each is proven
// before it is stored; one that saves nothing over the index is left out, and the publisher is told.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { OtadError } from '../../agent/core/errors.ts';
import type { ArtifactPatch } from '../../agent/core/types.ts';
import { headBytesOf } from '../../delta/patch-format.ts';
import type { PatchReport } from '../../delta/patch-make.ts';
import { artifactPatchesMax, patchBytesMax } from '../../verity/release-document.ts';
import type { TargetsMetadata } from '../../verity/tuf-metadata.ts';
import { type ImagePatchOptions, patchImages } from '../images/image-patch.ts';
import { sha256Hex } from '../repository/metadata-signing.ts';
import { type PublicationOptions, storeTarget, targetFilePath } from '../repository/publication.ts';
import { type PublishedImage, patchTargetPath, publishedImages } from './catalogue.ts';

/** What became of the wish for a patch from this version. */
export interface SettledPatch {
  readonly version: string;
  /** Null: there is none. */
  readonly patch: ArtifactPatch | null;
  /** Why there is none, in a sentence. */
  readonly problem: string | null;
  /** Blocks that are in it whole, because another release of zstd made them; null: none, or it was made before. */
  readonly literals: Pick<PatchReport, 'literalBlocks' | 'literalBytes'> | null;
}

export interface PatchWish extends ImagePatchOptions {
  readonly compatible: string;
  /** Published versions of this compatible. */
  readonly patchFrom: readonly string[];
}

/** Compressing again costs a gateway time: a patch longer than this share of the index way is not worth it. */
const worthShare = 0.9;

const badRequest = (problem: string, version: string): OtadError =>
  new OtadError('BAD_REQUEST', { key: 'patchFrom', problem, version });

/**
 * The published images to patch from: those that are wished for, and those that a patch to this image is published from
 * already, so that none gets lost when waves are widened. Throws BAD_REQUEST before anything is made.
 */
export const patchBases = (
  targets: TargetsMetadata,
  image: { readonly path: string; readonly version: string },
  wish: PatchWish,
): readonly PublishedImage[] => {
  const siblings = publishedImages(targets).filter(({ compatible }) => compatible === wish.compatible);
  const kept = siblings.filter(({ sha256Hex: base }) =>
    Object.hasOwn(targets.targets, patchTargetPath(image.path, base)),
  );
  const wished = wish.patchFrom.map((from) => {
    if (from === image.version) throw badRequest(`a patch from ${from} to itself makes no sense`, from);
    const base = siblings.find(({ version }) => version === from);
    if (base === undefined) throw badRequest(`version ${from} of ${wish.compatible} is not published`, from);
    return base;
  });
  const bases = [...new Set([...kept, ...wished])];
  const [tooMany] = bases.slice(artifactPatchesMax);
  if (tooMany !== undefined)
    throw badRequest(`at most ${artifactPatchesMax} patches go with a release`, tooMany.version);
  return bases;
};

const settleOne = async (
  publication: PublicationOptions,
  targets: TargetsMetadata,
  image: { readonly path: string; readonly sha256Hex: string },
  base: PublishedImage,
  wish: PatchWish,
): Promise<SettledPatch> => {
  const path = patchTargetPath(image.path, base.sha256Hex);
  const { version } = base;
  const named = (bytes: Uint8Array, digest: string, report: PatchReport | null): SettledPatch => {
    const head = headBytesOf(bytes);
    const ids = { baseSha256Hex: base.sha256Hex, baseRootHex: base.rootHex };
    const parts = { headLengthBytes: head.length, headSha256Hex: sha256Hex(head) };
    const patch = { ...ids, path, lengthBytes: bytes.length, sha256Hex: digest, ...parts };
    const { literalBlocks, literalBytes } = report ?? { literalBlocks: 0, literalBytes: 0 };
    return { version, patch, problem: null, literals: literalBlocks === 0 ? null : { literalBlocks, literalBytes } };
  };
  const fileOf = (target: string, digest: string): string =>
    join(publication.paths.targets, targetFilePath(target, digest));
  const known = Object.hasOwn(targets.targets, path) ? targets.targets[path]?.hashes.sha256 : undefined;
  if (known !== undefined) return named(await readFile(fileOf(path, known)), known, null);
  const none = (problem: string): SettledPatch => ({ version, patch: null, problem, literals: null });
  const made = patchImages(fileOf(base.path, base.sha256Hex), fileOf(image.path, image.sha256Hex), {
    ...wish,
    names: [`the image of ${version}`, 'the new one'],
  });
  // An image that cannot be looked into (it is damaged, or its program is not installed here) is published all the same, and fetched whole.
  const outcome = await made.catch((error: unknown) => {
    if (!(error instanceof OtadError)) throw error;
    if (error.code === 'IMAGE_UNUSABLE' || error.code === 'IMAGE_NOT_INDEXABLE') return String(error.details.problem);
    if (error.code === 'TOOL_MISSING') return error.message;
    throw error;
  });
  if (typeof outcome === 'string') return none(outcome);
  if (outcome.kind !== 'made') return none(outcome.problem);
  const { bytes, ways, report } = outcome;
  if (bytes.length > ways.indexBytes * worthShare)
    return none('it would be hardly shorter than what gateways fetch by the index');
  if (bytes.length > patchBytesMax) return none(`it would be ${bytes.length} bytes long, more than gateways take`);
  const digest = sha256Hex(bytes);
  await storeTarget(publication, path, bytes, digest);
  return named(bytes, digest, report);
};

/** Makes and stores the patches, or takes published ones. Throws PATCH_UNPROVEN. */
export const settlePatches = async (
  publication: PublicationOptions,
  targets: TargetsMetadata,
  image: { readonly path: string; readonly sha256Hex: string },
  bases: readonly PublishedImage[],
  wish: PatchWish,
): Promise<readonly SettledPatch[]> => {
  const settled: SettledPatch[] = [];
  for (const base of bases) settled.push(await settleOne(publication, targets, image, base, wish));
  return settled;
};
