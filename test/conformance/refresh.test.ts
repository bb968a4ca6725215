// The client under test, refreshed against good and bad repositories: what it asks for, in which order, and what it keeps.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, test } from 'node:test';
import { keyIdOf } from '../../verity/tuf-metadata.ts';
import { type Loose, signFile, type TestRepository, testKey } from '../support/tuf-repository.ts';
import { aBench, aDevice, aSettledDevice, longAgo, runClient } from './bench.ts';
import { nextRoot, nextSnapshot, nextTimestamp, publishBare, setKeys } from './publishing.ts';

const textOf = (bytes: Uint8Array | undefined): string => Buffer.from(bytes ?? []).toString();

interface Refusal {
  readonly claim: string;
  /** What the repository offers a device that has trusted version 1 of all. */
  readonly spoil: (repository: TestRepository) => void;
  /** Versions that are trusted afterwards; 1 where nothing is said. */
  readonly trusted?: Readonly<Record<string, number>>;
  /** The last file that the client may have asked for. */
  readonly lastAsked?: string;
}

const upToTimestamp = { timestamp: 2 };
const upToSnapshot = { timestamp: 2, snapshot: 2 };

/** Publishes version 2 with one role signed by nobody. */
const unsigned = (role: 'timestamp' | 'snapshot' | 'targets') => (repository: TestRepository) => {
  const { signers } = repository;
  const kept = signers[role];
  signers[role] = [];
  repository.publish();
  signers[role] = kept;
};

/** Publishes version 2 of all, but the file of `role` says that it is version 3. */
const misnumbered = (role: 'snapshot' | 'targets') => (repository: TestRepository) => {
  publishBare(repository);
  const signed = { ...repository[role], version: 3 };
  repository.files.set(`metadata/2.${role}.json`, signFile(signed, repository.signers[role]));
};

const expired = (role: 'timestamp' | 'snapshot' | 'targets') => (repository: TestRepository) => {
  repository[role].expires = longAgo;
  repository.publish();
};

const refusals: readonly Refusal[] = [
  {
    claim: '5.3.4: a root that nobody signed',
    spoil: (r) => {
      nextRoot(r, undefined, []);
      r.publish();
    },
    lastAsked: '2.root.json',
  },
  { claim: '5.4.2: a timestamp that nobody signed', spoil: unsigned('timestamp'), lastAsked: 'timestamp.json' },
  { claim: '5.5.3: a snapshot that nobody signed', spoil: unsigned('snapshot'), trusted: upToTimestamp },
  { claim: '5.6.3: targets that nobody signed', spoil: unsigned('targets'), trusted: upToSnapshot },
  {
    claim: '5.3.5: a root of another version than its name',
    spoil: (r) => r.files.set('metadata/2.root.json', signFile({ ...r.root, version: 3 }, r.signers.root)),
    lastAsked: '2.root.json',
  },
  {
    claim: '5.5.4: a snapshot of another version than its name',
    spoil: misnumbered('snapshot'),
    trusted: upToTimestamp,
  },
  { claim: '5.6.4: targets of another version than their name', spoil: misnumbered('targets'), trusted: upToSnapshot },
  {
    claim: '5.5.2: a snapshot with another digest than signed',
    spoil: (r) => {
      r.publish();
      r.timestamp.meta['snapshot.json'].hashes.sha256 = '0'.repeat(64);
      r.writeTimestamp();
    },
    trusted: upToTimestamp,
  },
  {
    claim: '5.6.2: targets with another digest than signed',
    spoil: (r) => {
      r.publish();
      r.snapshot.meta['targets.json'].hashes.sha256 = '0'.repeat(64);
      r.writeSnapshot();
      r.writeTimestamp();
    },
    trusted: upToSnapshot,
  },
  {
    claim: '5.4.1: a timestamp that is gone',
    spoil: (r) => void r.files.delete('metadata/timestamp.json'),
    lastAsked: 'timestamp.json',
  },
  {
    claim: '5.5.1: a snapshot that is gone',
    spoil: (r) => {
      r.timestamp.meta['snapshot.json'] = { version: 2 };
      nextTimestamp(r);
    },
    trusted: upToTimestamp,
    lastAsked: '2.snapshot.json',
  },
  {
    claim: '5.6.1: targets that are gone',
    spoil: (r) => {
      r.snapshot.meta['targets.json'] = { version: 2 };
      nextSnapshot(r);
    },
    trusted: upToSnapshot,
    lastAsked: '2.targets.json',
  },
  {
    claim: '4.1: a snapshot in the place of the timestamp, signed by its key and of its form',
    spoil: (r) => {
      const twin = { ...r.timestamp, _type: 'snapshot', version: 2 };
      r.files.set('metadata/timestamp.json', signFile(twin, r.signers.timestamp));
    },
    lastAsked: 'timestamp.json',
  },
  {
    claim: '5.3.10: a last root that has expired, which is kept',
    spoil: (r) => {
      nextRoot(r, (root) => {
        root.expires = longAgo;
      });
      r.publish();
    },
    trusted: { root: 2 },
    lastAsked: '3.root.json',
  },
  { claim: '5.4.4: a timestamp that has expired', spoil: expired('timestamp') },
  { claim: '5.5.6: a snapshot that has expired', spoil: expired('snapshot'), trusted: upToTimestamp },
  { claim: '5.6.5: targets that have expired', spoil: expired('targets'), trusted: upToSnapshot },
];

