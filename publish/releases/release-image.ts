// The image of a release: stored when it is new, found when its version is published already, and described for targets
// and release document alike. A version that is published with other bytes is refused.

import { randomBytes } from 'node:crypto';
import { OtadError } from '../../agent/core/errors.ts';
import type { Artifact, ArtifactFile, ArtifactPatch } from '../../agent/core/types.ts';
import { storeImage } from '../images/image-store.ts';
import type { ImageIdentity } from '../images/os-release.ts';
import type { PublicationOptions } from '../repository/publication.ts';
import { type ImageFacts, imageTargetPath } from './catalogue.ts';
import type { ReleasePlan } from './release-plan.ts';

const saltBytes = 32;

export interface ImageWish {
  readonly saltHex?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** An image that lies in the repository, and the facts that its target carries. */
export interface ImageTarget {
  readonly lengthBytes: number;
  readonly sha256Hex: string;
  readonly facts: ImageFacts;
}

/** Stores the given image, or takes the published one. A published version with other bytes is refused. */
export const settleImage = async (
  wish: ImageWish,
  publication: PublicationOptions,
  plan: ReleasePlan,
  imagePath: string | null,
): Promise<ImageTarget> => {
  const { identity, published } = plan;
  if (imagePath === null && published !== null) return { ...published, facts: factsOf(identity, published) };
  const saltHex = published?.saltHex ?? wish.saltHex ?? randomBytes(saltBytes).toString('hex');
  const stored = await storeImage(
    publication,
    {
      path: imagePath ?? '',
      targetPath: published?.path ?? imageTargetPath(identity.compatible, identity.version),
      saltHex,
    },
    (image) => {
      if (published === null || published.sha256Hex === image.sha256Hex) return;
      const problem = 'this version is published with other content; give the new image a new version';
      throw new OtadError('RELEASE_REFUSED', {
        problem,
        version: identity.version,
        published: published.sha256Hex,
        given: image.sha256Hex,
      });
    },
    wish.signal,
  );
  return { ...stored, facts: factsOf(identity, { saltHex, rootHex: stored.rootHex }) };
};

const factsOf = (identity: ImageIdentity, seal: { saltHex: string; rootHex: string }): ImageFacts => ({
  ...identity,
  saltHex: seal.saltHex,
  rootHex: seal.rootHex,
});

/** The image as the release document names it. */
export const artifactOf = (
  path: string,
  image: ImageTarget,
  index: ArtifactFile | null,
  patches: readonly ArtifactPatch[],
): Artifact => ({
  role: 'rootfs',
  path,
  lengthBytes: image.lengthBytes,
  sha256Hex: image.sha256Hex,
  verity: {
    algorithm: 'sha256',
    blockSizeBytes: 4096,
    saltHex: image.facts.saltHex,
    rootHex: image.facts.rootHex,
    hashOffsetBytes: image.lengthBytes,
  },
  index,
  ...(patches.length === 0 ? {} : { patches }),
});
