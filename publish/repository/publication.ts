// Writes a repository forward: target files, then targets, snapshot and, last of all, timestamp. Until the timestamp is
// renamed into place nothing that a client reads has changed, and afterwards all of it is there: a crash between any two
// writes leaves a repository that every client accepts. A file that a client may have seen is never written again.

import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { OtadError } from '../../agent/core/errors.ts';
import { metadataLimits } from '../../verity/metadata-fetcher.ts';
import { dateTimeOf, type MetadataOf, type TargetFile, timeOf } from '../../verity/tuf-metadata.ts';
import { makeFolder, temporarySuffix, writeDurably } from '../durable-file.ts';
import type { RoleName, SigningKey } from '../keys/key-files.ts';
import { keysForRole, metaFileOf, signMetadata, specVersion } from './metadata-signing.ts';
import type { PublishedState } from './published-state.ts';
import type { Lifetimes, PublisherPaths } from './publisher-folder.ts';

/** Called after each durable write with the file's path. What it throws stops the publication there. */
export type AfterWrite = (path: string) => void | Promise<void>;

export interface PublicationOptions {
  readonly paths: PublisherPaths;
  readonly lifetimesS: Lifetimes;
  readonly keys: readonly SigningKey[];
  readonly nowS: number;
  readonly afterWrite?: AfterWrite | undefined;
}

export interface PublishedVersions {
  readonly targets: number;
  readonly snapshot: number;
  readonly timestamp: number;
}

const fileNamePattern = (role: RoleName): RegExp => new RegExp(`^(\\d{1,15})\\.${role}\\.json$`);

/** Highest version of the role that lies in the folder, even if a crash left it unreferenced: its number is used up. */
export const highestVersion = async (folder: string, role: RoleName): Promise<number> => {
  const pattern = fileNamePattern(role);
  const versions = (await readdir(folder)).map((name) => Number(pattern.exec(name)?.[1] ?? 0));
  return versions.reduce((highest, version) => Math.max(highest, version), 0);
};

/** Removes what interrupted writes left. Only under the publisher's lock. */
export const removeLeftovers = async (repository: string): Promise<void> => {
  const entries = await readdir(repository, { recursive: true, withFileTypes: true });
  for (const entry of entries) {
    const isLeftover = entry.isFile() && entry.name.startsWith('.') && entry.name.endsWith(temporarySuffix);
    if (isLeftover) await rm(join(entry.parentPath, entry.name), { force: true });
  }
};

/** Where a target lies, with its digest in front of the name (consistent snapshots, TUF 6.2). */
export const targetFilePath = (targetPath: string, sha256: string): string => {
  const parts = targetPath.split('/');
  const name = parts.pop() ?? '';
  return [...parts, `${sha256}.${name}`].join('/');
};

/** Stores a small target under its digest. */
export const storeTarget = async (
  options: PublicationOptions,
  targetPath: string,
  bytes: Uint8Array,
  sha256: string,
): Promise<void> => {
  const path = join(options.paths.targets, targetFilePath(targetPath, sha256));
  await makeFolder(join(path, '..'), options.paths.folder);
  await writeDurably(path, bytes);
  await options.afterWrite?.(path);
};

const checkExpiry = (role: RoleName, expires: string, nowS: number): void => {
  if (timeOf(expires) <= nowS) throw new OtadError('METADATA_EXPIRED', { role, expires });
};

const writeMetadata = async (
  options: PublicationOptions,
  name: string,
  bytes: Uint8Array,
  bytesMax: number,
): Promise<void> => {
  if (bytes.length > bytesMax) {
    const problem = 'devices would refuse a metadata file of this length';
    throw new OtadError('RELEASE_REFUSED', { problem, name, bytes: bytes.length, bytesMax });
  }
  const path = join(options.paths.metadata, name);
  await writeDurably(path, bytes);
  await options.afterWrite?.(path);
};

const expiresOf = (options: PublicationOptions, role: RoleName): string =>
  dateTimeOf(options.nowS + options.lifetimesS[role]);

/** The next targets file: signed and written when there are new targets or a renewal, else the one that stands. */
const publishTargets = async (
  options: PublicationOptions,
  state: PublishedState,
  targets: Readonly<Record<string, TargetFile>> | null,
) => {
  if (targets === null) return { version: state.targets.version, meta: state.snapshot.meta };
  const version = (await highestVersion(options.paths.metadata, 'targets')) + 1;
  const signed = { ...state.targets, version, expires: expiresOf(options, 'targets'), targets: { ...targets } };
  const bytes = signMetadata('targets', signed, keysForRole(state.root, 'targets', options.keys));
  await writeMetadata(options, `${version}.targets.json`, bytes, metadataLimits.targetsBytesMax);
  return { version, meta: { ...state.snapshot.meta, 'targets.json': metaFileOf(signed, bytes) } };
};

/** What {@link publish} signs anew besides the timestamp. `targets: null` keeps the targets file that stands. */
export interface Publication {
  readonly targets: Readonly<Record<string, TargetFile>> | null;
  readonly isSnapshotRenewed: boolean;
}

/** Signs and writes the metadata. All keys are checked before the first byte is written. */
export const publish = async (
  options: PublicationOptions,
  state: PublishedState,
  publication: Publication,
): Promise<PublishedVersions> => {
  const isSnapshotNew = publication.targets !== null || publication.isSnapshotRenewed;
  checkExpiry('root', state.root.expires, options.nowS);
  if (publication.targets !== null) keysForRole(state.root, 'targets', options.keys);
  const timestampKeys = keysForRole(state.root, 'timestamp', options.keys);
  const snapshotKeys = isSnapshotNew ? keysForRole(state.root, 'snapshot', options.keys) : [];

  const targets = await publishTargets(options, state, publication.targets);
  let snapshotMeta = state.timestamp.meta['snapshot.json'];
  if (isSnapshotNew) {
    const version = (await highestVersion(options.paths.metadata, 'snapshot')) + 1;
    const snapshot: MetadataOf['snapshot'] = {
      ...state.snapshot,
      version,
      expires: expiresOf(options, 'snapshot'),
      meta: targets.meta,
    };
    const bytes = signMetadata('snapshot', snapshot, snapshotKeys);
    await writeMetadata(options, `${version}.snapshot.json`, bytes, metadataLimits.snapshotBytesMax);
    snapshotMeta = metaFileOf(snapshot, bytes);
  }
  const timestamp: MetadataOf['timestamp'] = {
    _type: 'timestamp',
    spec_version: specVersion,
    version: state.timestamp.version + 1,
    expires: expiresOf(options, 'timestamp'),
    meta: { 'snapshot.json': snapshotMeta },
  };
  const bytes = signMetadata('timestamp', timestamp, timestampKeys);
  await writeMetadata(options, 'timestamp.json', bytes, metadataLimits.timestampBytesMax);
  return { targets: targets.version, snapshot: snapshotMeta.version, timestamp: timestamp.version };
};
