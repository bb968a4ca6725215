// Works out a change of keys: which keys are meant, what the roles look like afterwards, which new keys come in and what
// they are called. Pure. A key that is meant must be named so that only one can be meant.

import { OtadError } from '../../agent/core/errors.ts';
import type { RootMetadata } from '../../verity/tuf-metadata.ts';
import { keyNamePattern, type PublicKey, type RoleName, roleNames } from '../keys/signing-key.ts';
import { signingKeyId } from './metadata-signing.ts';
import { keyIdDigits, keyNamesOf, nameOfKey, type RolePlan, type RolePlans, rolePlansOf } from './root-document.ts';

const refused = (problem: string): OtadError => new OtadError('ROTATION_REFUSED', { problem });
const badRequest = (problem: string): OtadError => new OtadError('BAD_REQUEST', { problem });

export const rolesOfKey = (root: RootMetadata, keyId: string): readonly RoleName[] =>
  roleNames.filter((role) => root.roles[role].keyids.includes(keyId));

/** The key id that a name, or at least eight digits of an id, stands for. Throws BAD_REQUEST. */
export const findKey = (root: RootMetadata, word: string): string => {
  const names = keyNamesOf(root);
  const byName = [...names].filter(([, name]) => name === word).map(([keyId]) => keyId);
  const isId = new RegExp(`^[0-9a-f]{${keyIdDigits},64}$`).test(word);
  const found = byName.length > 0 ? byName : isId ? [...names.keys()].filter((keyId) => keyId.startsWith(word)) : [];
  const [only] = found;
  if (only !== undefined && found.length === 1) return only;
  const known = [...names]
    .map(([keyId, name]) => `${name} (${keyId.slice(0, keyIdDigits)})`)
    .sort()
    .join(', ');
  throw badRequest(
    found.length === 0
      ? `no key is called '${word}'; there are ${known}`
      : `'${word}' may be any of several keys: ${known}`,
  );
};

/** `alice` gives `alice-2`, `timestamp-1` gives `timestamp-2`: the first name of that kind that nobody has. */
export const nextName = (name: string, taken: ReadonlySet<string>): string => {
  const [, stem = name, number = '1'] = /^(.*?)(?:-(\d{1,4}))?$/.exec(name) ?? [];
  for (let next = Number(number) + 1; ; next += 1) {
    const candidate = `${stem.slice(0, 26)}-${next}`;
    if (!taken.has(candidate)) return candidate;
  }
};

export const checkNewNames = (root: RootMetadata, names: readonly string[]): void => {
  const known = new Set(keyNamesOf(root).values());
  for (const [index, name] of names.entries()) {
    if (!keyNamePattern.test(name))
      throw badRequest(`'${name}' is no name for a key: letters, digits, . _ -, at most 32`);
    if (known.has(name) || names.indexOf(name) !== index) {
      throw badRequest(`there is a key called '${name}' already; every key needs a name of its own`);
    }
  }
};

export interface Replacement {
  readonly role: RoleName;
  /** Null adds a key. */
  readonly oldKeyId: string | null;
}

export interface RotationWish {
  readonly roles: readonly RoleName[];
  /** Names or ids; none means the only key of each role. */
  readonly keys: readonly string[];
  /** Adds this many keys instead of replacing any; 0 replaces. */
  readonly added: number;
}

/** Which keys make way. Refuses to guess among several. */
export const replacementsFor = (root: RootMetadata, wish: RotationWish): readonly Replacement[] => {
  if (wish.added > 0) {
    const [role, ...more] = wish.roles;
    if (role === undefined || more.length > 0) throw badRequest('a key can be added to one role at a time');
    return Array.from({ length: wish.added }, () => ({ role, oldKeyId: null }));
  }
  const keyIds = wish.keys.map((word) => findKey(root, word));
  for (const [index, keyId] of keyIds.entries()) {
    if (!wish.roles.some((role) => root.roles[role].keyids.includes(keyId))) {
      const serves = rolesOfKey(root, keyId).join(' and ');
      throw badRequest(`'${wish.keys[index]}' does not serve ${wish.roles.join(' or ')} but ${serves}`);
    }
  }
  return wish.roles.flatMap((role) => {
    const { keyids } = root.roles[role];
    const meant = keyIds.length > 0 ? keyids.filter((keyId) => keyIds.includes(keyId)) : keyids;
    if (keyIds.length === 0 && keyids.length > 1) {
      const names = keyids.map((keyId) => nameOfKey(root, keyId)).join(', ');
      throw badRequest(`${role} has ${keyids.length} keys: ${names}; say which one makes way`);
    }
    if (meant.length === 0) throw badRequest(`none of the named keys serves ${role}`);
    return meant.map((oldKeyId) => ({ role, oldKeyId }));
  });
};

const withPlan = (plans: RolePlans, role: RoleName, plan: RolePlan): RolePlans => ({ ...plans, [role]: plan });

/** The roles once each replacement has its new key. */
export const plansAfterRotation = (
  root: RootMetadata,
  replacements: readonly Replacement[],
  newKeys: readonly PublicKey[],
  threshold: number | undefined,
): RolePlans => {
  let plans = rolePlansOf(root);
  for (const [index, { role, oldKeyId }] of replacements.entries()) {
    const key = newKeys[index];
    if (key === undefined) throw new OtadError('INTERNAL', { reason: 'a new key is missing' });
    const keyId = signingKeyId(key);
    const { keyIds, threshold: before } = plans[role];
    if (keyIds.includes(keyId)) throw refused(`${nameOfKey(root, keyId)} serves ${role} already`);
    const next = oldKeyId === null ? [...keyIds, keyId] : keyIds.map((known) => (known === oldKeyId ? keyId : known));
    plans = withPlan(plans, role, { keyIds: next, threshold: threshold ?? before });
  }
  return plans;
};

/** The roles without these keys. Refuses what could not be signed any more, and says the way out. */
export const plansAfterRevocation = (root: RootMetadata, keyIds: readonly string[]): RolePlans => {
  let plans = rolePlansOf(root);
  for (const role of roleNames) {
    const { keyIds: before, threshold } = plans[role];
    const left = before.filter((keyId) => !keyIds.includes(keyId));
    if (left.length < threshold) {
      const names = before.filter((keyId) => keyIds.includes(keyId)).map((keyId) => nameOfKey(root, keyId));
      throw refused(
        `${role} needs ${threshold} signatures and would have ${left.length} keys left; put a new key in the place: otapub rotate DIR ${role} ${names.join(' ')}`,
      );
    }
    plans = withPlan(plans, role, { keyIds: left, threshold });
  }
  return plans;
};
