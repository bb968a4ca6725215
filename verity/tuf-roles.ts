// How each role is brought up to date (TUF 5.3 to 5.6): which file to fetch, which check it meets, when it is stored. A file is
// stored and believed only after every check on it has passed; a refused one leaves everything as it was.

import { OtadError } from '../agent/core/errors.ts';
import { checkCap, fetchRequired, type MetadataFetcher, metadataLimits } from './metadata-fetcher.ts';
import type { Delegator } from './role-signatures.ts';
import type { SignatureScheme } from './signature-schemes.ts';
import { storeRoot } from './trusted-root.ts';
import type { TrustedFiles } from './trusted-store.ts';
import {
  type RootMetadata,
  roleFileName,
  type SnapshotMetadata,
  type TargetsMetadata,
  type TimestampMetadata,
} from './tuf-metadata.ts';
import {
  checkExpiry,
  isListed,
  listingOf,
  type Trusted,
  targetsDelegator,
  verifyNextRoot,
  verifySnapshot,
  verifyStored,
  verifyTargets,
  verifyTimestamp,
} from './tuf-verify.ts';

/** What one refresh works with. */
export interface Refresh {
  readonly fetcher: MetadataFetcher;
  readonly files: TrustedFiles;
  /** What signatures are verified with. */
  readonly schemes: readonly SignatureScheme[];
  /** 5.1: fixed for the whole refresh. */
  readonly nowS: number;
  readonly signal: AbortSignal;
}

/** Accepted roles as they are held in memory; null: not loaded yet, or void. */
export interface Roles {
  root: Trusted<RootMetadata>;
  timestamp: Trusted<TimestampMetadata> | null;
  snapshot: Trusted<SnapshotMetadata> | null;
  targets: Trusted<TargetsMetadata> | null;
}

/**
 * Where a role's file lies: `<version>.<role>.json` with consistent snapshots (5.5.1, 5.6.1), `<role>.json` without. Of the
 * root there is always every version (5.3.3).
 */
const metadataPath = (role: string, version: number, isConsistent: boolean): string =>
  `metadata/${isConsistent ? `${version}.` : ''}${encodeURIComponent(role)}.json`;

/** The value, or null when the stored bytes are absent, damaged, outdated or no longer signed by today's keys. */
const orAbsent = async <T>(files: TrustedFiles, name: string, verify: (bytes: Uint8Array) => T): Promise<T | null> => {
  const bytes = await files.read(name);
  if (bytes === null) {
    return null;
  }
  try {
    return verify(bytes);
  } catch (error) {
    if (error instanceof OtadError && error.class === 'source') {
      return null;
    }
    throw error;
  }
};

/** 5.3: one version at a time, each signed as the one before wants and as it wants itself. */
export const updateRoot = async ({ fetcher, files, schemes, nowS, signal }: Refresh, roles: Roles): Promise<void> => {
  // 5.3.3 (Y) and 5.3.9: at most so many in one update; the next update goes on from there.
  for (let rotations = 0; rotations < metadataLimits.rootRotationsMax; rotations += 1) {
    // 5.3.2 and 5.3.3: exactly version N+1, at most W bytes.
    const path = metadataPath('root', roles.root.signed.version + 1, true);
    const bytes = await fetcher.fetch(path, metadataLimits.rootBytesMax, signal);
    // 5.3.3: no further version on the server ends the loop.
    if (bytes === null) {
      break;
    }
    checkCap(bytes, path, metadataLimits.rootBytesMax);
    // 5.3.4 to 5.3.6.
    const next = verifyNextRoot(roles.root.signed, bytes, schemes);
    // 5.3.8, and 5.3.11 on the disk.
    await storeRoot(files, roles.root.signed, next);
    // 5.3.7.
    roles.root = next;
    // 5.3.11 in memory; what is still good is taken from storage again, under the new keys and thresholds.
    roles.timestamp = null;
    roles.snapshot = null;
    roles.targets = null;
  }
  // 5.3.10: the last one only.
  checkExpiry(roles.root.signed, nowS, 'root');
};

