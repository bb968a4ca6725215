// The boot set of a release: every file of a folder as a target of its own, stored when it is new, found again when its version
// is offered to another channel. A version means one boot set, as it means one image.

import { constants } from 'node:fs';
import { open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type BootArtifact, type BootFile, bootFileBytesMax, bootSetFault } from '../../agent/core/boot-set.ts';
import { OtadError } from '../../agent/core/errors.ts';
import type { TargetFile, TargetsMetadata } from '../../verity/tuf-metadata.ts';
import { errorCodeOf } from '../durable-file.ts';
import type { ImageIdentity } from '../images/os-release.ts';
import { sha256Hex } from '../repository/metadata-signing.ts';
import { type PublicationOptions, storeTarget } from '../repository/publication.ts';
import { bootTargetFolder, targetFileOf } from './catalogue.ts';

const unusable = (path: string, problem: string, cause?: unknown): OtadError =>
  new OtadError('BOOT_SET_UNUSABLE', { path, problem }, { cause });

/** Names of the files, at most one folder deep. Throws BOOT_SET_UNUSABLE. */
const listFiles = async (folder: string): Promise<readonly string[]> => {
  const list = (path: string) =>
    readdir(path, { withFileTypes: true }).catch((cause: unknown) => {
      throw unusable(path, `cannot be read: ${errorCodeOf(cause)}`, cause);
    });
  const names: string[] = [];
  for (const entry of await list(folder)) {
    const inner = entry.isDirectory() ? await list(join(folder, entry.name)) : null;
    const files = inner === null ? [entry] : inner;
    for (const file of files) {
      const name = inner === null ? file.name : `${entry.name}/${file.name}`;
      if (!file.isFile()) throw unusable(join(folder, name), 'neither a file nor a folder of files');
      names.push(name);
    }
  }
  return names.sort();
};

/** The bytes of a file that may not be a link: what is signed is what lies in the folder. */
const readBootFile = async (path: string): Promise<Uint8Array> => {
  const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW).catch((cause: unknown) => {
    throw unusable(path, `cannot be read: ${errorCodeOf(cause)}`, cause);
  });
  try {
    const { size } = await handle.stat();
    if (size > bootFileBytesMax) throw unusable(path, `longer than ${bootFileBytesMax} bytes`);
    return await handle.readFile();
  } finally {
    await handle.close();
  }
};

const artifactOf = (folder: string, { name, lengthBytes, sha256Hex: digest }: BootFile): BootArtifact => ({
  ...{ role: 'boot', path: `${folder}${name}`, lengthBytes, sha256Hex: digest },
  ...{ verity: null, index: null, name },
});

const publishedFiles = (targets: TargetsMetadata, folder: string): readonly BootArtifact[] =>
  Object.entries(targets.targets)
    .filter(([path]) => path.startsWith(folder))
    .map(([path, { length, hashes }]) =>
      artifactOf(folder, { name: path.slice(folder.length), lengthBytes: length, sha256Hex: hashes.sha256 ?? '' }),
    );

/** Refused where the version is published, and with other boot files or with none. */
const checkPublished = (given: BootArtifact, published: readonly BootArtifact[], version: string): void => {
  const same = published.find(({ name }) => name === given.name);
  if (same?.sha256Hex === given.sha256Hex) return;
  throw new OtadError('RELEASE_REFUSED', {
    problem: 'this version is published with other boot files; give the new ones a new version',
    ...{ version, file: given.name, published: same?.sha256Hex, given: given.sha256Hex },
  });
};

export interface BootSetWish {
  /** The folder whose files are the set; null: the published one of the version, or none. */
  readonly folder: string | null;
  readonly identity: Pick<ImageIdentity, 'compatible' | 'version'>;
  /** The image of this version is published already. */
  readonly isPublished: boolean;
}

/** Stores the files of the folder, or takes the published ones. Throws BOOT_SET_UNUSABLE and RELEASE_REFUSED. */
export const settleBootSet = async (
  publication: PublicationOptions,
  targets: TargetsMetadata,
  { folder, identity, isPublished }: BootSetWish,
): Promise<readonly BootArtifact[]> => {
  const { compatible, version } = identity;
  const targetFolder = bootTargetFolder(compatible, version);
  const published = publishedFiles(targets, targetFolder);
  if (folder === null) return published;
  const names = await listFiles(folder);
  if (names.length === 0) throw unusable(folder, 'it holds no file');
  const artifacts: BootArtifact[] = [];
  for (const name of names) {
    const bytes = await readBootFile(join(folder, name));
    const artifact = artifactOf(targetFolder, { name, lengthBytes: bytes.length, sha256Hex: sha256Hex(bytes) });
    // Before it is stored: its name becomes a path of the repository.
    const fault = bootSetFault([...artifacts, artifact]);
    if (fault !== null) throw unusable(join(folder, name), fault);
    if (isPublished) checkPublished(artifact, published, version);
    else await storeTarget(publication, artifact.path, bytes, artifact.sha256Hex);
    artifacts.push(artifact);
  }
  const missing = isPublished ? published.find((known) => !names.includes(known.name)) : undefined;
  if (missing !== undefined) throw unusable(folder, `${missing.name} is missing, which is published with ${version}`);
  return artifacts;
};

/** As members of the signed targets. */
export const bootTargets = (artifacts: readonly BootArtifact[]): Readonly<Record<string, TargetFile>> =>
  Object.fromEntries(
    artifacts.map(({ path, lengthBytes, sha256Hex: digest }) => [path, targetFileOf(lengthBytes, digest)]),
  );
