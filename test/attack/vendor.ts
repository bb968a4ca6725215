// What the vendor published, in three stages: `ancient` (before this gateway's time), `trusted` (release 1.1, which the
// gateway has seen and runs) and `next` (release 1.2 under a new root), the update that attackers try to spoil.

import type { Release } from '../../agent/core/types.ts';
import { noise } from '../support/noise.ts';
import { anArtifact } from '../support/slot-bench.ts';
import {
  aRepository,
  consistentName,
  keysOf,
  type Loose,
  roleOf,
  sha256Hex,
  type TestKey,
  type TestRepository,
  testKey,
} from '../support/tuf-repository.ts';

export const compatible = 'test-gateway';
export const slotBytes = 256 * 1024;
export const imageBytes = 120_000;
/** What slot a runs. */
export const running = { id: 'gw-1.1', version: '1.1', sequence: 2 };

export const imageOf = (version: string): Buffer => noise(imageBytes, `image ${version}`);

/** A release whose image really has the dm-verity root that its document names; published with the next `publish`. */
export const addRealRelease = (
  repository: TestRepository,
  sequence: number,
  changes: Partial<Release> = {},
  image: Uint8Array = imageOf(`1.${sequence - 1}`),
): Release => {
  const version = `1.${sequence - 1}`;
  const artifact = anArtifact(image, { path: `images/${version}/rootfs.squashfs` });
  return repository.addRelease({ id: `gw-${version}`, version, sequence, artifacts: [artifact], ...changes }, image);
};

export const nextRoot = (repository: TestRepository): void => {
  repository.root = structuredClone(repository.root);
  repository.root.version += 1;
};

/** Releases are announced by a role of their own; `signers` sign for it, rightly (with the TEST key 'releases') or not. */
export const delegateReleases = (
  name: string,
  repository: TestRepository,
  signers: readonly TestKey[],
  targets: Loose = {},
): void => {
  const keys = [testKey('releases')];
  const role = { name, ...roleOf(keys), terminating: false, paths: ['channels/*/*'] };
  repository.targets.delegations = { keys: keysOf(keys), roles: [role] };
  repository.writeDelegated(name, { targets }, signers);
};

/** One signature on a root is enough, where it is not what the root's signatures must be that is shown: each costs its time. */
const aSimpleRepository = (): TestRepository => {
  const repository = aRepository();
  repository.root.roles.root.threshold = 1;
  Object.assign(repository.signers, { root: repository.signers.root.slice(0, 1) });
  return Object.assign(repository, { initialRoot: repository.writeRoot() });
};

/** A repository whose release 1.1 is published; its root needs one signature, or two of three. */
export const aTrustedRepository = (rootThreshold: 1 | 2 = 1): TestRepository => {
  const repository = rootThreshold === 1 ? aSimpleRepository() : aRepository();
  addRealRelease(repository, 2);
  repository.publish();
  return repository;
};

type Files = ReadonlyMap<string, Uint8Array>;

/** The six kinds of file that an update fetches. */
export const fileKinds = ['root', 'timestamp', 'snapshot', 'targets', 'document', 'image'] as const;
export type FileKind = (typeof fileKinds)[number];

export interface Vendor {
  readonly initialRoot: Uint8Array;
  readonly trusted: Files;
  readonly next: Files;
  /** Path of each kind's file below the base URL, in `next`. */
  readonly paths: Readonly<Record<FileKind, string>>;
  /** The same file as it was in the stage that the gateway trusts, and in the one before. */
  readonly stale: Readonly<Record<FileKind, Uint8Array>>;
  readonly ancient: Readonly<Record<FileKind, Uint8Array>>;
}

export const documentPath = `channels/stable/${compatible}.json`;

const pathsOf = (repository: TestRepository, version: string): Record<FileKind, string> => {
  const { targets } = repository.targets;
  return {
    root: `metadata/${repository.root.version}.root.json`,
    timestamp: 'metadata/timestamp.json',
    snapshot: `metadata/${repository.snapshot.version}.snapshot.json`,
    targets: `metadata/${repository.targets.version}.targets.json`,
    document: consistentName(documentPath, targets[documentPath].hashes.sha256),
    image: consistentName(`images/${version}/rootfs.squashfs`, sha256Hex(imageOf(version))),
  };
};

const pick = (files: Files, paths: Record<FileKind, string>): Record<FileKind, Uint8Array> =>
  Object.fromEntries(fileKinds.map((kind) => [kind, files.get(paths[kind]) ?? Buffer.of()])) as Record<
    FileKind,
    Uint8Array
  >;

export const createVendor = (): Vendor => {
  const repository = aSimpleRepository();
  addRealRelease(repository, 1);
  repository.publish();
  const ancient = pick(repository.files, pathsOf(repository, '1.0'));
  addRealRelease(repository, 2);
  repository.publish();
  const trusted = new Map(repository.files);
  const stale = pick(trusted, pathsOf(repository, '1.1'));
  nextRoot(repository);
  repository.writeRoot();
  addRealRelease(repository, 3);
  repository.publish();
  const paths = pathsOf(repository, '1.2');
  return { initialRoot: repository.initialRoot, trusted, next: new Map(repository.files), paths, stale, ancient };
};
