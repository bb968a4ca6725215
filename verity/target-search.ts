// 5.6.7: which targets role speaks for a target path. Depth first in the order of the delegations, each role verified by the
// very role that delegates to it, and bounded. Paths are names in signed metadata; they never become paths on this device.

import { createHash } from 'node:crypto';
import { OtadError } from '../agent/core/errors.ts';
import { type DelegatedRole, ownMember, type TargetFile, type TargetsMetadata } from './tuf-metadata.ts';
import type { Delegator } from './tuf-verify.ts';

/** A target as its role describes it. */
export interface TargetInfo {
  readonly path: string;
  readonly lengthBytes: number;
  readonly sha256Hex: string;
  /** Where it lies below the base URL: consistent snapshots put the digest before the file name. */
  readonly urlPath: string;
}

/** Roles looked at for one target, the top-level one included. */
export const rolesVisitedMax = 32;

/** `*` and `?` within one segment; linear in pattern times name, since the pattern is not ours. */
const isSegmentMatch = (pattern: string, name: string): boolean => {
  let patternAt = 0;
  let nameAt = 0;
  let starAt = -1;
  let retryAt = 0;
  while (nameAt < name.length) {
    const wanted = pattern[patternAt];
    if (wanted === '*') {
      starAt = patternAt;
      retryAt = nameAt;
      patternAt += 1;
    } else if (wanted !== undefined && (wanted === '?' || wanted === name[nameAt])) {
      patternAt += 1;
      nameAt += 1;
    } else if (starAt >= 0) {
      retryAt += 1;
      nameAt = retryAt;
      patternAt = starAt + 1;
    } else {
      return false;
    }
  }
  return /^\**$/.test(pattern.slice(patternAt));
};

/** Shell-style match of a path; a wildcard never spans a separator (TUF 4.5). */
export const isPathMatch = (pattern: string, path: string): boolean => {
  const patterns = pattern.split('/');
  const names = path.split('/');
  return (
    patterns.length === names.length && patterns.every((segment, index) => isSegmentMatch(segment, names[index] ?? ''))
  );
};

const isDelegated = (role: DelegatedRole, path: string): boolean => {
  if (role.paths !== undefined) {
    return role.paths.some((pattern) => isPathMatch(pattern, path));
  }
  const digest = createHash('sha256').update(path).digest('hex');
  return role.path_hash_prefixes?.some((prefix) => digest.startsWith(prefix)) ?? false;
};

/** Where a target lies below the base URL (TUF 7.2: consistent snapshots), percent-encoded. */
export const targetUrlPath = (path: string, sha256Hex: string): string => {
  const segments = path.split('/');
  const name = `${sha256Hex}.${segments.pop()}`;
  return ['targets', ...[...segments, name].map(encodeURIComponent)].join('/');
};

const toTargetInfo = (path: string, file: TargetFile): TargetInfo => {
  const sha256Hex = ownMember(file.hashes, 'sha256');
  if (sha256Hex === undefined) {
    throw new OtadError('METADATA_MALFORMED', { target: path, reason: 'no SHA-256 digest is listed' });
  }
  // Such segments change meaning in a URL, encoded or not.
  if (path.split('/').some((segment) => /^\.{0,2}$/.test(segment))) {
    throw new OtadError('METADATA_MALFORMED', { target: path, reason: 'the path has an empty or dotted segment' });
  }
  return { path, lengthBytes: file.length, sha256Hex, urlPath: targetUrlPath(path, sha256Hex) };
};

type LoadRole = (delegator: Delegator, role: string) => Promise<TargetsMetadata>;

/** `cut`: a terminating delegation answered for the path, and nobody else may. */
type Outcome = TargetFile | 'cut' | 'none';

const searchRole = async (
  targets: TargetsMetadata,
  path: string,
  visited: Set<string>,
  load: LoadRole,
): Promise<Outcome> => {
  const own = ownMember(targets.targets, path);
  if (own !== undefined) {
    return own;
  }
  const delegations = targets.delegations;
  for (const role of delegations?.roles ?? []) {
    // 5.6.7.1: cycles are cut, and so is a search that grows too wide.
    if (delegations === undefined || visited.has(role.name) || !isDelegated(role, path)) {
      continue;
    }
    if (visited.size >= rolesVisitedMax) {
      return 'cut';
    }
    visited.add(role.name);
    const child = await load({ keys: delegations.keys, role }, role.name);
    const outcome = await searchRole(child, path, visited, load);
    if (outcome !== 'none') {
      return outcome;
    }
    // 5.6.7.2.1.
    if (role.terminating) {
      return 'cut';
    }
  }
  return 'none';
};

/**
 * Finds a target from the top-level targets role on. `load` gives a delegated role's metadata, verified by the delegator, and
 * throws when it cannot; that ends the search. Throws TARGET_UNKNOWN when no role that may speak for the path lists it.
 */
export const searchTarget = async (top: TargetsMetadata, path: string, load: LoadRole): Promise<TargetInfo> => {
  const outcome = await searchRole(top, path, new Set(['targets']), load);
  if (outcome === 'cut' || outcome === 'none') {
    throw new OtadError('TARGET_UNKNOWN', { path: path.slice(0, 256) });
  }
  return toTargetInfo(path, outcome);
};
