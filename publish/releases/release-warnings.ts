// What may be meant otherwise in a release that is allowed: an image that could never update again, an older version on
// top of a newer one, a name that is new here. Warns only; what is refused stands in release-plan.ts.

import { type BootArtifact, bootArtifactsOf } from '../../agent/core/boot-set.ts';
import { healthDeadlineMaxMsDefault } from '../../agent/core/trial-time.ts';
import type { Release } from '../../agent/core/types.ts';
import { compareVersions } from '../../agent/core/version.ts';
import { nearest } from '../../agent/edit-distance.ts';
import type { ImageIdentity } from '../images/os-release.ts';
import { hasImageFile, readImageFile } from '../images/squashfs.ts';
import { readRootChain } from '../repository/published-state.ts';
import type { PublisherPaths } from '../repository/publisher-folder.ts';
import type { PublishedImage } from './catalogue.ts';

const imageRootPath = 'usr/lib/otad/root.json';
const imageAgentPath = 'usr/lib/otad/otad.mjs';

const warnOfRoot = async (
  imagePath: string,
  paths: PublisherPaths,
  rootVersion: number,
  signal: AbortSignal | undefined,
): Promise<readonly string[]> => {
  const baked = await readImageFile(imagePath, imageRootPath, signal);
  const remedy = `copy ${paths.root} there before the image is made`;
  if (baked === null)
    return [`the image has no /${imageRootPath}: gateways that run it cannot update any more; ${remedy}`];
  const chain = await readRootChain(paths, rootVersion);
  const isOurs = chain.some((root) => Buffer.compare(root, Buffer.from(baked)) === 0);
  return isOurs
    ? []
    : [
        `/${imageRootPath} of the image is no root of this repository: gateways that run it refuse its releases; ${remedy}`,
      ];
};

/** A gateway with this image would trust nobody, or somebody else, or run no otad: it could never be updated again. */
export const warnOfImage = async (
  imagePath: string,
  paths: PublisherPaths,
  rootVersion: number,
  signal: AbortSignal | undefined,
): Promise<readonly string[]> => [
  ...((await hasImageFile(imagePath, imageAgentPath, signal))
    ? []
    : [
        `the image has no /${imageAgentPath}: no otad starts in it, so gateways try it, go back and deny it; put otad's files into a layer`,
      ]),
  ...(await warnOfRoot(imagePath, paths, rootVersion, signal)),
];

/** `current`: what the channel offers until now. */
export const warnOfBootFiles = (current: Release | null, bootSet: readonly BootArtifact[]): readonly string[] =>
  current === null || bootSet.length > 0 || bootArtifactsOf(current).length === 0
    ? []
    : [
        `${current.version} came with boot files and this release with none: gateways start it by the kernel that its slot has, whatever modules are in the image; give them with --boot`,
      ];

/** Gateways as they are shipped do not take a longer trial, which their dead man's timer would end. */
export const warnOfDeadline = ({ health }: Release): readonly string[] => {
  const mostS = healthDeadlineMaxMsDefault / 1000;
  return health.deadlineS <= mostS
    ? []
    : [
        `a health deadline of ${health.deadlineS} s: only gateways with a longer health.deadlineMaxMs and otad-deadman.timer take the release, the others have ${mostS} s`,
      ];
};

const warnOfNew = (setting: 'compatible' | 'channel', name: string, near: string | null): string =>
  `${setting} '${name}' is new in this repository: only gateways that are set to it take the release${near === null ? '' : `; did you mean '${near}'?`}`;

/** `documents` are the target paths of what is offered now, channels/CHANNEL/COMPATIBLE.json. */
export const warnOfNames = (
  channel: string,
  { compatible, version, sequence }: ImageIdentity,
  images: readonly PublishedImage[],
  documents: readonly string[],
): readonly string[] => {
  const products = [...new Set(images.map((image) => image.compatible))];
  const channels = [...new Set(documents.map((path) => path.split('/')[1] ?? ''))];
  // A second channel is everyday, so only one that looks like a slip is told.
  const nearChannel = channels.includes(channel) ? null : nearest(channel, channels);
  const [newer] = images
    .filter((image) => image.compatible === compatible && image.sequence < sequence)
    .filter((image) => compareVersions(image.version, version) > 0)
    .sort((one, two) => two.sequence - one.sequence);
  return [
    ...(products.length === 0 || products.includes(compatible)
      ? []
      : [warnOfNew('compatible', compatible, nearest(compatible, products))]),
    ...(nearChannel === null ? [] : [warnOfNew('channel', channel, nearChannel)]),
    ...(newer === undefined
      ? []
      : [
          `${version} reads as older than ${newer.version}, but comes after it (sequence ${sequence} after ${newer.sequence}): gateways go by the sequence and take it`,
        ]),
  ];
};
