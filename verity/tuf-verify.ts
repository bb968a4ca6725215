// The checks of the TUF client workflow on one file at a time, pure: bytes and what is trusted go in, the new metadata
// comes out or an OtadError is thrown. Nothing here fetches or stores. Clause numbers are those of the TUF specification.

import { createHash } from 'node:crypto';
import { OtadError } from '../agent/core/errors.ts';
import { publicKeyBytes, signatureBytes, verifyEd25519 } from './ed25519.ts';
import {
  type AnyMetadata,
  type MetadataFile,
  type MetadataOf,
  type MetaFile,
  ownMember,
  parseMetadata,
  type RootMetadata,
  type SnapshotMetadata,
  type TargetsMetadata,
  type TimestampMetadata,
  type TufKey,
  type TufKeys,
  type TufRole,
  timeOf,
} from './tuf-metadata.ts';

/** A parsed file together with the bytes that were served. */
export interface Trusted<T extends AnyMetadata> {
  readonly signed: T;
  readonly bytes: Uint8Array;
}

/** Who may sign for a role: the role as its delegator describes it, and the delegator's keys. */
export interface Delegator {
  readonly keys: TufKeys;
  readonly role: TufRole;
}

const decodeHex = (hex: string, lengthBytes: number): Uint8Array | null =>
  hex.length === lengthBytes * 2 && /^[0-9a-fA-F]*$/.test(hex) ? new Uint8Array(Buffer.from(hex, 'hex')) : null;

const ed25519Material = (key: TufKey): Uint8Array | null =>
  key.keytype === 'ed25519' && key.scheme === 'ed25519' ? decodeHex(key.keyval.public, publicKeyBytes) : null;

/** Says of each key id whether its signature on the file holds; each is computed once, however many roles ask. */
type SignatureCheck = (keyId: string, material: Uint8Array) => boolean;

const createSignatureCheck = (file: MetadataFile<AnyMetadata>): SignatureCheck => {
  const verdicts = new Map<string, boolean>();
  return (keyId, material) => {
    const known = verdicts.get(keyId);
    if (known !== undefined) {
      return known;
    }
    const sig = file.signatures.find((signature) => signature.keyid === keyId)?.sig;
    const signature = sig === undefined ? null : decodeHex(sig, signatureBytes);
    const verdict = signature !== null && verifyEd25519(file.signedBytes, signature, material);
    verdicts.set(keyId, verdict);
    return verdict;
  };
};

/**
 * The signature check of every role (5.3.4, 5.4.2, 5.5.3, 5.6.3). What counts is distinct key material: the same key under
 * two ids, a key id listed twice, or a signature given twice adds nothing. Keys of other kinds are passed over.
 */
const checkSignatures = (isSignedBy: SignatureCheck, { keys, role }: Delegator, name: string): void => {
  const signers = new Set<string>();
  for (const keyId of new Set(role.keyids)) {
    const key = ownMember(keys, keyId);
    const material = key === undefined ? null : ed25519Material(key);
    // A key id is the digest of its key (checked when the file was parsed), so a verdict under it holds in every role.
    if (material !== null && isSignedBy(keyId, material)) {
      signers.add(Buffer.from(material).toString('hex'));
    }
    if (signers.size >= role.threshold) {
      return;
    }
  }
  throw new OtadError('METADATA_SIGNATURE_INVALID', { role: name, valid: signers.size, threshold: role.threshold });
};

/** Expiry must lie after the update's fixed start (5.3.10, 5.4.4, 5.5.6, 5.6.5). */
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

const knownDigests = ['sha256', 'sha512'] as const;

