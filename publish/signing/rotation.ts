// Ceremonies on root metadata: new keys in place of old ones, keys taken away, the same keys for longer. Each ends in new
// root versions that every device can follow from the one it has, published at once or waiting as a signing request.

import { readdir } from 'node:fs/promises';
import { basename } from 'node:path';
import { OtadError } from '../../agent/core/errors.ts';
import { dateTimeOf, type MetadataOf, type RootMetadata } from '../../verity/tuf-metadata.ts';
import { createKeyFile, readKeyFolders } from '../keys/key-files.ts';
import type { PublicKey, SigningKey } from '../keys/signing-key.ts';
import {
  checkNewNames,
  findKey,
  nextName,
  plansAfterRevocation,
  plansAfterRotation,
  type Replacement,
  type RotationWish,
  replacementsFor,
} from '../repository/key-change.ts';
import { countFor, rawSigned, signingKeyId } from '../repository/metadata-signing.ts';
import {
  type AfterWrite,
  expiresOf,
  highestVersion,
  type PublicationOptions,
  removeLeftovers,
} from '../repository/publication.ts';
import { isOutOfForce } from '../repository/publication-plan.ts';
import { loadPublished, type PublishedState } from '../repository/published-state.ts';
import { publisherPaths, readSettings } from '../repository/publisher-folder.ts';
import { withPublisherLock } from '../repository/publisher-lock.ts';
import { keyNamesOf, type RolePlans, type RootChange, rolePlansOf, rootsFor } from '../repository/root-document.ts';
import { type Settlement, settle, settleTargets } from './settlement.ts';

export interface CeremonyOptions {
  readonly folder: string;
  /** Where private keys are. Default: `keys` of the folder. */
  readonly keyFolders?: readonly string[] | undefined;
  /** Milliseconds since 1970. Default now. */
  readonly nowMs?: number | undefined;
  readonly afterWrite?: AfterWrite | undefined;
}

export interface RotationOptions extends CeremonyOptions {
  readonly wish: RotationWish;
  /** Taken instead of making keys; as many as make way, or none. */
  readonly publicKeys?: readonly PublicKey[] | undefined;
  /** Names of the keys that are made. Default: the old one's with a number. */
  readonly names?: readonly string[] | undefined;
  /** Where new private keys go. Default: `keys` of the folder. */
  readonly newKeyFolder?: string | undefined;
  readonly threshold?: number | undefined;
}

export interface CeremonyResult {
  readonly settlement: Settlement;
  /** Paths of private keys that were made. */
  readonly newKeyFiles: readonly string[];
  /** Names of keys that serve no role any more. */
  readonly retired: readonly string[];
}

interface Ceremony {
  readonly name: string;
  readonly publication: PublicationOptions;
  readonly state: PublishedState;
}

const withCeremony = async <T>(options: CeremonyOptions, work: (ceremony: Ceremony) => Promise<T>): Promise<T> => {
  const paths = publisherPaths(options.folder);
  const { lifetimesS, name } = await readSettings(paths);
  return await withPublisherLock(paths.folder, async () => {
    const keys = await readKeyFolders(options.keyFolders ?? [paths.keys]);
    const nowS = Math.floor((options.nowMs ?? Date.now()) / 1000);
    await removeLeftovers(paths.repository);
    const state = await loadPublished(paths);
    const publication = { paths, lifetimesS, keys, nowS, afterWrite: options.afterWrite };
    return await work({ name, publication, state });
  });
};

/**
 * Whether every file that the new root puts out of force can be signed here so that both roots accept it. Whatever a new
 * file names must be signed anew as well: snapshot after targets, timestamp after snapshot.
 */
const canSignBoth = (state: PublishedState, keys: readonly SigningKey[], final: RootMetadata): boolean => {
  const here = keys.map(signingKeyId);
  const order = ['targets', 'snapshot', 'timestamp'] as const;
  const first = order.findIndex((role) => isOutOfForce(state, role, final));
  const affected = first < 0 ? [] : order.slice(first);
  return affected.every((role) =>
    [state.root, final].every((root) => countFor(root, role, here) >= root.roles[role].threshold),
  );
};

/** The targets file to be signed elsewhere, when the new root puts the old one out of force and its keys are not here. */
const targetsToSign = async (
  { publication, state }: Ceremony,
  roots: readonly RootMetadata[],
): Promise<MetadataOf['targets'] | null> => {
  const final = roots.at(-1) ?? state.root;
  if (!isOutOfForce(state, 'targets', final)) return null;
  const here = publication.keys.map(signingKeyId);
  const judges = [roots.at(-2) ?? state.root, final];
  if (judges.every((root) => countFor(root, 'targets', here) >= root.roles.targets.threshold)) return null;
  const version = (await highestVersion(publication.paths.metadata, 'targets')) + 1;
  return {
    ...rawSigned<MetadataOf['targets']>(state.targetsBytes),
    version,
    expires: expiresOf(publication, 'targets'),
  };
};

const conduct = async (
  ceremony: Ceremony,
  change: Omit<RootChange, 'expires'>,
  newKeyFiles: readonly string[],
): Promise<CeremonyResult> => {
  const { publication, state, name } = ceremony;
  const expires = dateTimeOf(publication.nowS + publication.lifetimesS.root);
  const roots = rootsFor(state.root, { ...change, expires }, (final) => canSignBoth(state, publication.keys, final));
  const targets = await targetsToSign(ceremony, roots);
  const settlement = await settle(publication, state, name, { roots, targets });
  const left = new Set(Object.keys(roots.at(-1)?.keys ?? {}));
  const retired = [...keyNamesOf(state.root)].flatMap(([keyId, keyName]) => (left.has(keyId) ? [] : [keyName]));
  return { settlement, newKeyFiles, retired };
};

