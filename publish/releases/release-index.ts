// The chunk index of a release: a target beside its image, made once and found again when the version is offered to another
// channel.

import { join } from 'node:path';
import type { ArtifactFile } from '../../agent/core/types.ts';
import type { TargetsMetadata } from '../../verity/tuf-metadata.ts';
import { indexImage } from '../images/image-index.ts';
import { sha256Hex } from '../repository/metadata-signing.ts';
import { type PublicationOptions, storeTarget, targetFilePath } from '../repository/publication.ts';
import { indexTargetPath } from './catalogue.ts';

export interface SettledIndex {
  /** Null: gateways fetch the image whole. */
  readonly index: ArtifactFile | null;
  /** Why there is none. */
  readonly problem: string | null;
}

/** Stores the index of the image at this target path, or takes the published one. */
export const settleIndex = async (
  publication: PublicationOptions,
  targets: TargetsMetadata,
  image: { readonly path: string; readonly sha256Hex: string },
): Promise<SettledIndex> => {
  const path = indexTargetPath(image.path);
  const published = Object.hasOwn(targets.targets, path) ? targets.targets[path] : undefined;
  if (published?.hashes.sha256 !== undefined) {
    return { index: { path, lengthBytes: published.length, sha256Hex: published.hashes.sha256 }, problem: null };
  }
  const made = await indexImage(join(publication.paths.targets, targetFilePath(image.path, image.sha256Hex)));
  if (typeof made === 'string') return { index: null, problem: made };
  const digest = sha256Hex(made);
  await storeTarget(publication, path, made, digest);
  return { index: { path, lengthBytes: made.length, sha256Hex: digest }, problem: null };
};
