// Makes a publisher's folder: keys, the first set of metadata (no targets yet) and the root that goes into images.
// Must never overwrite keys or a repository: whoever loses root keys loses every device in the field.

import { mkdir, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { OtadError } from '../../agent/core/errors.ts';
import { dateTimeOf, type MetadataOf } from '../../verity/tuf-metadata.ts';
import { writeDurably } from '../durable-file.ts';
import { createKeyFile } from '../keys/key-files.ts';
import { keyNamePattern, ownRootName, type RoleName, roleNames, type SigningKey } from '../keys/signing-key.ts';
import { metaFileOf, signMetadata, specVersion } from './metadata-signing.ts';
import { defaultLifetimesS, isThere, type Lifetimes, type PublisherPaths, publisherPaths } from './publisher-folder.ts';
import { withPublisherLock } from './publisher-lock.ts';
import { firstRoot } from './root-document.ts';

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
  /** Names of the keys, as many as there are; default `root-1` and so on. */
  readonly keyNames?: Partial<Readonly<Record<RoleName, readonly string[]>>> | undefined;
  /** Where private keys go: one folder for all of a role, or one for each. They must exist. Default: `keys`. */
  readonly keyFolders?: Partial<Readonly<Record<RoleName, readonly string[]>>> | undefined;
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
    if (await isThere(path)) throw new OtadError('REPOSITORY_EXISTS', { path });
  }
};