const fileNamesIn = async (folder: string): Promise<readonly string[]> => await readdir(folder).catch(() => []);

/** Names that no key has, neither in root nor as a file in the folder that the new ones go to. */
const newNames = async (
  state: PublishedState,
  replacements: readonly Replacement[],
  folder: string,
): Promise<readonly string[]> => {
  const files = (await fileNamesIn(folder)).map((name) => basename(name, '.json'));
  const inRoot = keyNamesOf(state.root);
  const taken = new Set([...inRoot.values(), ...files, ...files.map((name) => name.replace(/^[a-z]+-/, ''))]);
  return replacements.map(({ role, oldKeyId }) => {
    const name = nextName(oldKeyId === null ? `${role}-0` : (inRoot.get(oldKeyId) ?? role), taken);
    taken.add(name);
    return name;
  });
};

const settleNewKeys = async (
  options: RotationOptions,
  { publication, state }: Ceremony,
  replacements: readonly Replacement[],
): Promise<{ readonly keys: readonly PublicKey[]; readonly made: readonly SigningKey[]; readonly folder: string }> => {
  const folder = options.newKeyFolder ?? publication.paths.keys;
  const given = options.publicKeys ?? [];
  const wanted = given.length > 0 ? given.map(({ name }) => name) : options.names;
  if (wanted !== undefined && wanted.length !== replacements.length) {
    const problem = `${replacements.length} new keys are needed, and ${wanted.length} were given or named`;
    throw new OtadError('BAD_REQUEST', { problem });
  }
  const names = wanted ?? (await newNames(state, replacements, folder));
  checkNewNames(state.root, names);
  if (given.length > 0) return { keys: given, made: [], folder };
  const made: SigningKey[] = [];
  for (const [index, { role }] of replacements.entries()) {
    made.push(await createKeyFile(folder, role, names[index] ?? role));
  }
  return { keys: made, made, folder };
};

/** Puts new keys in the place of old ones, or adds some. Throws ROTATION_REFUSED, KEY_UNUSABLE, BAD_REQUEST. */
export const rotateKeys = async (options: RotationOptions): Promise<CeremonyResult> =>
  await withCeremony(options, async (ceremony) => {
    const replacements = replacementsFor(ceremony.state.root, options.wish);
    checkThreshold(ceremony.state.root, options.wish, options.threshold);
    const { keys, made, folder } = await settleNewKeys(options, ceremony, replacements);
    const plans = plansAfterRotation(ceremony.state.root, replacements, keys, options.threshold);
    const publication = { ...ceremony.publication, keys: [...ceremony.publication.keys, ...made] };
    const files = made.map(({ fileName }) => `${folder}/${fileName}`);
    return await conduct({ ...ceremony, publication }, { plans, newKeys: keys }, files);
  });

/** Before any key is made: a refusal must not leave one behind. */
const checkThreshold = (root: RootMetadata, { roles, added }: RotationWish, threshold: number | undefined): void => {
  if (threshold === undefined) return;
  const [role, ...more] = roles;
  if (role === undefined || more.length > 0) {
    throw new OtadError('BAD_REQUEST', { problem: '--threshold goes with one role' });
  }
  const count = root.roles[role].keyids.length + added;
  if (threshold < 1 || threshold > count) {
    throw new OtadError('BAD_REQUEST', { problem: `${role} has ${count} keys then: --threshold is 1 to ${count}` });
  }
};

/** Roles below the top level have keys of their own that otapub does not manage. */
const checkDelegations = (state: PublishedState, keyIds: readonly string[]): void => {
  const role = state.targets.delegations?.roles.find(({ keyids }) => keyids.some((keyId) => keyIds.includes(keyId)));
  if (role === undefined) return;
  const problem = `the key also signs the delegated role '${role.name}', which otapub did not make: take it out there first`;
  throw new OtadError('ROTATION_REFUSED', { problem });
};

/** Takes keys out of every role. Throws ROTATION_REFUSED when a threshold could not be met any more. */
export const revokeKeys = async (options: CeremonyOptions, words: readonly string[]): Promise<CeremonyResult> =>
  await withCeremony(options, async (ceremony) => {
    const keyIds = words.map((word) => findKey(ceremony.state.root, word));
    checkDelegations(ceremony.state, keyIds);
    const plans: RolePlans = plansAfterRevocation(ceremony.state.root, keyIds);
    return await conduct(ceremony, { plans, newKeys: [] }, []);
  });

/** Signs root again with the same keys: a later expiry, and a higher floor epoch where one is given. */
export const renewRoot = async (options: CeremonyOptions, floorEpoch?: number): Promise<CeremonyResult> =>
  await withCeremony(options, async (ceremony) => {
    const plans = rolePlansOf(ceremony.state.root);
    return await conduct(ceremony, { plans, newKeys: [], floorEpoch }, []);
  });

/** Signs targets again as they stand, with their keys or by a request. */
export const renewTargets = async (options: CeremonyOptions): Promise<CeremonyResult> =>
  await withCeremony(options, async ({ name, publication, state }) => {
    const { targets } = rawSigned<MetadataOf['targets']>(state.targetsBytes);
    return { settlement: await settleTargets(publication, state, name, targets), newKeyFiles: [], retired: [] };
  });
