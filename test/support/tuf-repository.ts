// A TUF repository in memory that tests can publish to and spoil. Its keys are derived from their names and say TEST: they
// must never sign anything that leaves a test. Signs with OpenSSL, and shares with the code under test the forms only.

import { createHash, createPrivateKey, createPublicKey, sign } from 'node:crypto';
import type { Release } from '../../agent/core/types.ts';
import { encodeCanonicalJson, type JsonValue } from '../../verity/canonical-json.ts';
import type { MetadataFetcher } from '../../verity/metadata-fetcher.ts';
import { encodeRelease } from '../../verity/release-document.ts';
import type { TrustedFiles } from '../../verity/trusted-store.ts';
import { ed25519Key, keyIdOf, type TufKey } from '../../verity/tuf-metadata.ts';

export interface TestKey {
  readonly id: string;
  readonly key: TufKey;
  sign(bytes: Uint8Array): string;
}

const deriveKey = (name: string): TestKey => {
  const seed = createHash('sha256').update(`otad TEST key ${name}`).digest();
  const der = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), seed]);
  const privateKey = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  const publicKey = createPublicKey(privateKey).export({ format: 'der', type: 'spki' }).subarray(-32);
  const key = ed25519Key(publicKey);
  return { id: keyIdOf(key), key, sign: (bytes) => sign(null, bytes, privateKey).toString('hex') };
};

const derivedKeys = new Map<string, TestKey>();

/** The same name gives the same key. Kept once derived: OpenSSL takes a millisecond to read a key, and each repository has six. */
export const testKey = (name: string): TestKey => {
  const key = derivedKeys.get(name) ?? deriveKey(name);
  derivedKeys.set(name, key);
  return key;
};

/** The same key material under another key id: a member that the specification does not know changes the digest. */
export const aliasOf = (original: TestKey, alias: string): TestKey => {
  const key = { ...original.key, alias };
  return { id: keyIdOf(key), key, sign: original.sign };
};

// biome-ignore lint/suspicious/noExplicitAny: tests put anything into metadata, wrong things above all
export type Loose = any;

/** `{ signatures, signed }` as pretty JSON, the way common tools write it: what counts is the canonical form. */
export const signFile = (signed: Loose, keys: readonly TestKey[]): Uint8Array => {
  const bytes = encodeCanonicalJson(signed as JsonValue);
  const signatures = keys.map((key) => ({ keyid: key.id, sig: key.sign(bytes) }));
  return Buffer.from(JSON.stringify({ signatures, signed }, null, 1));
};

export const sha256Hex = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

export const roleOf = (keys: readonly TestKey[], threshold = keys.length) => ({
  keyids: keys.map((key) => key.id),
  threshold,
});

export const keysOf = (keys: readonly TestKey[]): Record<string, TufKey> =>
  Object.fromEntries(keys.map((key) => [key.id, key.key]));

export const aRelease = (changes: Partial<Release> = {}): Release => ({
  id: 'gw-1.1',
  version: '1.1',
  sequence: 2,
  channel: 'stable',
  compatible: 'test-gateway',
  hardwareRevisions: [],
  agentVersionMin: null,
  notesUrl: null,
  floorEpoch: 0,
  rollbackFloor: 0,
  waves: [],
  artifacts: [],
  health: { deadlineS: 60, checks: [] },
  dataSchema: { oldest: 1, own: 1 },
  from: [],
  publishedAtS: testNowS - 3600,
  ...changes,
});

/** 2026-01-01T00:00:00Z: the trusted time of tests. */
export const testNowS = 1_767_225_600;
const farExpiry = '2027-01-01T00:00:00Z';
export const pastExpiry = '2025-12-31T23:59:59Z';

export interface TestRepository {
  /** By path below the base URL. */
  readonly files: Map<string, Uint8Array>;
  readonly signers: Record<'root' | 'timestamp' | 'snapshot' | 'targets', readonly TestKey[]>;
  root: Loose;
  timestamp: Loose;
  snapshot: Loose;
  targets: Loose;
  readonly initialRoot: Uint8Array;
  /** Signs the root of `root.version` and puts it there. */
  writeRoot(signers?: readonly TestKey[]): Uint8Array;
  /** Each writes its role as it stands; parents are written by hand or by `publish`. */
  writeTargets(): Uint8Array;
  writeDelegated(name: string, signed: Loose, signers: readonly TestKey[]): Uint8Array;
  writeSnapshot(): Uint8Array;
  writeTimestamp(): Uint8Array;
  /** The next version of targets, snapshot and timestamp, each listing the one below with length and digest. */
  publish(): void;
  addTarget(path: string, bytes: Uint8Array): void;
  /** Adds image and document of a release and gives the release back; not published yet. */
  addRelease(changes?: Partial<Release>, image?: Uint8Array): Release;
}

const metaOf = (version: number, bytes: Uint8Array) => ({
  version,
  length: bytes.length,
  hashes: { sha256: sha256Hex(bytes) },
});

export const consistentName = (path: string, digest: string): string => {
  const cut = path.lastIndexOf('/') + 1;
  return `targets/${path.slice(0, cut)}${digest}.${path.slice(cut)}`;
};

