// What the signed targets say is published: images with the facts that otapub keeps beside them, and the release that
// each channel offers. Reads documents only by their signed digest. Decides nothing.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { OtadError } from '../../agent/core/errors.ts';
import type { Release } from '../../agent/core/types.ts';
import { parseRelease } from '../../verity/release-document.ts';
import type { TargetFile, TargetsMetadata } from '../../verity/tuf-metadata.ts';
import { sha256Hex } from '../repository/metadata-signing.ts';
import { targetFilePath } from '../repository/publication.ts';

/** Member of a target's `custom` that otapub keeps its facts in. Devices do not read it. */
const factsMember = 'x-otad-image';

const imageFactsSchema = z.strictObject({
  releaseId: z.string(),
  compatible: z.string(),
  version: z.string(),
  sequence: z.number().int().min(1),
  saltHex: z.string(),
  rootHex: z.string(),
});
export type ImageFacts = z.infer<typeof imageFactsSchema>;

/** An image that is published, for whichever channels offer it. */
export interface PublishedImage extends ImageFacts {
  readonly path: string;
  readonly lengthBytes: number;
  readonly sha256Hex: string;
}

export const imageTargetPath = (compatible: string, version: string): string =>
  `images/${compatible}/${compatible}-${version}.squashfs`;

/** Where the boot files of a version lie, by the names that they have on a gateway. */
export const bootTargetFolder = (compatible: string, version: string): string =>
  `images/${compatible}/boot/${version}/`;

/** Of the index of an image, by the image's own path. */
export const indexTargetPath = (imagePath: string): string => `${imagePath}.index`;

/** Of a patch to an image, by the image's own path: the start of the base's digest is enough to tell bases apart. */
export const patchTargetPath = (imagePath: string, baseSha256Hex: string): string =>
  `${imagePath}.${baseSha256Hex.slice(0, 12)}.patch`;

export const targetFileOf = (lengthBytes: number, sha256: string, facts?: ImageFacts): TargetFile => ({
  length: lengthBytes,
  hashes: { sha256 },
  ...(facts === undefined ? {} : { custom: { [factsMember]: facts } }),
});

const imageOf = (path: string, target: TargetFile): PublishedImage | null => {
  const facts = imageFactsSchema.safeParse(target.custom?.[factsMember]);
  const sha256 = target.hashes.sha256;
  return facts.success && sha256 !== undefined
    ? { ...facts.data, path, lengthBytes: target.length, sha256Hex: sha256 }
    : null;
};

/** All images that otapub published. */
export const publishedImages = (targets: TargetsMetadata): readonly PublishedImage[] =>
  Object.entries(targets.targets).flatMap(([path, target]) => imageOf(path, target) ?? []);

/** Target paths of all release documents. */
export const documentPaths = (targets: TargetsMetadata): readonly string[] =>
  Object.keys(targets.targets).filter((path) => /^channels\/[^/]+\/[^/]+\.json$/.test(path));

/** The release document at this target path; null when the channel offers none. */
export const readDocument = async (
  targetsFolder: string,
  targets: TargetsMetadata,
  path: string,
): Promise<Release | null> => {
  const target = Object.hasOwn(targets.targets, path) ? targets.targets[path] : undefined;
  if (target === undefined) return null;
  const sha256 = target.hashes.sha256 ?? '';
  const file = join(targetsFolder, targetFilePath(path, sha256));
  const bytes = await readFile(file).catch((cause: unknown) => {
    throw new OtadError('REPOSITORY_INVALID', { path: file, problem: 'a signed file is missing' }, { cause });
  });
  if (sha256Hex(bytes) !== sha256) throw new OtadError('TARGET_DIGEST_MISMATCH', { path: file });
  return parseRelease(bytes);
};