/** Among another publisher's keys, its own would be taken for keys of the other; in its repository they would be served. */
const refuseToNest = async (folder: string): Promise<void> => {
  for (let above = dirname(resolve(folder)); above !== dirname(above); above = dirname(above)) {
    if (await isThere(publisherPaths(above).settings))
      throw refuse(`${above} is a publisher's folder: choose one outside`);
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

/** A key that is to be made. */
interface KeyPlace {
  readonly name: string;
  readonly folder: string;
}
type KeyPlaces = Readonly<Record<RoleName, readonly KeyPlace[]>>;

const refuse = (problem: string): OtadError => new OtadError('BAD_REQUEST', { problem });

const placesOf = (role: RoleName, count: number, options: InitOptions, keys: string): readonly KeyPlace[] => {
  const names = options.keyNames?.[role] ?? Array.from({ length: count }, (_, index) => `${role}-${index + 1}`);
  const folders = options.keyFolders?.[role] ?? [keys];
  if (names.length !== count) throw refuse(`${role} has ${count} keys, and ${names.length} names were given`);
  if (folders.length !== 1 && folders.length !== count) {
    throw refuse(`${role} has ${count} keys: give one folder for all of them or ${count}, not ${folders.length}`);
  }
  return names.map((name, index) => ({ name, folder: resolve(folders[index] ?? folders[0] ?? keys) }));
};

const planKeys = (plan: InitializedRepository['keyPlan'], options: InitOptions, keys: string): KeyPlaces => {
  const of = (role: RoleName): readonly KeyPlace[] => placesOf(role, plan[role].count, options, keys);
  const places = { root: of('root'), targets: of('targets'), snapshot: of('snapshot'), timestamp: of('timestamp') };
  const names = roleNames.flatMap((role) => places[role].map(({ name }) => name));
  for (const [index, name] of names.entries()) {
    if (!keyNamePattern.test(name)) throw refuse(`'${name}' is no name for a key: letters, digits, . _ -, at most 32`);
    if (names.indexOf(name) !== index) throw refuse(`two keys are called '${name}'; every key needs a name of its own`);
  }
  return places;
};

/** A folder that is not there is most likely a stick that is not plugged in: nothing must go to the disk below it. */
const checkFolders = async (places: KeyPlaces, keys: string): Promise<void> => {
  for (const { folder } of roleNames.flatMap((role) => places[role])) {
    if (folder === resolve(keys)) continue;
    const facts = await stat(folder).catch(() => null);
    if (facts?.isDirectory() !== true)
      throw refuse(`there is no folder ${folder}: plug the stick in, or make the folder`);
  }
};

const createKeys = async (places: KeyPlaces): Promise<Readonly<Record<RoleName, readonly SigningKey[]>>> => {
  const make = (role: RoleName): Promise<readonly SigningKey[]> =>
    Promise.all(places[role].map(({ folder, name }) => createKeyFile(folder, role, name)));
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
  const places = planKeys(keyPlan, options, paths.keys);
  await checkFolders(places, paths.keys);
  await refuseToNest(paths.folder);
  await mkdir(paths.folder, { recursive: true });
  return await withPublisherLock(paths.folder, async () => {
    await refuseToOverwrite(paths);
    await mkdir(paths.keys, { mode: 0o700 });
    // Before the first key: the folder may stand in somebody's git repository.
    await writeDurably(join(paths.keys, '.gitignore'), '*\n');
    const keys = await createKeys(places);
    const root = await writeFirstMetadata(paths, keys, keyPlan, expires);
    await writeDurably(paths.settings, `${JSON.stringify({ schema: 1, name, lifetimesS }, null, 2)}\n`);
    const filesOf = (role: RoleName): readonly string[] =>
      keys[role].map(({ fileName }, index) => join(places[role][index]?.folder ?? paths.keys, fileName));
    const keyFiles = {
      root: filesOf('root'),
      targets: filesOf('targets'),
      snapshot: filesOf('snapshot'),
      timestamp: filesOf('timestamp'),
    };
    const away = new Set(roleNames.flatMap((role) => places[role].map(({ folder }) => folder)));
    away.delete(resolve(paths.keys));
    // Whoever signs offline checks requests against this.
    for (const folder of away) await writeDurably(join(folder, ownRootName), root);
    return { paths, name, keyFiles, keyPlan, expires };
  });
};

/** Timestamp last, as in every publication. */
const writeFirstMetadata = async (
  paths: PublisherPaths,
  keys: Readonly<Record<RoleName, readonly SigningKey[]>>,
  plan: Readonly<Record<RoleName, KeyPlan>>,
  expires: Readonly<Record<RoleName, string>>,
): Promise<Uint8Array> => {
  const thresholds = {
    root: plan.root.threshold,
    targets: plan.targets.threshold,
    snapshot: plan.snapshot.threshold,
    timestamp: plan.timestamp.threshold,
  };
  const common = { spec_version: specVersion, version: 1 };
  const root = await signMetadata('root', firstRoot(keys, thresholds, expires.root), keys.root);
  const targets: MetadataOf['targets'] = { _type: 'targets', ...common, expires: expires.targets, targets: {} };
  const targetsBytes = await signMetadata('targets', targets, keys.targets);
  const snapshot: MetadataOf['snapshot'] = {
    _type: 'snapshot',
    ...common,
    expires: expires.snapshot,
    meta: { 'targets.json': metaFileOf(targets, targetsBytes) },
  };
  const snapshotBytes = await signMetadata('snapshot', snapshot, keys.snapshot);
  const timestamp: MetadataOf['timestamp'] = {
    _type: 'timestamp',
    ...common,
    expires: expires.timestamp,
    meta: { 'snapshot.json': metaFileOf(snapshot, snapshotBytes) },
  };
  const timestampBytes = await signMetadata('timestamp', timestamp, keys.timestamp);

  await mkdir(paths.metadata, { recursive: true });
  await mkdir(paths.targets, { recursive: true });
  await writeDurably(paths.root, root);
  await writeDurably(join(paths.metadata, '1.root.json'), root);
  await writeDurably(join(paths.metadata, '1.targets.json'), targetsBytes);
  await writeDurably(join(paths.metadata, '1.snapshot.json'), snapshotBytes);
  await writeDurably(join(paths.metadata, 'timestamp.json'), timestampBytes);
  return root;
};