const specVersion = '1.0.31';

const initialState = (expires: string) => {
  const rootKeys = [testKey('root 1'), testKey('root 2'), testKey('root 3')];
  const signers = {
    root: rootKeys.slice(0, 2),
    timestamp: [testKey('timestamp')],
    snapshot: [testKey('snapshot')],
    targets: [testKey('targets')],
  };
  const roles = {
    root: roleOf(rootKeys, 2),
    timestamp: roleOf(signers.timestamp),
    snapshot: roleOf(signers.snapshot),
    targets: roleOf(signers.targets),
  };
  const keys = keysOf([...rootKeys, ...signers.timestamp, ...signers.snapshot, ...signers.targets]);
  const common = { spec_version: specVersion, expires };
  const root = { _type: 'root', ...common, version: 1, consistent_snapshot: true, keys, roles };
  return { signers: signers as TestRepository['signers'], root, common };
};

/** Version 1 of everything, published, with one target `hello.txt`. All of it expires at the given time. */
export const aRepository = (expires = farExpiry): TestRepository => {
  const { signers, root, common } = initialState(expires);
  const files = new Map<string, Uint8Array>();
  const repository: TestRepository = {
    files,
    signers,
    root,
    timestamp: { _type: 'timestamp', ...common, version: 0, meta: {} },
    snapshot: { _type: 'snapshot', ...common, version: 0, meta: {} },
    targets: { _type: 'targets', ...common, version: 0, targets: {} },
    initialRoot: signFile(root, signers.root),
    writeRoot: (keys = signers.root) => {
      const bytes = signFile(repository.root, keys);
      files.set(`metadata/${repository.root.version}.root.json`, bytes);
      return bytes;
    },
    writeTargets: () => {
      const bytes = signFile(repository.targets, signers.targets);
      files.set(`metadata/${repository.targets.version}.targets.json`, bytes);
      repository.snapshot.meta['targets.json'] = metaOf(repository.targets.version, bytes);
      return bytes;
    },
    writeDelegated: (name, signed, keys) => {
      const full = { _type: 'targets', ...common, version: 1, targets: {}, ...signed };
      const bytes = signFile(full, keys);
      files.set(`metadata/${full.version}.${encodeURIComponent(name)}.json`, bytes);
      repository.snapshot.meta[`${name}.json`] = metaOf(full.version, bytes);
      return bytes;
    },
    writeSnapshot: () => {
      const bytes = signFile(repository.snapshot, signers.snapshot);
      files.set(`metadata/${repository.snapshot.version}.snapshot.json`, bytes);
      repository.timestamp.meta['snapshot.json'] = metaOf(repository.snapshot.version, bytes);
      return bytes;
    },
    writeTimestamp: () => {
      const bytes = signFile(repository.timestamp, signers.timestamp);
      files.set('metadata/timestamp.json', bytes);
      return bytes;
    },
    publish: () => {
      for (const role of [repository.targets, repository.snapshot, repository.timestamp]) {
        role.version += 1;
      }
      repository.writeTargets();
      repository.writeSnapshot();
      repository.writeTimestamp();
    },
    addTarget: (path, bytes) => {
      const digest = sha256Hex(bytes);
      repository.targets.targets[path] = { length: bytes.length, hashes: { sha256: digest } };
      files.set(consistentName(path, digest), bytes);
    },
    addRelease: (changes = {}, image = new Uint8Array(10_000).fill(7)) => {
      const path = `images/${changes.version ?? '1.1'}/rootfs.squashfs`;
      const verity = {
        algorithm: 'sha256',
        blockSizeBytes: 4096,
        saltHex: '00',
        rootHex: sha256Hex(Buffer.from('TEST root')),
        hashOffsetBytes: Math.ceil(image.length / 4096) * 4096,
      } as const;
      const lengthBytes = image.length;
      const rootfs = { role: 'rootfs', path, lengthBytes, sha256Hex: sha256Hex(image), verity, index: null } as const;
      const release = aRelease({ artifacts: [rootfs], ...changes });
      repository.addTarget(path, image);
      repository.addTarget(`channels/${release.channel}/${release.compatible}.json`, encodeRelease(release));
      return release;
    },
  };
  repository.files.set('metadata/1.root.json', repository.initialRoot);
  repository.addTarget('hello.txt', Buffer.from('hello'));
  repository.publish();
  return repository;
};

/** A fetcher over the repository's files that remembers what was asked for. */
export const repositoryFetcher = (files: ReadonlyMap<string, Uint8Array>) => {
  const requests: string[] = [];
  const fetcher: MetadataFetcher = {
    fetch: async (path) => {
      requests.push(path);
      return files.get(decodeURIComponent(path)) ?? files.get(path) ?? null;
    },
  };
  return { fetcher, requests };
};

/** Trusted files in memory. */
export const memoryFiles = (): TrustedFiles & { readonly stored: Map<string, Uint8Array> } => {
  const stored = new Map<string, Uint8Array>();
  return {
    stored,
    read: async (name) => stored.get(name) ?? null,
    write: async (name, bytes) => {
      stored.set(name, Uint8Array.from(bytes));
    },
    remove: async (name) => {
      stored.delete(name);
    },
  };
};
