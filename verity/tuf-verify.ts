// The checks of the TUF client workflow on one file at a time, pure: bytes and what is trusted go in, the new metadata
// comes out or an OtadError is thrown. Nothing here fetches or stores. Clause numbers are those of the TUF specification
// 1.0.34, and stand beside the check that keeps them.

import { OtadError } from '../agent/core/errors.ts';
import { matchDigests } from './listed-digests.ts';
import { checkSignatures, createSignerCheck, type Delegator } from './role-signatures.ts';
import { agentSchemes } from './signature-schemes.ts';
import {
  type AnyMetadata,
  type MetadataOf,
  type MetaFile,
  ownMember,
  parseMetadata,
  type RootMetadata,
  type SnapshotMetadata,
  type TargetsMetadata,
  type TimestampMetadata,
  timeOf,
} from './tuf-metadata.ts';

/** A parsed file together with the bytes that were served. */
export interface Trusted<T extends AnyMetadata> {
  readonly signed: T;
  readonly bytes: Uint8Array;
}

/** Expiry must lie after the update's fixed start (5.1), not at it. */
export const checkExpiry = (signed: AnyMetadata, nowS: number, name: string): void => {
  if (timeOf(signed.expires) <= nowS) {
    throw new OtadError('METADATA_EXPIRED', { role: name, version: signed.version, expires: signed.expires });
  }
};

const checkVersion = (actual: number, wanted: number, name: string): void => {
  if (actual !== wanted) {
    throw new OtadError('METADATA_MISMATCH', { role: name, reason: 'version', actual, wanted });
  }
};

/** Length and every digest that the parent lists. Digests without one we know are refused, not passed over. */
const checkListing = (bytes: Uint8Array, listed: MetaFile, name: string): void => {
  if (listed.length !== undefined && listed.length !== bytes.length) {
    const wanted = listed.length;
    throw new OtadError('METADATA_MISMATCH', { role: name, reason: 'length', actual: bytes.length, wanted });
  }
  const match = listed.hashes === undefined ? 'same' : matchDigests(bytes, listed.hashes);
  if (match !== 'same') {
    throw new OtadError('METADATA_MISMATCH', {
      role: name,
      reason: match === 'unknown' ? 'no known digest' : 'digest',
    });
  }
};

/** True when these stored bytes are still the file that the parent names. */
export const isListed = (stored: Trusted<AnyMetadata>, listed: MetaFile): boolean => {
  try {
    checkListing(stored.bytes, listed, stored.signed._type);
    return stored.signed.version === listed.version;
  } catch {
    return false;
  }
};

const delegatorOf = (root: RootMetadata, role: keyof RootMetadata['roles']): Delegator => ({
  keys: root.keys,
  role: root.roles[role],
});

/** 5.2: the root that the image carries. Its expiry does not matter yet; that it signs itself shows that it is whole. */
export const verifyInitialRoot = (bytes: Uint8Array, schemes = agentSchemes): Trusted<RootMetadata> => {
  const file = parseMetadata('root', bytes);
  checkSignatures(createSignerCheck(file, schemes), delegatorOf(file.signed, 'root'), 'root');
  return { signed: file.signed, bytes };
};

/** 5.3.4 and 5.3.5 on the root after `trusted`. No look at its expiry: it may be one of many on the way (5.3.6). */
export const verifyNextRoot = (
  trusted: RootMetadata,
  bytes: Uint8Array,
  schemes = agentSchemes,
): Trusted<RootMetadata> => {
  const file = parseMetadata('root', bytes);
  const signerOf = createSignerCheck(file, schemes);
  // 5.3.4 (1): a threshold of the keys of version N.
  checkSignatures(signerOf, delegatorOf(trusted, 'root'), 'root');
  // 5.3.4 (2): a threshold of its own keys.
  checkSignatures(signerOf, delegatorOf(file.signed, 'root'), 'root');
  // 5.3.5: precisely N+1.
  const { version } = file.signed;
  if (version <= trusted.version) {
    throw new OtadError('METADATA_ROLLBACK', { role: 'root', offered: version, trusted: trusted.version });
  }
  checkVersion(version, trusted.version + 1, 'root');
  return { signed: file.signed, bytes };
};

/** 5.3.11: a key that was taken from the timestamp or snapshot role. A key that was only added rotates nothing. */
export const isRotated = (before: RootMetadata, after: RootMetadata): boolean =>
  (['timestamp', 'snapshot'] as const).some((role) =>
    before.roles[role].keyids.some((keyId) => !after.roles[role].keyids.includes(keyId)),
  );

/**
 * A timestamp or snapshot from our own storage: signed by today's keys (5.4.2, 5.5.3) or of no use. Expiry and listing are
 * checked where it is used: for 5.4.3 and 5.5.5 an expired one is as good as any.
 */
