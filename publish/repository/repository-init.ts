// Makes a publisher's folder: keys, the first set of metadata (no targets yet) and the root that goes into images.
// Must never overwrite keys or a repository: whoever loses root keys loses every device in the field.

import { lstat, mkdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { OtadError } from '../../agent/core/errors.ts';
import { dateTimeOf, type MetadataOf } from '../../verity/tuf-metadata.ts';
import { writeDurably } from '../durable-file.ts';
import { createKeyFile, type RoleName, roleNames, type SigningKey } from '../keys/key-files.ts';
import { firstRoot, metaFileOf, signMetadata, specVersion } from './metadata-signing.ts';
import { defaultLifetimesS, type Lifetimes, type PublisherPaths, publisherPaths } from './publisher-folder.ts';
import { withPublisherLock } from './publisher-lock.ts';

/** `threshold` of `count` keys sign for the role. */
export interface KeyPlan {
  readonly threshold: number;
  readonly count: number;
}

export const defaultKeyPlan: Readonly<Record<RoleName, KeyPlan>> = {
  root: { threshold: 2, count: 3 },
  targets: { threshold: 1, count: 1 },
  snapshot: { threshold: 1, count: 1 },
  timestamp: { threshold: 1, count: 1 },
};

const keysPerRoleMax = 16;

export interface InitOptions {
  readonly folder: string;
  /** Default: the folder's own name. */
  readonly name?: string | undefined;
  readonly keyPlan?: Partial<Readonly<Record<RoleName, KeyPlan>>> | undefined;
  readonly lifetimesS?: Partial<Lifetimes> | undefined;
  /** Milliseconds since 1970; the lifetimes count from here. Default: now. */
  readonly nowMs?: number | undefined;
}

export interface InitializedRepository {
  readonly paths: PublisherPaths;
  readonly name: string;
  readonly keyFiles: Readonly<Record<RoleName, readonly string[]>>;
  readonly keyPlan: Readonly<Record<RoleName, KeyPlan>>;
  readonly expires: Readonly<Record<RoleName, string>>;
}

const refuseToOverwrite = async (paths: PublisherPaths): Promise<void> => {
  for (const path of [paths.keys, paths.repository, paths.root, paths.settings]) {
    const exists = await lstat(path).then(
      () => true,
      () => false,
    );
    if (exists) throw new OtadError('REPOSITORY_EXISTS', { path });
  }
};

const checkPlan = (plan: Readonly<Record<RoleName, KeyPlan>>): void => {
  for (const role of roleNames) {
    const { threshold, count } = plan[role];
    const isSound = Number.isInteger(threshold) && Number.isInteger(count) && threshold >= 1 && threshold <= count;
    if (!isSound || count > keysPerRoleMax) {
      throw new OtadError('BAD_REQUEST', { role, threshold, keys: count, keysMax: keysPerRoleMax });
    }
  }
};

const createKeys = async (
  folder: string,
  plan: Readonly<Record<RoleName, KeyPlan>>,
): Promise<Readonly<Record<RoleName, readonly SigningKey[]>>> => {
  const make = async (role: RoleName): Promise<readonly SigningKey[]> => {
    const numbers = Array.from({ length: plan[role].count }, (_, index) => index + 1);
    return await Promise.all(numbers.map((number) => createKeyFile(folder, role, number)));
  };
  return {
    root: await make('root'),
    targets: await make('targets'),
    snapshot: await make('snapshot'),
    timestamp: await make('timestamp'),
  };
};

/** Creates the folder's parts. Throws REPOSITORY_EXISTS when any of them is there. */
export const initRepository = async (options: InitOptions): Promise<InitializedRepository> => {
  const paths = publisherPaths(options.folder);
  const keyPlan = { ...defaultKeyPlan, ...options.keyPlan };
  const lifetimesS = { ...defaultLifetimesS, ...options.lifetimesS };
  const name = options.name ?? basename(paths.folder);
  const nowS = Math.floor((options.nowMs ?? Date.now()) / 1000);
  const expires = {
    root: dateTimeOf(nowS + lifetimesS.root),
    targets: dateTimeOf(nowS + lifetimesS.targets),
    snapshot: dateTimeOf(nowS + lifetimesS.snapshot),
    timestamp: dateTimeOf(nowS + lifetimesS.timestamp),
  };
  checkPlan(keyPlan);
  await mkdir(paths.folder, { recursive: true });
  return await withPublisherLock(paths.folder, async () => {
    await refuseToOverwrite(paths);
    await mkdir(paths.keys, { mode: 0o700 });
    const keys = await createKeys(paths.keys, keyPlan);
    await writeFirstMetadata(paths, keys, keyPlan, expires);
    await writeDurably(paths.settings, `${JSON.stringify({ schema: 1, name, lifetimesS }, null, 2)}\n`);
    const namesOf = (role: RoleName): readonly string[] => keys[role].map((key) => join(paths.keys, key.fileName));
    const keyFiles = {
      root: namesOf('root'),
      targets: namesOf('targets'),
      snapshot: namesOf('snapshot'),
      timestamp: namesOf('timestamp'),
    };
    return { paths, name, keyFiles, keyPlan, expires };
  });
};

/** Timestamp last, as in every publication. */
const writeFirstMetadata = async (
  paths: PublisherPaths,
  keys: Readonly<Record<RoleName, readonly SigningKey[]>>,
  plan: Readonly<Record<RoleName, KeyPlan>>,
  expires: Readonly<Record<RoleName, string>>,
): Promise<void> => {
  const thresholds = {
    root: plan.root.threshold,
    targets: plan.targets.threshold,
    snapshot: plan.snapshot.threshold,
    timestamp: plan.timestamp.threshold,
  };
  const common = { spec_version: specVersion, version: 1 };
  const root = signMetadata('root', firstRoot(keys, thresholds, expires.root), keys.root);
  const targets: MetadataOf['targets'] = { _type: 'targets', ...common, expires: expires.targets, targets: {} };
  const targetsBytes = signMetadata('targets', targets, keys.targets);
  const snapshot: MetadataOf['snapshot'] = {
    _type: 'snapshot',
    ...common,
    expires: expires.snapshot,
    meta: { 'targets.json': metaFileOf(targets, targetsBytes) },
  };
  const snapshotBytes = signMetadata('snapshot', snapshot, keys.snapshot);
  const timestamp: MetadataOf['timestamp'] = {
    _type: 'timestamp',
    ...common,
    expires: expires.timestamp,
    meta: { 'snapshot.json': metaFileOf(snapshot, snapshotBytes) },
  };
  const timestampBytes = signMetadata('timestamp', timestamp, keys.timestamp);

  await mkdir(paths.metadata, { recursive: true });
  await mkdir(paths.targets, { recursive: true });
  await writeDurably(paths.root, root);
  await writeDurably(join(paths.metadata, '1.root.json'), root);
  await writeDurably(join(paths.metadata, '1.targets.json'), targetsBytes);
  await writeDurably(join(paths.metadata, '1.snapshot.json'), snapshotBytes);
  await writeDurably(join(paths.metadata, 'timestamp.json'), timestampBytes);
};
