// What stands in a publisher's folder: versions, expiry, signers, and the release of each channel. Reads only, and only
// what verifies; expired metadata is shown rather than refused.

import type { Release } from '../../agent/core/types.ts';
import { type AnyMetadata, timeOf, topLevelRoles } from '../../verity/tuf-metadata.ts';
import { type RoleName, readKeyFiles } from '../keys/key-files.ts';
import { documentPaths, readDocument } from '../releases/catalogue.ts';
import { signingKeyId } from './metadata-signing.ts';
import { loadPublished, type PublishedState } from './published-state.ts';
import { publisherPaths, readSettings } from './publisher-folder.ts';

export interface RoleStatus {
  readonly role: RoleName;
  readonly version: number;
  readonly expires: string;
  /** Negative when it has expired. */
  readonly daysLeft: number;
  readonly threshold: number;
  readonly keyIds: readonly string[];
  /** Those of the role's keys that signed. */
  readonly signedBy: readonly string[];
  /** Private keys of the role that are in the folder now, by file name. */
  readonly keysHere: readonly string[];
}

export interface RepositoryStatus {
  readonly name: string;
  readonly folder: string;
  readonly roles: readonly RoleStatus[];
  readonly releases: readonly Release[];
}

const dayS = 86_400;

const roleStatus = (
  role: RoleName,
  state: PublishedState,
  keysHere: ReadonlyMap<string, string>,
  nowS: number,
): RoleStatus => {
  const signed: AnyMetadata = state[role];
  const { keyids, threshold } = state.root.roles[role];
  return {
    role,
    version: signed.version,
    expires: signed.expires,
    daysLeft: Math.floor((timeOf(signed.expires) - nowS) / dayS),
    threshold,
    keyIds: keyids,
    signedBy: state.signers[role].filter((keyid) => keyids.includes(keyid)),
    keysHere: keyids.flatMap((keyid) => keysHere.get(keyid) ?? []),
  };
};

/** Throws what a device would when the metadata does not verify. */
export const readStatus = async (folder: string, nowMs: number): Promise<RepositoryStatus> => {
  const paths = publisherPaths(folder);
  const { name } = await readSettings(paths);
  const state = await loadPublished(paths);
  const keys = await readKeyFiles(paths.keys);
  const keysHere = new Map(keys.map((key) => [signingKeyId(key), key.fileName]));
  const releases: Release[] = [];
  for (const path of documentPaths(state.targets)) {
    const release = await readDocument(paths.targets, state.targets, path);
    if (release !== null) releases.push(release);
  }
  const nowS = nowMs / 1000;
  const roles = topLevelRoles.map((role) => roleStatus(role, state, keysHere, nowS));
  return { name, folder: paths.folder, roles, releases };
};
