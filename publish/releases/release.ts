// Publishes a release: builds or takes an image, stores it, writes the release document and signs the repository
// forward. Order and refusals live in publication.ts and release-plan.ts; this file joins them under the lock.

import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { OtadError } from '../../agent/core/errors.ts';
import { nameExpectation } from '../../agent/core/name.ts';
import type { Artifact, Release, Wave } from '../../agent/core/types.ts';
import { encodeRelease, releaseDocumentPath } from '../../verity/release-document.ts';
import { floorEpochMember } from '../../verity/tuf-metadata.ts';
import { buildImage } from '../images/image-build.ts';
import {
  compatibleSchema,
  type ImageIdentity,
  sequenceSchema,
  versionExpectation,
  versionSchema,
} from '../images/os-release.ts';
import { type Compression, readImageIdentity } from '../images/squashfs.ts';
import { readKeyFolders } from '../keys/key-files.ts';
import { sha256Hex } from '../repository/metadata-signing.ts';
import {
  type AfterWrite,
  type PublicationOptions,
  type PublishedVersions,
  publish,
  removeLeftovers,
  storeTarget,
  targetFilePath,
} from '../repository/publication.ts';
import { loadPublished, type PublishedState } from '../repository/published-state.ts';
import { publisherPaths, readSettings } from '../repository/publisher-folder.ts';
import { withPublisherLock } from '../repository/publisher-lock.ts';
import { type Settlement, settleTargets } from '../signing/settlement.ts';
import { documentPaths, imageTargetPath, publishedImages, readDocument, targetFileOf } from './catalogue.ts';
import { bootTargets, settleBootSet } from './release-boot-set.ts';
import { artifactOf, settleImage } from './release-image.ts';
import { settleIndex } from './release-index.ts';
import { type PatchWish, patchBases, type SettledPatch, settlePatches } from './release-patches.ts';
import { planRelease } from './release-plan.ts';
import { warnOfBootFiles, warnOfDeadline, warnOfImage, warnOfNames } from './release-warnings.ts';

export const defaultHealthDeadlineS = 300;

/** A ready-made image file, or layers to build one from. */
export type ImageSource =
  | { readonly imagePath: string }
  | {
      readonly layers: readonly string[];
      readonly compression?: Compression | undefined;
      readonly zstdLevel?: number | undefined;
      readonly sourceDateEpochS?: number | undefined;
    };