/** 5.4, on the bytes that the poll has brought. */
export const updateTimestamp = async (
  { files, schemes, nowS }: Refresh,
  roles: Roles,
  bytes: Uint8Array,
): Promise<TimestampMetadata> => {
  const root = roles.root.signed;
  const verify = (stored: Uint8Array) => verifyStored('timestamp', root, stored, schemes);
  roles.timestamp ??= await orAbsent(files, 'timestamp.json', verify);
  // 5.4.2 to 5.4.4.
  const timestamp = verifyTimestamp(root, roles.timestamp, bytes, nowS, schemes);
  if (timestamp !== roles.timestamp) {
    // 5.4.5.
    await files.write('timestamp.json', timestamp.bytes);
    roles.timestamp = timestamp;
  }
  return timestamp.signed;
};

/** 5.5. A stored snapshot that the timestamp still names is as good as a fetched one, and saves the request. */
export const updateSnapshot = async (
  { fetcher, files, schemes, nowS, signal }: Refresh,
  roles: Roles,
  timestamp: TimestampMetadata,
): Promise<SnapshotMetadata> => {
  const root = roles.root.signed;
  const listed = timestamp.meta['snapshot.json'];
  const verify = (stored: Uint8Array) => verifyStored('snapshot', root, stored, schemes);
  roles.snapshot ??= await orAbsent(files, 'snapshot.json', verify);
  const trusted = roles.snapshot;
  if (trusted !== null && isListed(trusted, listed)) {
    checkExpiry(trusted.signed, nowS, 'snapshot');
    return trusted.signed;
  }
  // 5.5.1: at most the signed length, and never more than Y.
  const maxBytes = Math.min(listed.length ?? metadataLimits.snapshotBytesMax, metadataLimits.snapshotBytesMax);
  const path = metadataPath('snapshot', listed.version, root.consistent_snapshot);
  const bytes = await fetchRequired(fetcher, path, maxBytes, signal);
  // 5.5.2 to 5.5.6.
  const snapshot = verifySnapshot(root, timestamp, trusted, bytes, nowS, schemes);
  // 5.5.7.
  await files.write('snapshot.json', bytes);
  roles.snapshot = snapshot;
  return snapshot.signed;
};

/** What a targets role is looked up under: the rest of one consistent whole. */
export interface TargetsContext {
  readonly root: RootMetadata;
  readonly snapshot: SnapshotMetadata;
}

/**
 * 5.6.1 to 5.6.6 for one targets role: from storage when it is still the one that the snapshot names. Storage knows it by its
 * name alone, and who vouched for it then may not be who delegates to it now: every check is made again, the signatures
 * against the keys of this delegator.
 */
export const loadTargets = async (
  { fetcher, files, schemes, nowS, signal }: Refresh,
  { root, snapshot }: TargetsContext,
  delegator: Delegator,
  role: string,
): Promise<Trusted<TargetsMetadata>> => {
  const name = roleFileName(role);
  const verify = (bytes: Uint8Array) => verifyTargets(delegator, snapshot, role, bytes, nowS, schemes);
  const stored = await orAbsent(files, name, verify);
  if (stored !== null) {
    return stored;
  }
  const listed = listingOf(snapshot, role);
  // 5.6.1: at most the signed length, and never more than Z.
  const maxBytes = Math.min(listed.length ?? metadataLimits.targetsBytesMax, metadataLimits.targetsBytesMax);
  const path = metadataPath(role, listed.version, root.consistent_snapshot);
  const bytes = await fetchRequired(fetcher, path, maxBytes, signal);
  // 5.6.2 to 5.6.5.
  const targets = verify(bytes);
  // 5.6.6.
  await files.write(name, bytes);
  return targets;
};

/** 5.6 for the top-level targets role. */
export const updateTargets = async (
  refresh: Refresh,
  roles: Roles,
  snapshot: SnapshotMetadata,
): Promise<TargetsMetadata> => {
  const held = roles.targets;
  if (held !== null && isListed(held, listingOf(snapshot, 'targets'))) {
    checkExpiry(held.signed, refresh.nowS, 'targets');
    return held.signed;
  }
  const root = roles.root.signed;
  roles.targets = await loadTargets(refresh, { root, snapshot }, targetsDelegator(root), 'targets');
  return roles.targets.signed;
};
