// How each role is brought up to date (TUF 5.3 to 5.6): which file to fetch, which check it meets, when it is stored. A file is
// stored and believed only after every check on it has passed; a refused one leaves everything as it was.

import { OtadError } from '../agent/core/errors.ts';
import { checkCap, fetchRequired, type MetadataFetcher, metadataLimits } from './metadata-fetcher.ts';
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
  type Delegator,
  isListed,
  listingOf,
  type Trusted,
  targetsDelegator,
  verifyNextRoot,
  verifySnapshot,
  verifyStored,
  verifyTargets,
  verifyTimestamp,
  versionedPath,
} from './tuf-verify.ts';

/** What one refresh works with. */
export interface Refresh {
  readonly fetcher: MetadataFetcher;
  readonly files: TrustedFiles;
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
export const updateRoot = async ({ fetcher, files, nowS, signal }: Refresh, roles: Roles): Promise<void> => {
  for (let rotations = 0; rotations < metadataLimits.rootRotationsMax; rotations += 1) {
    const path = versionedPath('root', roles.root.signed.version + 1);
    const bytes = await fetcher.fetch(path, metadataLimits.rootBytesMax, signal);
    // 5.3.3: no further version on the server ends the loop.
    if (bytes === null) {
      break;
    }
    checkCap(bytes, path, metadataLimits.rootBytesMax);
    const next = verifyNextRoot(roles.root.signed, bytes);
    await storeRoot(files, roles.root.signed, next);
    roles.root = next;
    // 5.3.11 in memory; what is still good is taken from storage again, under the new keys and thresholds.
    roles.timestamp = null;
    roles.snapshot = null;
    roles.targets = null;
  }
  // 5.3.10.
  checkExpiry(roles.root.signed, nowS, 'root');
};

/** 5.4, on the bytes that the poll has brought. */
export const updateTimestamp = async (
  { files, nowS }: Refresh,
  roles: Roles,
  bytes: Uint8Array,
): Promise<TimestampMetadata> => {
  const root = roles.root.signed;
  roles.timestamp ??= await orAbsent(files, 'timestamp.json', (stored) => verifyStored('timestamp', root, stored));
  const timestamp = verifyTimestamp(root, roles.timestamp, bytes, nowS);
  if (timestamp !== roles.timestamp) {
    // 5.4.5.
    await files.write('timestamp.json', timestamp.bytes);
    roles.timestamp = timestamp;
  }
  return timestamp.signed;
};

/** 5.5. A stored snapshot that the timestamp still names is as good as a fetched one, and saves the request. */
export const updateSnapshot = async (
  { fetcher, files, nowS, signal }: Refresh,
  roles: Roles,
  timestamp: TimestampMetadata,
): Promise<SnapshotMetadata> => {
  const root = roles.root.signed;
  const listed = timestamp.meta['snapshot.json'];
  roles.snapshot ??= await orAbsent(files, 'snapshot.json', (stored) => verifyStored('snapshot', root, stored));
  const trusted = roles.snapshot;
  if (trusted !== null && isListed(trusted, listed)) {
    checkExpiry(trusted.signed, nowS, 'snapshot');
    return trusted.signed;
  }
  const maxBytes = Math.min(listed.length ?? metadataLimits.snapshotBytesMax, metadataLimits.snapshotBytesMax);
  const bytes = await fetchRequired(fetcher, versionedPath('snapshot', listed.version), maxBytes, signal);
  const snapshot = verifySnapshot(root, timestamp, trusted, bytes, nowS);
  // 5.5.7.
  await files.write('snapshot.json', bytes);
  roles.snapshot = snapshot;
  return snapshot.signed;
};

/** 5.6.1 to 5.6.6 for one targets role: from storage when it is still the one that the snapshot names. */
export const loadTargets = async (
  { fetcher, files, nowS, signal }: Refresh,
  delegator: Delegator,
  snapshot: SnapshotMetadata,
  role: string,
): Promise<Trusted<TargetsMetadata>> => {
  const name = roleFileName(role);
  const verify = (bytes: Uint8Array) => verifyTargets(delegator, snapshot, role, bytes, nowS);
  const stored = await orAbsent(files, name, verify);
  if (stored !== null) {
    return stored;
  }
  const listed = listingOf(snapshot, role);
  const maxBytes = Math.min(listed.length ?? metadataLimits.targetsBytesMax, metadataLimits.targetsBytesMax);
  const bytes = await fetchRequired(fetcher, versionedPath(role, listed.version), maxBytes, signal);
  const targets = verify(bytes);
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
  roles.targets = await loadTargets(refresh, targetsDelegator(roles.root.signed), snapshot, 'targets');
  return roles.targets.signed;
};