export interface ReleaseOptions {
  /** The publisher's folder, as `initRepository` made it. */
  readonly folder: string;
  readonly channel: string;
  readonly compatible: string;
  readonly version: string;
  /** May be left out for a version that is published already: promotes it, or changes its waves. */
  readonly image?: ImageSource | undefined;
  /** Folder whose files are the boot set. May be left out for a version that is published with one already. */
  readonly bootFolder?: string | undefined;
  /** Default: the version's own, else what the image says, else the last of this compatible plus one. */
  readonly sequence?: number | undefined;
  /** Where the private keys are. Default: `keys` of the folder. */
  readonly keyFolders?: readonly string[] | undefined;
  readonly notesUrl?: string | undefined;
  /** Default none: all devices at once. */
  readonly waves?: readonly Wave[] | undefined;
  /** Default 0: no floor. */
  readonly rollbackFloor?: number | undefined;
  /** Default 0; root metadata must allow it. */
  readonly floorEpoch?: number | undefined;
  /** Stepping stones: versions this one installs from. Default any. */
  readonly from?: readonly string[] | undefined;
  /** Published versions that gateways come from: a patch is made from each. Default none. */
  readonly patchFrom?: readonly string[] | undefined;
  readonly onPatchProgress?: PatchWish['onProgress'];
  readonly hardwareRevisions?: readonly string[] | undefined;
  readonly agentVersionMin?: string | undefined;
  readonly healthDeadlineS?: number | undefined;
  readonly healthChecks?: readonly string[] | undefined;
  readonly dataSchema?: { readonly oldest: number; readonly own: number } | undefined;
  /** dm-verity salt in hex. Default 32 random bytes. */
  readonly saltHex?: string | undefined;
  /** When the targets keys are elsewhere: leaves a signing request for them instead of failing. */
  readonly isRequested?: boolean | undefined;
  /** Milliseconds since 1970. Default now. */
  readonly nowMs?: number | undefined;
  readonly afterWrite?: AfterWrite | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface PublishedRelease {
  readonly release: Release;
  /** Target path of the release document. */
  readonly documentPath: string;
  /** The image's file in the repository. */
  readonly imageFile: string;
  /** Null while the release waits for signatures. */
  readonly versions: PublishedVersions | null;
  /** What a person should know, such as an image that could never be updated again. */
  readonly warnings: readonly string[];
  /** Why the image has no chunk index, so that gateways fetch it whole; null: it has one. */
  readonly indexProblem: string | null;
  /** What became of each wish for a patch. */
  readonly patches: readonly SettledPatch[];
  readonly waiting: Extract<Settlement, { kind: 'waiting' }> | null;
}

const checkWish = (options: ReleaseOptions): void => {
  const checks = [
    ['channel', compatibleSchema.safeParse(options.channel), nameExpectation],
    ['compatible', compatibleSchema.safeParse(options.compatible), nameExpectation],
    ['hardwareRevisions', z.array(compatibleSchema).optional().safeParse(options.hardwareRevisions), nameExpectation],
    ['version', versionSchema.safeParse(options.version), versionExpectation],
    ['sequence', sequenceSchema.optional().safeParse(options.sequence), 'an integer of 1 or more'],
  ] as const;
  for (const [key, result, expected] of checks) {
    if (result.success) continue;
    const problem = `${key} must be ${expected}, not '${String(options[key]).slice(0, 100)}'`;
    throw new OtadError('BAD_REQUEST', { key, problem });
  }
};

/** The document of the release, complete but for the check that `encodeRelease` makes. */
const composeRelease = (
  options: ReleaseOptions,
  identity: ImageIdentity,
  artifacts: readonly Artifact[],
  publishedAtS: number,
): Release => ({
  id: identity.releaseId,
  version: identity.version,
  sequence: identity.sequence,
  channel: options.channel,
  compatible: identity.compatible,
  hardwareRevisions: options.hardwareRevisions ?? [],
  agentVersionMin: options.agentVersionMin ?? null,
  notesUrl: options.notesUrl ?? null,
  floorEpoch: options.floorEpoch ?? 0,
  rollbackFloor: options.rollbackFloor ?? 0,
  waves: options.waves ?? [],
  artifacts,
  health: { deadlineS: options.healthDeadlineS ?? defaultHealthDeadlineS, checks: options.healthChecks ?? [] },
  dataSchema: options.dataSchema ?? { oldest: 0, own: 0 },
  from: options.from ?? [],
  publishedAtS,
});

const isUnchanged = (current: Release | null, next: Release): boolean =>
  current !== null &&
  Buffer.from(encodeRelease({ ...current, publishedAtS: 0 })).equals(encodeRelease({ ...next, publishedAtS: 0 }));

const checkFloorEpoch = (options: ReleaseOptions, state: PublishedState): void => {
  const allowed = state.root[floorEpochMember] ?? 0;
  const floorEpoch = options.floorEpoch ?? 0;
  if (floorEpoch > allowed) {
    throw new OtadError('RELEASE_REFUSED', {
      problem: 'root metadata does not allow this floor epoch',
      floorEpoch,
      allowed,
    });
  }
};

const publishLocked = async (options: ReleaseOptions, work: string): Promise<PublishedRelease> => {
  const paths = publisherPaths(options.folder);
  const { lifetimesS, name } = await readSettings(paths);
  const keys = await readKeyFolders(options.keyFolders ?? [paths.keys]);
  const nowS = Math.floor((options.nowMs ?? Date.now()) / 1000);
  const publication: PublicationOptions = { paths, lifetimesS, keys, nowS, afterWrite: options.afterWrite };
  await removeLeftovers(paths.repository);

  const state = await loadPublished(paths);
  checkFloorEpoch(options, state);
  const documentPath = releaseDocumentPath(options.channel, options.compatible);
  const current = await readDocument(paths.targets, state.targets, documentPath);
  const source = options.image;
  const ready = source !== undefined && 'imagePath' in source ? source.imagePath : null;
  const baked = ready === null ? null : await readImageIdentity(ready, options.signal);
  const wish = {
    channel: options.channel,
    compatible: options.compatible,
    version: options.version,
    sequence: options.sequence,
    floorEpoch: options.floorEpoch ?? 0,
    hasImage: source !== undefined,
  };
  const images = publishedImages(state.targets);
  const plan = planRelease(wish, images, current, baked);
  const patchWish: PatchWish = {
    compatible: options.compatible,
    patchFrom: options.patchFrom ?? [],
    onProgress: options.onPatchProgress,
    signal: options.signal,
  };
  const targetPath = plan.published?.path ?? imageTargetPath(options.compatible, options.version);
  const bases = patchBases(state.targets, { path: targetPath, version: options.version }, patchWish);

  let imagePath = ready;
  if (source !== undefined && 'layers' in source) {
    imagePath = join(work, 'image.squashfs');
    await buildImage({ ...source, outputPath: imagePath, identity: plan.identity, signal: options.signal });
  }
  const warnings = [
    ...(imagePath === null ? [] : await warnOfImage(imagePath, paths, state.root.version, options.signal)),
    ...warnOfNames(options.channel, plan.identity, images, documentPaths(state.targets)),
  ];
  const image = await settleImage(options, publication, plan, imagePath);
  const imageFacts = { path: targetPath, sha256Hex: image.sha256Hex };
  const { index, problem: indexProblem } = await settleIndex(publication, state.targets, imageFacts);
  const patches = await settlePatches(publication, state.targets, imageFacts, bases, patchWish);
  const madePatches = patches.flatMap(({ patch }) => patch ?? []);
  const bootSet = await settleBootSet(publication, state.targets, {
    ...{ folder: options.bootFolder ?? null, identity: plan.identity, isPublished: plan.published !== null },
  });
  const artifacts = [artifactOf(targetPath, image, index, madePatches), ...bootSet];
  const release = composeRelease(options, plan.identity, artifacts, nowS);
  const document = encodeRelease(release);
  if (isUnchanged(current, release))
    throw new OtadError('NOTHING_TO_DO', { channel: options.channel, version: release.version });

  const documentSha256 = sha256Hex(document);
  await storeTarget(publication, documentPath, document, documentSha256);
  const targets = {
    ...state.targets.targets,
    [targetPath]: targetFileOf(image.lengthBytes, image.sha256Hex, image.facts),
    ...(index === null ? {} : { [index.path]: targetFileOf(index.lengthBytes, index.sha256Hex) }),
    ...bootTargets(bootSet),
    ...Object.fromEntries(madePatches.map((patch) => [patch.path, targetFileOf(patch.lengthBytes, patch.sha256Hex)])),
    [documentPath]: targetFileOf(document.length, documentSha256),
  };
  const settlement = options.isRequested
    ? await settleTargets(publication, state, name, targets)
    : { kind: 'published' as const, versions: await publish(publication, state, { targets, isSnapshotRenewed: true }) };
  return {
    release,
    warnings: [...warnings, ...warnOfBootFiles(current, bootSet), ...warnOfDeadline(release)],
    indexProblem,
    patches,
    documentPath,
    imageFile: join(paths.targets, targetFilePath(targetPath, image.sha256Hex)),
    versions: settlement.kind === 'published' ? settlement.versions : null,
    waiting: settlement.kind === 'waiting' ? settlement : null,
  };
};

/**
 * Publishes one release to one channel. Throws RELEASE_REFUSED when it contradicts what is published, IMAGE_UNUSABLE,
 * KEY_UNUSABLE, and NOTHING_TO_DO when exactly this is published. Whatever it throws, the repository stays acceptable.
 */
export const publishRelease = async (options: ReleaseOptions): Promise<PublishedRelease> => {
  checkWish(options);
  const paths = publisherPaths(options.folder);
  await readSettings(paths);
  return await withPublisherLock(paths.folder, async () => {
    const work = await mkdtemp(join(paths.folder, '.release-'));
    try {
      return await publishLocked(options, work);
    } finally {
      await rm(work, { recursive: true, force: true });
    }
  });
};
