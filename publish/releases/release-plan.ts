// Decides what a release may be, given what is published: its sequence, and whether its image is there already. Pure.
// A version means one image for ever, a sequence one version, and a channel never goes back within an epoch.

import { OtadError } from '../../agent/core/errors.ts';
import type { Release } from '../../agent/core/types.ts';
import type { ImageIdentity } from '../images/os-release.ts';
import type { PublishedImage } from './catalogue.ts';

export interface ReleaseWish {
  readonly channel: string;
  readonly compatible: string;
  readonly version: string;
  readonly sequence: number | undefined;
  readonly floorEpoch: number;
  readonly hasImage: boolean;
}

export interface ReleasePlan {
  readonly identity: ImageIdentity;
  /** The image of this version, when it is published. */
  readonly published: PublishedImage | null;
}

export const releaseIdOf = (compatible: string, version: string): string => `${compatible}-${version}`;

const refused = (problem: string, details: Readonly<Record<string, string | number | undefined>>): OtadError =>
  new OtadError('RELEASE_REFUSED', { problem, ...details });

const highestSequence = (images: readonly PublishedImage[]): number =>
  images.reduce((highest, image) => Math.max(highest, image.sequence), 0);

/** `baked` is what a ready-made image says of itself. Throws RELEASE_REFUSED or BAD_REQUEST. */
export const planRelease = (
  wish: ReleaseWish,
  images: readonly PublishedImage[],
  current: Release | null,
  baked: ImageIdentity | null,
): ReleasePlan => {
  const { channel, compatible, version } = wish;
  const siblings = images.filter((image) => image.compatible === compatible);
  const published = siblings.find((image) => image.version === version) ?? null;
  if (published === null && !wish.hasImage) {
    throw new OtadError('BAD_REQUEST', {
      problem: 'this version is not published yet: give an image or layers',
      version,
    });
  }
  // First: where the image is of another version, its sequence is that version's, which the caller did not ask about.
  checkBaked({ compatible, version }, baked);
  const sequence = wish.sequence ?? published?.sequence ?? baked?.sequence ?? highestSequence(siblings) + 1;
  if (published !== null && published.sequence !== sequence) {
    throw refused('this version is published with another sequence', { version, sequence: published.sequence });
  }
  const holder = siblings.find((image) => image.sequence === sequence);
  if (holder !== undefined && holder.version !== version) {
    throw refused('this sequence belongs to another version', { sequence, version: holder.version });
  }
  if (current !== null && wish.floorEpoch < current.floorEpoch) {
    throw refused('the floor epoch would fall', { floorEpoch: wish.floorEpoch, current: current.floorEpoch });
  }
  if (current !== null && wish.floorEpoch === current.floorEpoch && sequence < current.sequence) {
    throw refused('the sequence would fall', { channel, sequence, current: current.sequence });
  }
  const identity = { releaseId: releaseIdOf(compatible, version), compatible, version, sequence };
  checkBaked(identity, baked);
  return { identity, published };
};

const checkBaked = (identity: Partial<ImageIdentity>, baked: ImageIdentity | null): void => {
  if (baked === null) return;
  for (const key of ['compatible', 'version', 'sequence', 'releaseId'] as const) {
    if (identity[key] !== undefined && baked[key] !== identity[key]) {
      throw refused('the image says something else of itself in os-release: build it as this release', {
        field: key,
        image: baked[key],
        release: identity[key],
      });
    }
  }
};