const firstVersions = { root: 1, timestamp: 1, snapshot: 1, targets: 1 };

describe('conformance: refresh', { concurrency: 2 }, () => {
  test('init keeps the root that it is given, byte for byte, and asks nobody', async (t) => {
    const bench = await aBench(t);
    assert.equal(await bench.init(), 0);
    for (const name of ['root.json', 'initial.root']) {
      assert.equal(await bench.stored(name), textOf(bench.repository.initialRoot));
    }
    assert.deepEqual(await bench.trusted(), { root: 1 });
    assert.deepEqual(bench.asked(), []);
  });

  test('5.2: a first root that is malformed or not signed by its own keys is refused, and nobody is asked', async (t) => {
    const { root, signers } = (await aBench(t)).repository;
    const { version, ...versionless } = root;
    assert.equal(version, 1);
    for (const spoiled of [signFile(versionless, signers.root), signFile(root, [testKey('stranger')])]) {
      const bench = await aBench(t);
      assert.equal(await bench.init(spoiled), 1);
      await bench.store('initial.root', spoiled);
      assert.equal(await bench.refresh(), 1);
      assert.deepEqual(bench.asked(), []);
    }
  });

  test('what is no command of the contract is an error that asks nobody', async (t) => {
    const bench = await aBench(t);
    const options = ['--metadata-dir', 'nowhere'];
    for (const args of [[], ['refresh'], [...options, 'init'], [...options, 'refresh'], [...options, 'frobnicate']]) {
      assert.equal(await runClient(args), 1, args.join(' '));
    }
    assert.deepEqual(await bench.trusted(), {});
  });

  test('5.3 to 5.6: asks for the next root, timestamp, snapshot and targets, and keeps them as they were served', async (t) => {
    const bench = await aDevice(t);
    const path = 'metadata/timestamp.json';
    bench.repository.files.set(path, Buffer.from(`${textOf(bench.repository.files.get(path))}\n \n`));
    assert.equal(await bench.refresh(), 0);
    const asked = ['2.root.json', 'timestamp.json', '1.snapshot.json', '1.targets.json'];
    assert.deepEqual(bench.asked(), asked);
    for (const name of asked.slice(1)) {
      const served = textOf(bench.repository.files.get(`metadata/${name}`));
      assert.equal(await bench.stored(name.replace('1.', '')), served);
    }
    // Nothing new: no snapshot and no targets are fetched again.
    assert.equal(await bench.refresh(), 0);
    assert.deepEqual(bench.asked(), ['2.root.json', 'timestamp.json']);
  });

  test('a download refreshes first, and fails for a target that nobody lists', async (t) => {
    const bench = await aDevice(t);
    assert.equal(await bench.download('no such target'), 1);
    assert.deepEqual(bench.asked(), ['2.root.json', 'timestamp.json', '1.snapshot.json', '1.targets.json']);
    assert.deepEqual(await bench.trusted(), firstVersions);
  });

  for (const { claim, spoil, trusted = {}, lastAsked } of refusals) {
    test(`${claim}, is refused; what passed before it is kept`, async (t) => {
      const bench = await aSettledDevice(t);
      spoil(bench.repository);
      assert.equal(await bench.refresh(), 1);
      assert.deepEqual(await bench.trusted(), { ...firstVersions, ...trusted });
      if (lastAsked !== undefined) assert.equal(bench.asked().at(-1), lastAsked);
    });
  }

  test('5.4.3.1: other contents under the same version of the timestamp are discarded, without an error', async (t) => {
    const bench = await aSettledDevice(t);
    const before = await bench.stored('timestamp.json');
    bench.repository.timestamp.meta['snapshot.json'] = { version: 100 };
    bench.repository.writeTimestamp();
    assert.equal(await bench.refresh(), 0);
    assert.equal(await bench.stored('timestamp.json'), before);
    assert.equal(bench.asked().at(-1), 'timestamp.json');
  });

  test('takes listings with length and digests, with digests of two kinds, and with neither', async (t) => {
    const bench = await aDevice(t);
    publishBare(bench.repository);
    assert.equal(await bench.refresh(), 0);
    bench.repository.publish();
    assert.equal(await bench.refresh(), 0);
    bench.repository.publish();
    const bytes = bench.repository.files.get('metadata/4.snapshot.json') ?? Buffer.of();
    const sha512 = createHash('sha512').update(bytes).digest('hex');
    bench.repository.timestamp.meta['snapshot.json'].hashes.sha512 = sha512;
    bench.repository.writeTimestamp();
    assert.equal(await bench.refresh(), 0);
    assert.deepEqual(await bench.trusted(), { root: 1, timestamp: 4, snapshot: 4, targets: 4 });
  });

  test('4.1: members that nobody knows are carried along in what is signed', async (t) => {
    const bench = await aDevice(t);
    const strange = { ...testKey('strange').key, 'extra-field': { a: 1, b: [2] } } as Loose;
    nextRoot(bench.repository, (root) => {
      root['custom-field'] = 'value';
      root.keys[keyIdOf(strange)] = strange;
      root.roles.root.keyids.push(keyIdOf(strange));
      root.roles.root['another-field'] = 'value';
    });
    assert.equal(await bench.refresh(), 0);
    assert.equal((await bench.trusted()).root, 2);
  });

  test('a key with the outdated member keyid_hash_algorithms is a key like any other', async (t) => {
    const bench = await aDevice(t);
    const plain = testKey('snapshot 2');
    const key = { ...plain.key, keyid_hash_algorithms: 'md5' } as Loose;
    const odd = { ...plain, key, id: keyIdOf(key) };
    nextRoot(bench.repository, (root) => setKeys(root, 'snapshot', [odd]));
    bench.repository.signers.snapshot = [odd];
    bench.repository.publish();
    assert.equal(await bench.refresh(), 0);
    assert.deepEqual(await bench.trusted(), { root: 2, timestamp: 2, snapshot: 2, targets: 2 });
  });

  test('5.3: a device whose root has expired follows to one that has not', async (t) => {
    const bench = await aBench(t);
    const { repository } = bench;
    const old = signFile({ ...repository.root, expires: longAgo }, repository.signers.root);
    assert.equal(await bench.init(old), 0);
    nextRoot(repository);
    assert.equal(await bench.refresh(), 0);
    assert.deepEqual(await bench.trusted(), { ...firstVersions, root: 2 });
  });

  test('5.4.3: a stored timestamp that has expired still forbids an older one, and gives way to a newer', async (t) => {
    const bench = await aSettledDevice(t);
    const { repository } = bench;
    const signed = { ...repository.timestamp, version: 5, expires: longAgo };
    await bench.store('timestamp.json', signFile(signed, repository.signers.timestamp));
    repository.publish();
    assert.equal(await bench.refresh(), 1);
    repository.timestamp.version = 5;
    repository.publish();
    assert.equal(await bench.refresh(), 0);
    assert.deepEqual(await bench.trusted(), { root: 1, timestamp: 6, snapshot: 3, targets: 3 });
  });
});
