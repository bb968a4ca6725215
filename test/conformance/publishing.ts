// What conformance tests do to a repository beyond publishing it: next roots, other keys, listings without digests.

import { keysOf, type Loose, roleOf, type TestKey, type TestRepository } from '../support/tuf-repository.ts';

export const topRoles = ['timestamp', 'snapshot', 'targets'] as const;
type RoleName = 'root' | (typeof topRoles)[number];

/** The root after the published one, changed and signed. */
export const nextRoot = (
  repository: TestRepository,
  change: (root: Loose) => void = () => undefined,
  signers: readonly TestKey[] = repository.signers.root,
): void => {
  repository.root = structuredClone(repository.root);
  repository.root.version += 1;
  change(repository.root);
  repository.writeRoot(signers);
};

/** These keys instead of those that the role had. */
export const setKeys = (root: Loose, role: RoleName, keys: readonly TestKey[], threshold = keys.length): void => {
  Object.assign(root.keys, keysOf(keys));
  root.roles[role] = roleOf(keys, threshold);
};

/** New keys for roles in one next root; who signs them from now on too. */
export const rotate = (repository: TestRepository, keys: Partial<Record<RoleName, readonly TestKey[]>>): void => {
  nextRoot(repository, (root) => {
    for (const [role, fresh] of Object.entries(keys)) {
      setKeys(root, role as RoleName, fresh);
      repository.signers[role as RoleName] = fresh;
    }
  });
};

/** The next version of the three roles, listed by version alone: length and digests are optional. */
export const publishBare = (repository: TestRepository): void => {
  for (const role of topRoles) {
    repository[role].version += 1;
  }
  repository.writeTargets();
  for (const [name, listed] of Object.entries<Loose>(repository.snapshot.meta)) {
    repository.snapshot.meta[name] = { version: listed.version };
  }
  repository.writeSnapshot();
  repository.timestamp.meta['snapshot.json'] = { version: repository.snapshot.version };
  repository.writeTimestamp();
};

/** The next timestamp over the snapshot as it is listed now. */
export const nextTimestamp = (repository: TestRepository): void => {
  repository.timestamp.version += 1;
  repository.writeTimestamp();
};

/** The next snapshot over the targets as they are listed now, and its timestamp. */
export const nextSnapshot = (repository: TestRepository): void => {
  repository.snapshot.version += 1;
  repository.writeSnapshot();
  nextTimestamp(repository);
};