/** Length and every digest that the parent lists (5.5.2, 5.6.2). Digests without one we know are refused, not passed over. */
const checkListing = (bytes: Uint8Array, listed: MetaFile, name: string): void => {
  if (listed.length !== undefined && listed.length !== bytes.length) {
    const wanted = listed.length;
    throw new OtadError('METADATA_MISMATCH', { role: name, reason: 'length', actual: bytes.length, wanted });
  }
  if (listed.hashes === undefined) {
    return;
  }
  const known = knownDigests.filter((algorithm) => Object.hasOwn(listed.hashes ?? {}, algorithm));
  const isSame = known.every(
    (algorithm) => createHash(algorithm).update(bytes).digest('hex') === listed.hashes?.[algorithm],
  );
  if (known.length === 0 || !isSame) {
    throw new OtadError('METADATA_MISMATCH', { role: name, reason: known.length === 0 ? 'no known digest' : 'digest' });
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
export const verifyInitialRoot = (bytes: Uint8Array): Trusted<RootMetadata> => {
  const file = parseMetadata('root', bytes);
  checkSignatures(createSignatureCheck(file), delegatorOf(file.signed, 'root'), 'root');
  return { signed: file.signed, bytes };
};

/** 5.3.4 and 5.3.5: version N+1, signed as root N wants and as it wants itself. */
export const verifyNextRoot = (trusted: RootMetadata, bytes: Uint8Array): Trusted<RootMetadata> => {
  const file = parseMetadata('root', bytes);
  const isSignedBy = createSignatureCheck(file);
  checkSignatures(isSignedBy, delegatorOf(trusted, 'root'), 'root');
  checkSignatures(isSignedBy, delegatorOf(file.signed, 'root'), 'root');
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

/** A timestamp or snapshot from our own storage: signed by today's keys or of no use. Expiry and listing are checked where it is used. */
export const verifyStored = <R extends 'timestamp' | 'snapshot'>(
  kind: R,
  root: RootMetadata,
  bytes: Uint8Array,
): Trusted<MetadataOf[R]> => {
  const file = parseMetadata(kind, bytes);
  checkSignatures(createSignatureCheck(file), delegatorOf(root, kind), kind);
  return { signed: file.signed, bytes };
};

/** 5.4.2 to 5.4.4. Gives `trusted` back when the version is the same one (5.4.3.1: normal, and no error). */
export const verifyTimestamp = (
  root: RootMetadata,
  trusted: Trusted<TimestampMetadata> | null,
  bytes: Uint8Array,
  nowS: number,
): Trusted<TimestampMetadata> => {
  const file = parseMetadata('timestamp', bytes);
  checkSignatures(createSignatureCheck(file), delegatorOf(root, 'timestamp'), 'timestamp');
  const offered = file.signed;
  if (trusted !== null) {
    if (offered.version < trusted.signed.version) {
      const details = { role: 'timestamp', offered: offered.version, trusted: trusted.signed.version };
      throw new OtadError('METADATA_ROLLBACK', details);
    }
    if (offered.version === trusted.signed.version) {
      checkExpiry(trusted.signed, nowS, 'timestamp');
      return trusted;
    }
    const before = trusted.signed.meta['snapshot.json'].version;
    const after = offered.meta['snapshot.json'].version;
    if (after < before) {
      throw new OtadError('METADATA_ROLLBACK', { role: 'snapshot', offered: after, trusted: before });
    }
  }
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
): Trusted<SnapshotMetadata> => {
  const listed = timestamp.meta['snapshot.json'];
  checkListing(bytes, listed, 'snapshot');
  const file = parseMetadata('snapshot', bytes);
  checkSignatures(createSignatureCheck(file), delegatorOf(root, 'snapshot'), 'snapshot');
  checkVersion(file.signed.version, listed.version, 'snapshot');
  if (trusted !== null) {
    checkSnapshotRollback(trusted.signed, file.signed);
  }
  checkExpiry(file.signed, nowS, 'snapshot');
  return { signed: file.signed, bytes };
};

/** What the snapshot says of a targets role. A role that it does not list cannot be validated. */
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
): Trusted<TargetsMetadata> => {
  const listed = listingOf(snapshot, role);
  checkListing(bytes, listed, role);
  const file = parseMetadata('targets', bytes, role);
  checkSignatures(createSignatureCheck(file), delegator, role);
  checkVersion(file.signed.version, listed.version, role);
  checkExpiry(file.signed, nowS, role);
  return { signed: file.signed, bytes };
};

/** The delegator of the top-level targets role. */
export const targetsDelegator = (root: RootMetadata): Delegator => delegatorOf(root, 'targets');

/** Consistent snapshots: `<version>.<role>.json` below `metadata/`. */
export const versionedPath = (role: string, version: number): string =>
  `metadata/${version}.${encodeURIComponent(role)}.json`;