export const verifyStored = <R extends 'timestamp' | 'snapshot'>(
  kind: R,
  root: RootMetadata,
  bytes: Uint8Array,
  schemes = agentSchemes,
): Trusted<MetadataOf[R]> => {
  const file = parseMetadata(kind, bytes);
  checkSignatures(createSignerCheck(file, schemes), delegatorOf(root, kind), kind);
  return { signed: file.signed, bytes };
};

/**
 * 5.4.2 to 5.4.4. Gives `trusted` back when the version is the same one: the specification ends the update there without an
 * error; we go on with what is trusted, so that an update that broke off after its timestamp is finished.
 */
export const verifyTimestamp = (
  root: RootMetadata,
  trusted: Trusted<TimestampMetadata> | null,
  bytes: Uint8Array,
  nowS: number,
  schemes = agentSchemes,
): Trusted<TimestampMetadata> => {
  const file = parseMetadata('timestamp', bytes);
  // 5.4.2.
  checkSignatures(createSignerCheck(file, schemes), delegatorOf(root, 'timestamp'), 'timestamp');
  const offered = file.signed;
  if (trusted !== null) {
    // 5.4.3.1: no lower version; an equal one is discarded.
    if (offered.version < trusted.signed.version) {
      const details = { role: 'timestamp', offered: offered.version, trusted: trusted.signed.version };
      throw new OtadError('METADATA_ROLLBACK', details);
    }
    if (offered.version === trusted.signed.version) {
      checkExpiry(trusted.signed, nowS, 'timestamp');
      return trusted;
    }
    // 5.4.3.2: nor a lower version of the snapshot.
    const before = trusted.signed.meta['snapshot.json'].version;
    const after = offered.meta['snapshot.json'].version;
    if (after < before) {
      throw new OtadError('METADATA_ROLLBACK', { role: 'snapshot', offered: after, trusted: before });
    }
  }
  // 5.4.4.
  checkExpiry(offered, nowS, 'timestamp');
  return { signed: offered, bytes };
};

/** 5.5.5: no version falls, and no file that was listed disappears. */
const checkSnapshotRollback = (trusted: SnapshotMetadata, offered: SnapshotMetadata): void => {
  for (const [name, before] of Object.entries(trusted.meta)) {
    const after = ownMember(offered.meta, name);
    if (after === undefined || after.version < before.version) {
      const details = { role: name, offered: after?.version ?? null, trusted: before.version };
      throw new OtadError('METADATA_ROLLBACK', details);
    }
  }
};

/** 5.5.2 to 5.5.6. */
export const verifySnapshot = (
  root: RootMetadata,
  timestamp: TimestampMetadata,
  trusted: Trusted<SnapshotMetadata> | null,
  bytes: Uint8Array,
  nowS: number,
  schemes = agentSchemes,
): Trusted<SnapshotMetadata> => {
  const listed = timestamp.meta['snapshot.json'];
  // 5.5.2, before anything is parsed.
  checkListing(bytes, listed, 'snapshot');
  const file = parseMetadata('snapshot', bytes);
  // 5.5.3.
  checkSignatures(createSignerCheck(file, schemes), delegatorOf(root, 'snapshot'), 'snapshot');
  // 5.5.4.
  checkVersion(file.signed.version, listed.version, 'snapshot');
  // 5.5.5.
  if (trusted !== null) {
    checkSnapshotRollback(trusted.signed, file.signed);
  }
  // 5.5.6.
  checkExpiry(file.signed, nowS, 'snapshot');
  return { signed: file.signed, bytes };
};

/** What the snapshot says of a targets role. A role that it does not list cannot be validated (5.6.2, 5.6.4). */
export const listingOf = (snapshot: SnapshotMetadata, role: string): MetaFile => {
  const listed = ownMember(snapshot.meta, `${role}.json`);
  if (listed === undefined) {
    throw new OtadError('METADATA_MISMATCH', { role, reason: 'the snapshot does not list it' });
  }
  return listed;
};

/** 5.6.2 to 5.6.5, for the top-level targets role and for a delegated one, each by its own delegator. */
export const verifyTargets = (
  delegator: Delegator,
  snapshot: SnapshotMetadata,
  role: string,
  bytes: Uint8Array,
  nowS: number,
  schemes = agentSchemes,
): Trusted<TargetsMetadata> => {
  const listed = listingOf(snapshot, role);
  // 5.6.2, before anything is parsed.
  checkListing(bytes, listed, role);
  const file = parseMetadata('targets', bytes, role);
  // 5.6.3.
  checkSignatures(createSignerCheck(file, schemes), delegator, role);
  // 5.6.4.
  checkVersion(file.signed.version, listed.version, role);
  // 5.6.5.
  checkExpiry(file.signed, nowS, role);
  return { signed: file.signed, bytes };
};

/** The delegator of the top-level targets role. */
export const targetsDelegator = (root: RootMetadata): Delegator => delegatorOf(root, 'targets');
