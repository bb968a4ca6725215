// Writes a repository forward: target files, then targets, snapshot and, last of all, timestamp. Until the timestamp is
// renamed into place nothing that a client reads has changed, and afterwards all of it is there: a crash between any two
// writes leaves a repository that every client accepts. A file that a client may have seen is never written again.
// New roots come in where the files before and after them stand under both (see `rootsFor` in root-document.ts).

import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { OtadError } from '../../agent/core/errors.ts';
import { metadataLimits } from '../../verity/metadata-fetcher.ts';
import { dateTimeOf, type MetadataOf, type RootMetadata } from '../../verity/tuf-metadata.ts';
import type { Trusted } from '../../verity/tuf-verify.ts';
import { makeFolder, temporarySuffix, writeDurably } from '../durable-file.ts';
import type { RoleName, SigningKey } from '../keys/signing-key.ts';
import { keysForRole, metaFileOf, rawSigned, signMetadata, specVersion } from './metadata-signing.ts';
import { type Plan, type Publication, planPublication } from './publication-plan.ts';
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
  readonly root: number;
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

export const expiresOf = ({ nowS, lifetimesS }: PublicationOptions, role: RoleName): string =>
  dateTimeOf(nowS + lifetimesS[role]);

/** The next targets file when there is one, else the one that stands; and what the snapshot says of it. */
const publishTargets = async (options: PublicationOptions, state: PublishedState, { targets, judges }: Plan) => {
  if (targets === null) return { version: state.targets.version, meta: state.snapshot.meta };
  let bytes: Uint8Array;
  if (targets instanceof Uint8Array) {
    bytes = targets;
  } else {
    const version = (await highestVersion(options.paths.metadata, 'targets')) + 1;
    const signed = { ...state.targets, version, expires: expiresOf(options, 'targets'), targets: { ...targets } };
    bytes = await signMetadata('targets', signed, keysForRole(judges, 'targets', options.keys));
  }
  const signed = rawSigned<MetadataOf['targets']>(bytes);
  await writeMetadata(options, `${signed.version}.targets.json`, bytes, metadataLimits.targetsBytesMax);
  return { version: signed.version, meta: { ...state.snapshot.meta, 'targets.json': metaFileOf(signed, bytes) } };
};

const publishSnapshot = async (
  options: PublicationOptions,
  state: PublishedState,
  { judges, isSnapshotNew }: Plan,
  meta: MetadataOf['snapshot']['meta'],
) => {
  if (!isSnapshotNew) return state.timestamp.meta['snapshot.json'];
  const version = (await highestVersion(options.paths.metadata, 'snapshot')) + 1;
  const snapshot: MetadataOf['snapshot'] = {
    ...state.snapshot,
    version,
    expires: expiresOf(options, 'snapshot'),
    meta,
  };
  const bytes = await signMetadata('snapshot', snapshot, keysForRole(judges, 'snapshot', options.keys));
  await writeMetadata(options, `${version}.snapshot.json`, bytes, metadataLimits.snapshotBytesMax);
  return metaFileOf(snapshot, bytes);
};

const publishTimestamp = async (
  options: PublicationOptions,
  judges: readonly RootMetadata[],
  version: number,
  snapshot: MetadataOf['timestamp']['meta']['snapshot.json'],
): Promise<void> => {
  const timestamp: MetadataOf['timestamp'] = {
    _type: 'timestamp',
    spec_version: specVersion,
    version,
    expires: expiresOf(options, 'timestamp'),
    meta: { 'snapshot.json': snapshot },
  };
  const bytes = await signMetadata('timestamp', timestamp, keysForRole(judges, 'timestamp', options.keys));
  await writeMetadata(options, 'timestamp.json', bytes, metadataLimits.timestampBytesMax);
};

const writeRoot = (options: PublicationOptions, { signed, bytes }: Trusted<RootMetadata>): Promise<void> =>
  writeMetadata(options, `${signed.version}.root.json`, bytes, metadataLimits.rootBytesMax);

/** Images get the newest root; devices that have an older one follow the versions in the repository. */
const settleAnchor = async (options: PublicationOptions, state: PublishedState, newest: Uint8Array): Promise<void> => {
  const { version } = rawSigned<RootMetadata>(newest);
  if (state.anchorVersion === version) return;
  await writeDurably(options.paths.root, newest);
  await options.afterWrite?.(options.paths.root);
};

/** Signs and writes the metadata. Keys and given signatures are all checked before the first byte is written. */
export const publish = async (
  options: PublicationOptions,
  state: PublishedState,
  publication: Publication,
): Promise<PublishedVersions> => {
  const plan = planPublication(state, publication, options);
  const [last, ...earlier] = [...plan.roots].reverse();
  for (const root of earlier.reverse()) await writeRoot(options, root);

  const targets = await publishTargets(options, state, plan);
  const snapshot = await publishSnapshot(options, state, plan, targets.meta);
  let version = state.timestamp.version;
  if (plan.isTimestampNew) {
    version += 1;
    await publishTimestamp(options, plan.judges, version, snapshot);
  }
  if (last !== undefined) {
    await writeRoot(options, last);
    // Devices look for a new root when the timestamp changes: the one from before it may have been seen already.
    version += 1;
    await publishTimestamp(options, [plan.after], version, snapshot);
  }
  await settleAnchor(options, state, last?.bytes ?? state.rootBytes);
  return { root: plan.after.version, targets: targets.version, snapshot: snapshot.version, timestamp: version };
};
