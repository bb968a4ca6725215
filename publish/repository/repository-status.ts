// What stands in a publisher's folder: versions, expiry, signers, waiting requests, and the release of each channel. Reads
// only, and only what verifies; expired metadata is shown rather than refused.

import type { Release } from '../../agent/core/types.ts';
import { type AnyMetadata, timeOf, topLevelRoles } from '../../verity/tuf-metadata.ts';
import { readKeyFiles } from '../keys/key-files.ts';
import type { RoleName } from '../keys/signing-key.ts';
import { documentPaths, readDocument } from '../releases/catalogue.ts';
import { staleness } from '../signing/application.ts';
import { type Missing, missingSignatures } from '../signing/completion.ts';
import { listRequests, signaturesIn } from '../signing/request-folder.ts';
import { dayS, warningS } from './expiry.ts';
import { signingKeyId } from './metadata-signing.ts';
import { loadPublished, type PublishedState } from './published-state.ts';
import { type Lifetimes, publisherPaths, readSettings } from './publisher-folder.ts';
import { nameOfKey } from './root-document.ts';

export interface KeyStatus {
  readonly keyId: string;
  readonly name: string;
  /** Its signature on the file that stands holds. */
  readonly hasSigned: boolean;
  /** File name of the private key, when it is in the folder now. */
  readonly fileHere: string | null;
}

export interface RoleStatus {
  readonly role: RoleName;
  readonly version: number;
  readonly expires: string;
  /** Negative when it has expired. */
  readonly daysLeft: number;
  readonly health: 'fine' | 'soon' | 'expired';
  readonly threshold: number;
  readonly keys: readonly KeyStatus[];
}

export interface RequestStatus {
  readonly folder: string;
  readonly createdAt: string;
  /** Why it cannot be applied any more; null while it can. */
  readonly stale: string | null;
  readonly missing: readonly Missing[];
}

export interface RepositoryStatus {
  readonly name: string;
  readonly folder: string;
  readonly roles: readonly RoleStatus[];
  readonly requests: readonly RequestStatus[];
  readonly releases: readonly Release[];
  /** File names of private keys in the folder that serve no role. */
  readonly idleKeys: readonly string[];
}

interface Viewpoint {
  readonly nowS: number;
  readonly lifetimesS: Lifetimes;
  /** Undefined: the default of each role. */
  readonly warnDays: number | undefined;
}

const roleStatus = (
  role: RoleName,
  state: PublishedState,
  keysHere: ReadonlyMap<string, string>,
  { nowS, lifetimesS, warnDays }: Viewpoint,
): RoleStatus => {
  const signed: AnyMetadata = state[role];
  const { keyids, threshold } = state.root.roles[role];
  const leftS = timeOf(signed.expires) - nowS;
  const soonS = warnDays === undefined ? warningS(role, lifetimesS) : warnDays * dayS;
  return {
    role,
    version: signed.version,
    expires: signed.expires,
    daysLeft: Math.floor(leftS / dayS),
    health: leftS <= 0 ? 'expired' : leftS < soonS ? 'soon' : 'fine',
    threshold,
    keys: keyids.map((keyId) => ({
      keyId,
      name: nameOfKey(state.root, keyId),
      hasSigned: state.signers[role].includes(keyId),
      fileHere: keysHere.get(keyId) ?? null,
    })),
  };
};

const requestStatus = async (requests: string, state: PublishedState): Promise<readonly RequestStatus[]> =>
  (await listRequests(requests)).map((content) => ({
    folder: content.folder,
    createdAt: content.request.createdAt,
    stale: staleness(content.request, state),
    missing: missingSignatures(content.request, signaturesIn(content)),
  }));

/** Throws what a device would when the metadata does not verify. */
export const readStatus = async (folder: string, nowMs: number, warnDays?: number): Promise<RepositoryStatus> => {
  const paths = publisherPaths(folder);
  const { name, lifetimesS } = await readSettings(paths);
  const state = await loadPublished(paths);
  const keys = await readKeyFiles(paths.keys);
  const keysHere = new Map(keys.map((key) => [signingKeyId(key), key.fileName]));
  const releases: Release[] = [];
  for (const path of documentPaths(state.targets)) {
    const release = await readDocument(paths.targets, state.targets, path);
    if (release !== null) releases.push(release);
  }
  const viewpoint = { nowS: nowMs / 1000, lifetimesS, warnDays };
  return {
    name,
    folder: paths.folder,
    roles: topLevelRoles.map((role) => roleStatus(role, state, keysHere, viewpoint)),
    requests: await requestStatus(paths.requests, state),
    releases,
    idleKeys: [...keysHere].flatMap(([keyId, file]) => (Object.hasOwn(state.root.keys, keyId) ? [] : [file])),
  };
};
