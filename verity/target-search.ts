// TUF 5.6.7: which targets role speaks for a target path. Depth first in the order of the delegations, each role verified by
// the very role that delegates to it, and bounded. Paths are names in signed metadata; they never become paths on this device.

import { createHash } from 'node:crypto';
import { OtadError } from '../agent/core/errors.ts';
import { knownDigest, type ListedDigests, matchDigests } from './listed-digests.ts';
import type { Delegator } from './role-signatures.ts';
import { type DelegatedRole, ownMember, type TargetFile, type TargetsMetadata } from './tuf-metadata.ts';

/** A target as its role describes it. */
export interface TargetInfo {
  readonly path: string;
  readonly lengthBytes: number;
  /** All that are listed; at least one is known here. */
  readonly digests: ListedDigests;
  /** Null where the publisher lists another digest only. */
  readonly sha256Hex: string | null;
  /** Where it lies below the base URL. */
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

/** 4.5: exactly one of the two says which paths a delegation is about. */
const isDelegated = (role: DelegatedRole, path: string): boolean => {
  if (role.paths !== undefined) {
    return role.paths.some((pattern) => isPathMatch(pattern, path));
  }
  const digest = createHash('sha256').update(path).digest('hex');
  return role.path_hash_prefixes?.some((prefix) => digest.startsWith(prefix)) ?? false;
};

/**
 * Where a target lies below the base URL, percent-encoded (5.7.3). Consistent snapshots put one of its digests before the file
 * name; `digestHex` is null without them.
 */
export const targetUrlPath = (path: string, digestHex: string | null): string => {
  const segments = path.split('/');
  const last = segments.pop() ?? '';
  const name = digestHex === null ? last : `${digestHex}.${last}`;
  return ['targets', ...[...segments, name].map(encodeURIComponent)].join('/');
};

const toTargetInfo = (path: string, file: TargetFile, isConsistent: boolean): TargetInfo => {
  const digests = file.hashes;
  const digestHex = knownDigest(digests);
  if (digestHex === null) {
    throw new OtadError('METADATA_MALFORMED', { target: path, reason: 'no digest is listed that is known here' });
  }
  // Such segments change meaning in a URL, encoded or not.
  if (path.split('/').some((segment) => /^\.{0,2}$/.test(segment))) {
    throw new OtadError('METADATA_MALFORMED', { target: path, reason: 'the path has an empty or dotted segment' });
  }
  return {
    path,
    lengthBytes: file.length,
    digests,
    sha256Hex: ownMember(digests, 'sha256') ?? null,
    urlPath: targetUrlPath(path, isConsistent ? digestHex : null),
  };
};

/** 5.7.3: the signed length, and every digest that is listed and known. */
export const isTarget = (bytes: Uint8Array, { lengthBytes, digests }: TargetInfo): boolean =>
  bytes.length === lengthBytes && matchDigests(bytes, digests) === 'same';

type LoadRole = (delegator: Delegator, role: string) => Promise<TargetsMetadata>;

/** `cut`: a terminating delegation answered for the path, and nobody else may. */
type Outcome = TargetFile | 'cut' | 'none';

const searchRole = async (
  targets: TargetsMetadata,
  path: string,
  visited: Set<string>,
  load: LoadRole,
): Promise<Outcome> => {
  // 5.6.7.1.
  const own = ownMember(targets.targets, path);
  if (own !== undefined) {
    return own;
  }
  const delegations = targets.delegations;
  // 5.6.7.2: in order of appearance; a role is asked only about paths that it is trusted with, all along the chain (4.5).
  for (const role of delegations?.roles ?? []) {
    if (delegations === undefined || !isDelegated(role, path)) {
      continue;
    }
    // 5.6.7.1: a role that was visited is skipped, which cuts cycles.
    if (!visited.has(role.name)) {
      // 5.6.7.1: a search that grows too wide ends.
      if (visited.size >= rolesVisitedMax) {
        return 'cut';
      }
      visited.add(role.name);
      const child = await load({ keys: delegations.keys, role }, role.name);
      const outcome = await searchRole(child, path, visited, load);
      // 5.6.7.2.2: the first that answers.
      if (outcome !== 'none') {
        return outcome;
      }
    }
    // 5.6.7.2.1: whether it was searched now or before, nobody after a terminating delegation may speak.
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
export const searchTarget = async (
  top: TargetsMetadata,
  path: string,
  isConsistent: boolean,
  load: LoadRole,
): Promise<TargetInfo> => {
  const outcome = await searchRole(top, path, new Set(['targets']), load);
  if (outcome === 'cut' || outcome === 'none') {
    // 5.7.2.
    throw new OtadError('TARGET_UNKNOWN', { path: path.slice(0, 256) });
  }
  return toTargetInfo(path, outcome, isConsistent);
};
