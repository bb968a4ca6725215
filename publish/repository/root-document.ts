// Root metadata as data: which keys serve which role, what they are called, and what the next version looks like when that
// changes. Pure. The names of keys are signed with them, so that an offline machine need not believe what it is told.

import { OtadError } from '../../agent/core/errors.ts';
import { floorEpochMember, type RootMetadata, type TufKey, type TufRole } from '../../verity/tuf-metadata.ts';
import { keyNamePattern, type PublicKey, type RoleName, roleNames } from '../keys/signing-key.ts';
import { signingKeyId, specVersion, tufKeyOf } from './metadata-signing.ts';

/** Signed member of root.json: name of each key by its id. Devices do not read it. */
export const keyNamesMember = 'x-otad-key-names';

/** The first digits of a key id are what people compare. */
export const keyIdDigits = 8;
export const shortId = (keyId: string): string => keyId.slice(0, keyIdDigits);

export type KeyNames = ReadonlyMap<string, string>;

/** Keys without a (sound) name are called by the start of their id. */
export const keyNamesOf = (root: RootMetadata): KeyNames => {
  const raw: unknown = (root as Readonly<Record<string, unknown>>)[keyNamesMember];
  const named = typeof raw === 'object' && raw !== null ? (raw as Readonly<Record<string, unknown>>) : {};
  return new Map(
    Object.keys(root.keys).map((keyId) => {
      const name = Object.hasOwn(named, keyId) ? named[keyId] : undefined;
      return [keyId, typeof name === 'string' && keyNamePattern.test(name) ? name : shortId(keyId)];
    }),
  );
};

export const nameOfKey = (root: RootMetadata, keyId: string): string => keyNamesOf(root).get(keyId) ?? shortId(keyId);

/** Keys and threshold of a role as they are to be. */
export interface RolePlan {
  readonly keyIds: readonly string[];
  readonly threshold: number;
}
export type RolePlans = Readonly<Record<RoleName, RolePlan>>;

export const rolePlansOf = ({ roles }: RootMetadata): RolePlans => {
  const planOf = ({ keyids, threshold }: TufRole): RolePlan => ({ keyIds: keyids, threshold });
  return {
    root: planOf(roles.root),
    targets: planOf(roles.targets),
    snapshot: planOf(roles.snapshot),
    timestamp: planOf(roles.timestamp),
  };
};

const tufRoleOf = ({ keyIds, threshold }: RolePlan): TufRole => ({ keyids: [...keyIds], threshold });

/** A role that cannot be signed would lock every device out for ever. */
export const checkPlans = (plans: RolePlans): void => {
  for (const role of roleNames) {
    const { keyIds, threshold } = plans[role];
    if (threshold < 1 || keyIds.length < threshold) {
      const problem = `${role} would need ${threshold} signatures of ${keyIds.length} keys`;
      throw new OtadError('ROTATION_REFUSED', { problem });
    }
  }
};

export interface RootChange {
  readonly plans: RolePlans;
  /** Keys that the root before does not have. */
  readonly newKeys: readonly PublicKey[];
  readonly expires: string;
  /** Undefined keeps the one that stands. */
  readonly floorEpoch?: number | undefined;
}

/** The version after `current`. Keys that serve no role any more are gone from it. */
export const nextRoot = (current: RootMetadata, change: RootChange): RootMetadata => {
  checkPlans(change.plans);
  const used = new Set(roleNames.flatMap((role) => change.plans[role].keyIds));
  const known: readonly (readonly [string, TufKey, string])[] = [
    ...Object.entries(current.keys).map(([id, key]) => [id, key, nameOfKey(current, id)] as const),
    ...change.newKeys.map((key) => [signingKeyId(key), tufKeyOf(key), key.name] as const),
  ];
  const kept = known.filter(([keyId]) => used.has(keyId));
  const named = { [keyNamesMember]: Object.fromEntries(kept.map(([keyId, , name]) => [keyId, name])) };
  return {
    ...current,
    ...named,
    version: current.version + 1,
    expires: change.expires,
    keys: Object.fromEntries(kept.map(([keyId, key]) => [keyId, key])),
    roles: {
      root: tufRoleOf(change.plans.root),
      timestamp: tufRoleOf(change.plans.timestamp),
      snapshot: tufRoleOf(change.plans.snapshot),
      targets: tufRoleOf(change.plans.targets),
    },
    ...(change.floorEpoch === undefined ? {} : { [floorEpochMember]: change.floorEpoch }),
  };
};

/** The first root: every role's keys and thresholds. */
export const firstRoot = (
  keys: Readonly<Record<RoleName, readonly PublicKey[]>>,
  thresholds: Readonly<Record<RoleName, number>>,
  expires: string,
): RootMetadata => {
  const planOf = (role: RoleName): RolePlan => ({ keyIds: keys[role].map(signingKeyId), threshold: thresholds[role] });
  const none: TufRole = { keyids: [], threshold: 1 };
  const empty: RootMetadata = {
    _type: 'root',
    spec_version: specVersion,
    version: 0,
    expires,
    consistent_snapshot: true,
    keys: {},
    roles: { root: none, timestamp: none, snapshot: none, targets: none },
  };
  const plans = {
    root: planOf('root'),
    targets: planOf('targets'),
    snapshot: planOf('snapshot'),
    timestamp: planOf('timestamp'),
  };
  return nextRoot(empty, { plans, newKeys: roleNames.flatMap((role) => keys[role]), expires });
};

/**
 * The roots that lead from `current` to the wanted change. One, when every role that must be signed anew can be signed so
 * that both roots accept it: those files go out first. Otherwise a bridge comes in between, which takes signatures of the
 * keys before and of those after: old files stand under it, new ones are published under it, and the second root ends it.
 * Either way devices find an acceptable repository after every single write.
 */
export const rootsFor = (
  current: RootMetadata,
  change: RootChange,
  canSignBoth: (final: RootMetadata) => boolean,
): readonly RootMetadata[] => {
  const final = nextRoot(current, change);
  if (canSignBoth(final)) return [final];
  const before = rolePlansOf(current);
  const joined = (role: RoleName): RolePlan => ({
    keyIds: [...new Set([...before[role].keyIds, ...change.plans[role].keyIds])],
    threshold: Math.min(before[role].threshold, change.plans[role].threshold),
  });
  const plans = {
    root: change.plans.root,
    targets: joined('targets'),
    snapshot: joined('snapshot'),
    timestamp: joined('timestamp'),
  };
  const bridge = nextRoot(current, { ...change, plans });
  return [bridge, { ...final, version: bridge.version + 1 }];
};
