// Every clause of the client workflow (TUF 5.3 to 5.6) refuses what it must, leaves what was trusted untouched, and takes the
// next good update.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ErrorCode } from '../../agent/core/errors.ts';
import { OtadError } from '../../agent/core/errors.ts';
import { metadataLimits } from '../../verity/metadata-fetcher.ts';
import { createTufClient } from '../../verity/tuf-client.ts';
import {
  aliasOf,
  aRepository,
  keysOf,
  memoryFiles,
  pastExpiry,
  repositoryFetcher,
  roleOf,
  signFile,
  type TestRepository,
  testKey,
  testNowS,
} from '../support/tuf-repository.ts';

const signal = new AbortController().signal;

const hasCode = (code: ErrorCode) => (error: unknown) => {
  assert.ok(error instanceof OtadError, String(error));
  assert.equal(error.code, code, error.message);
  return true;
};

const aClient = (repository: TestRepository, files = memoryFiles(), initialRoot = repository.initialRoot) => {
  const { fetcher, requests } = repositoryFetcher(repository.files);
  return { client: createTufClient({ fetcher, files, initialRoot }), files, requests };
};

interface Attack {
  readonly claim: string;
  readonly code: ErrorCode;
  /** Runs on a repository whose version 2 the client trusts. */
  readonly spoil: (repository: TestRepository) => void;
  /** Stored files that may change although the update fails: those that passed all of their own checks. */
  readonly mayStore?: readonly string[];
}

const nextRoot = (repository: TestRepository): void => {
  repository.root = structuredClone(repository.root);
  repository.root.version += 1;
};
const throughTimestamp = ['timestamp.json'];
const throughSnapshot = ['timestamp.json', 'snapshot.json'];

const attacks: readonly Attack[] = [
  {
    claim: '5.3.3: a root beyond its cap is refused before it is parsed',
    code: 'FILE_TOO_LARGE',
    spoil: (r) => {
      nextRoot(r);
      r.root.padding = 'x'.repeat(metadataLimits.rootBytesMax);
      r.writeRoot();
    },
  },
  {
    claim: '5.3.4: a root that too few of the old keys signed is refused',
    code: 'METADATA_SIGNATURE_INVALID',
    spoil: (r) => {
      nextRoot(r);
      const keys = [testKey('new 1'), testKey('new 2')];
      Object.assign(r.root.keys, keysOf(keys));
      r.root.roles.root = roleOf(keys);
      r.writeRoot([...keys, testKey('root 1')]);
    },
  },
  {
    claim: '5.3.4: a root that too few of its own keys signed is refused',
    code: 'METADATA_SIGNATURE_INVALID',
    spoil: (r) => {
      nextRoot(r);
      const keys = [testKey('new 1'), testKey('new 2')];
      Object.assign(r.root.keys, keysOf(keys));
      r.root.roles.root = roleOf(keys);
      r.writeRoot([testKey('root 1'), testKey('root 2'), testKey('new 1')]);
    },
  },
  {
    claim: '5.3.4: one key under two key ids counts once',
    code: 'METADATA_SIGNATURE_INVALID',
    spoil: (r) => {
      nextRoot(r);
      const twins = [testKey('new 1'), aliasOf(testKey('new 1'), 'twin')];
      Object.assign(r.root.keys, keysOf(twins));
      r.root.roles.root = roleOf(twins, 2);
      r.writeRoot([testKey('root 1'), testKey('root 2'), ...twins]);
    },
  },
  {
    claim: '5.3.4: a key id that is listed twice counts once',
    code: 'METADATA_SIGNATURE_INVALID',
    spoil: (r) => {
      nextRoot(r);
      r.root.roles.root = { keyids: [testKey('root 1').id, testKey('root 1').id, testKey('root 2').id], threshold: 3 };
      r.writeRoot();
    },
  },
  {
    claim: 'TUF 4.2: two signatures with one key id make the file malformed',
    code: 'METADATA_MALFORMED',
    spoil: (r) => {
      nextRoot(r);
      r.writeRoot([testKey('root 1'), testKey('root 1'), testKey('root 2')]);
    },
  },
  {
    claim: 'TUF 4.3: a key id that is not the digest of its key is refused',
    code: 'METADATA_MALFORMED',
    spoil: (r) => {
      nextRoot(r);
      r.root.keys['0'.repeat(64)] = testKey('other').key;
      r.writeRoot();
    },
  },
  {
    claim: '5.3.5: a root that skips a version is refused',
    code: 'METADATA_MISMATCH',
    spoil: (r) => {
      r.root = { ...r.root, version: 3 };
      r.files.set('metadata/2.root.json', signFile(r.root, r.signers.root));
      r.root = { ...r.root, version: 1 };
    },
  },
  {
    claim: '5.3.5: the old root under the new name is refused',
    code: 'METADATA_ROLLBACK',
    spoil: (r) => r.files.set('metadata/2.root.json', r.initialRoot),
  },
  {
    claim: '5.3.10: an expired newest root stops the update',
    code: 'METADATA_EXPIRED',
    mayStore: ['root.json', 'history-2.root'],
    spoil: (r) => {
      nextRoot(r);
      r.root.expires = pastExpiry;
      r.writeRoot();
    },
  },
  {
    claim: '5.4.1: a timestamp beyond its cap is refused',
    code: 'FILE_TOO_LARGE',
    spoil: (r) => {
      r.timestamp.padding = 'x'.repeat(metadataLimits.timestampBytesMax);
      r.timestamp.version += 1;
      r.writeTimestamp();
    },
  },
  {
    claim: '5.4.1: a missing timestamp is named',
    code: 'METADATA_MISSING',
    spoil: (r) => void r.files.delete('metadata/timestamp.json'),
  },
  {
    claim: '5.4.2: a timestamp signed by another role is refused',
    code: 'METADATA_SIGNATURE_INVALID',
    spoil: (r) => {
      r.timestamp.version += 1;
      r.files.set('metadata/timestamp.json', signFile(r.timestamp, r.signers.snapshot));
    },
  },
  {
    claim: '5.4.2: a timestamp whose signed part was changed is refused',
    code: 'METADATA_SIGNATURE_INVALID',
    spoil: (r) => {
      const file = JSON.parse(Buffer.from(signFile(r.timestamp, r.signers.timestamp)).toString());
      file.signed.version += 1;
      r.files.set('metadata/timestamp.json', Buffer.from(JSON.stringify(file)));
    },
  },
  {
    claim: '5.4.2: an unsigned timestamp is refused',
    code: 'METADATA_SIGNATURE_INVALID',
    spoil: (r) => {
      r.timestamp.version += 1;
      r.files.set('metadata/timestamp.json', signFile(r.timestamp, []));
    },
  },
  {
    claim: '5.4.3.1: an older timestamp is refused',
    code: 'METADATA_ROLLBACK',
    spoil: (r) => {
      r.timestamp.version -= 1;
      r.writeTimestamp();
      r.timestamp.version += 1;
    },
  },
  {
    claim: '5.4.3.2: a timestamp that names an older snapshot is refused',
    code: 'METADATA_ROLLBACK',
    spoil: (r) => {
      r.timestamp.version += 1;
      r.timestamp.meta['snapshot.json'].version -= 1;
      r.writeTimestamp();
    },
  },
  {
    claim: '5.4.4: an expired timestamp is refused',
    code: 'METADATA_EXPIRED',
    spoil: (r) => {
      r.timestamp = { ...r.timestamp, version: r.timestamp.version + 1, expires: pastExpiry };
      r.writeTimestamp();
      r.timestamp.expires = '2027-01-01T00:00:00Z';
    },
  },
  {
    claim: '5.5.1: a snapshot longer than signed is refused',
    code: 'FILE_TOO_LARGE',
    mayStore: throughTimestamp,
    spoil: (r) => {
      r.publish();
      const path = `metadata/${r.snapshot.version}.snapshot.json`;
      r.files.set(path, Buffer.concat([r.files.get(path) ?? Buffer.of(), Buffer.from(' ')]));
    },
  },
  {
    claim: '5.5.1: a snapshot that is gone is named',
    code: 'METADATA_MISSING',
    mayStore: throughTimestamp,
    spoil: (r) => {
      r.publish();
      r.files.delete(`metadata/${r.snapshot.version}.snapshot.json`);
    },
  },
  {
    claim: '5.5.2: a snapshot with another digest is refused',
    code: 'METADATA_MISMATCH',
    mayStore: throughTimestamp,
    spoil: (r) => {
      r.publish();
      r.timestamp.version += 1;
      r.timestamp.meta['snapshot.json'].hashes.sha256 = '0'.repeat(64);
      r.writeTimestamp();
    },
  },
  {
    claim: '5.5.2: a listing whose digests are all unknown is refused',
    code: 'METADATA_MISMATCH',
    mayStore: throughTimestamp,
    spoil: (r) => {
      r.publish();
      r.timestamp.version += 1;
      r.timestamp.meta['snapshot.json'].hashes = { crc32: '00000000' };
      r.writeTimestamp();
    },
  },
  {
    claim: '5.5.3: a snapshot signed by another role is refused',
    code: 'METADATA_SIGNATURE_INVALID',
    mayStore: throughTimestamp,
    spoil: (r) => {
      const own = r.signers.snapshot;
      r.signers.snapshot = r.signers.timestamp;
      r.publish();
      r.signers.snapshot = own;
    },
  },
  {
    claim: '5.5.4: a snapshot of another version than the timestamp names is refused',
    code: 'METADATA_MISMATCH',
    mayStore: throughTimestamp,
    spoil: (r) => {
      r.publish();
      const bytes = r.writeSnapshot();
      r.timestamp.version += 1;
      r.timestamp.meta['snapshot.json'].version += 1;
      r.files.set(`metadata/${r.snapshot.version + 1}.snapshot.json`, bytes);
      r.writeTimestamp();
      r.snapshot.version += 1;
    },
  },
  {
    claim: '5.5.5: a snapshot that names older targets is refused',
    code: 'METADATA_ROLLBACK',
    mayStore: throughTimestamp,
    spoil: (r) => {
      r.targets.version -= 2;
      r.publish();
      r.targets.version += 2;
    },
  },
  {
    claim: '5.5.5: a snapshot that drops a role is refused',
    code: 'METADATA_ROLLBACK',
    mayStore: throughTimestamp,
    spoil: (r) => {
      const dropped = r.snapshot.meta['extra.json'];
      delete r.snapshot.meta['extra.json'];
      r.publish();
      r.snapshot.meta['extra.json'] = dropped;
    },
  },
  {
    claim: '5.5.6: an expired snapshot is refused',
    code: 'METADATA_EXPIRED',
    mayStore: throughTimestamp,
    spoil: (r) => {
      r.snapshot.expires = pastExpiry;
      r.publish();
      r.snapshot.expires = '2027-01-01T00:00:00Z';
    },
  },
  {
    claim: '5.6.1: targets longer than signed are refused',
    code: 'FILE_TOO_LARGE',
    mayStore: throughSnapshot,
    spoil: (r) => {
      r.publish();
      const path = `metadata/${r.targets.version}.targets.json`;
      r.files.set(path, Buffer.concat([r.files.get(path) ?? Buffer.of(), Buffer.from(' ')]));
    },
  },
  {
    claim: '5.6.2: targets with another digest are refused (mix and match)',
    code: 'METADATA_MISMATCH',
    mayStore: throughSnapshot,
    spoil: (r) => {
      r.publish();
      const path = `metadata/${r.targets.version}.targets.json`;
      const text = Buffer.from(r.files.get(path) ?? Buffer.of()).toString();
      r.files.set(path, Buffer.from(text.replace('hello.txt', 'jello.txt')));
    },
  },
  {
    claim: '5.6.3: targets signed by another role are refused',
    code: 'METADATA_SIGNATURE_INVALID',
    mayStore: throughSnapshot,
    spoil: (r) => {
      const own = r.signers.targets;
      r.signers.targets = r.signers.snapshot;
      r.publish();
      r.signers.targets = own;
    },
  },
  {
    claim: '5.6.4: targets of another version than the snapshot names are refused',
    code: 'METADATA_MISMATCH',
    mayStore: throughSnapshot,
    spoil: (r) => {
      r.targets.version += 1;
      const bytes = r.writeTargets();
      r.snapshot.meta['targets.json'].version += 1;
      r.files.set(`metadata/${r.targets.version + 1}.targets.json`, bytes);
      r.targets.version += 1;
      r.snapshot.version += 1;
      r.writeSnapshot();
      r.timestamp.version += 1;
      r.writeTimestamp();
    },
  },
  {
    claim: '5.6.5: expired targets are refused',
    code: 'METADATA_EXPIRED',
    mayStore: throughSnapshot,
    spoil: (r) => {
      r.targets.expires = pastExpiry;
      r.publish();
      r.targets.expires = '2027-01-01T00:00:00Z';
    },
  },
  {
    claim: 'a timestamp of another specification version is refused',
    code: 'METADATA_MALFORMED',
    spoil: (r) => {
      r.timestamp = { ...r.timestamp, version: r.timestamp.version + 1, spec_version: '2.0.0' };
      r.writeTimestamp();
      r.timestamp.spec_version = '1.0.31';
    },
  },
  {
    claim: 'a login page in place of a timestamp is refused',
    code: 'METADATA_MALFORMED',
    spoil: (r) => void r.files.set('metadata/timestamp.json', Buffer.from('<html>Please log in</html>')),
  },
];

/** What the publisher does once the attacker is gone: nothing special. */
const recover = (repository: TestRepository, keptRoot: TestRepository['root']): void => {
  repository.root = structuredClone(keptRoot);
  repository.root.version += 1;
  if (repository.root.version === 2) {
    // The file of an expired root that was accepted cannot be replaced, only followed.
    const isAccepted = JSON.parse(Buffer.from(repository.files.get('metadata/2.root.json') ?? '{}').toString() || '{}');
    if (isAccepted.signed?.expires === pastExpiry && isAccepted.signed._type === 'root') {
      repository.root.version += 1;
    }
  }
  repository.writeRoot();
  delete repository.timestamp.padding;
  repository.publish();
};

for (const { claim, code, spoil, mayStore = [] } of attacks) {
  test(`${claim}, and the next good update is taken`, async () => {
    const repository = aRepository();
    repository.writeDelegated('extra', {}, [testKey('extra')]);
    repository.publish();
    const { client, files } = aClient(repository);
    await client.refresh(testNowS, signal);
    const keptRoot = structuredClone(repository.root);
    const before = new Map(files.stored);

    spoil(repository);
    await assert.rejects(client.refresh(testNowS, signal), hasCode(code));
    const changed = [...new Set([...before.keys(), ...files.stored.keys()])].filter(
      (name) => Buffer.compare(before.get(name) ?? Buffer.of(), files.stored.get(name) ?? Buffer.of()) !== 0,
    );
    assert.deepEqual(
      changed.filter((name) => !mayStore.includes(name)),
      [],
    );
    // The same attack on a client that has just started from its stored files.
    await assert.rejects(aClient(repository, files).client.refresh(testNowS, signal), hasCode(code));

    recover(repository, keptRoot);
    const set = await client.refresh(testNowS, signal);
    assert.equal(set.timestamp.version, repository.timestamp.version);
    assert.equal(set.targets.version, repository.targets.version);
  });
}

test('stores every role byte for byte as it was served', async () => {
  const repository = aRepository();
  const { client, files } = aClient(repository);
  await client.refresh(testNowS, signal);
  assert.deepEqual(files.stored.get('root.json'), Uint8Array.from(repository.initialRoot));
  for (const [name, path] of [
    ['timestamp.json', 'metadata/timestamp.json'],
    ['snapshot.json', 'metadata/1.snapshot.json'],
    ['targets.json', 'metadata/1.targets.json'],
  ] as const) {
    assert.deepEqual(Buffer.from(files.stored.get(name) ?? []), Buffer.from(repository.files.get(path) ?? []));
  }
});

test('refuses to do anything without a root, or with one that is not whole', async () => {
  const repository = aRepository();
  const { fetcher, requests } = repositoryFetcher(repository.files);
  const broken = Buffer.from(repository.initialRoot).toString().replace('2027', '2028');
  for (const initialRoot of [null, Buffer.from(''), Buffer.from(broken)]) {
    const client = createTufClient({ fetcher, files: memoryFiles(), initialRoot });
    await assert.rejects(client.refresh(testNowS, signal), hasCode('TRUST_ROOT_MISSING'));
  }
  assert.deepEqual(requests, []);
});

const rotateOnce = (repository: TestRepository, role: 'root' | 'timestamp' | 'snapshot', name: string): void => {
  const old = repository.signers[role];
  const fresh = role === 'root' ? [testKey(`${name} 1`), testKey(`${name} 2`)] : [testKey(name)];
  nextRoot(repository);
  Object.assign(repository.root.keys, keysOf(fresh));
  repository.root.roles[role] = roleOf(fresh);
  repository.signers[role] = fresh;
  repository.writeRoot(role === 'root' ? [...old, ...fresh] : repository.signers.root);
};

test('5.3.9: follows a chain of root rotations to keys that the image has never seen', async () => {
  const repository = aRepository();
  for (const name of ['second', 'third', 'fourth']) {
    rotateOnce(repository, 'root', name);
  }
  rotateOnce(repository, 'timestamp', 'timestamp 2');
  repository.publish();
  const { client, files, requests } = aClient(repository);
  const set = await client.refresh(testNowS, signal);
  assert.equal(set.root.version, 5);
  assert.deepEqual(
    requests.slice(0, 5),
    [2, 3, 4, 5, 6].map((version) => `metadata/${version}.root.json`),
  );

  const again = aClient(repository, files);
  assert.equal((await again.client.refresh(testNowS, signal)).root.version, 5);
  assert.deepEqual(again.requests, ['metadata/6.root.json', 'metadata/timestamp.json']);
});

for (const role of ['timestamp', 'snapshot'] as const) {
  test(`5.3.11: recovers from a fast-forward attack when the ${role} key is taken away`, async () => {
    const repository = aRepository();
    const { client, files } = aClient(repository);
    repository.timestamp.version = 1_000_000;
    repository.snapshot.version = 1_000_000;
    repository.publish();
    await client.refresh(testNowS, signal);

    repository.timestamp.version = 2;
    repository.snapshot.version = 2;
    repository.publish();
    await assert.rejects(client.refresh(testNowS, signal), hasCode('METADATA_ROLLBACK'));

    rotateOnce(repository, role, `${role} 2`);
    repository.publish();
    for (const recovered of [client, aClient(repository, files).client]) {
      assert.equal((await recovered.refresh(testNowS, signal)).timestamp.version, repository.timestamp.version);
    }
  });
}

test('5.3.11: a cut between storing the new root and forgetting is made good at the next start', async () => {
  const repository = aRepository();
  const kept = testKey('timestamp');
  const removed = testKey('timestamp stolen');
  nextRoot(repository);
  Object.assign(repository.root.keys, keysOf([removed]));
  repository.root.roles.timestamp = roleOf([kept, removed], 1);
  repository.writeRoot();
  repository.signers.timestamp = [kept, removed];
  repository.timestamp.version = 1_000_000;
  repository.publish();
  const files = memoryFiles();
  await aClient(repository, files).client.refresh(testNowS, signal);

  nextRoot(repository);
  repository.root.roles.timestamp = roleOf([kept]);
  repository.signers.timestamp = [kept];
  files.stored.set('history-3.root', repository.writeRoot());
  repository.timestamp.version = 5;
  repository.publish();
  const set = await aClient(repository, files).client.refresh(testNowS, signal);
  assert.equal(set.timestamp.version, 6);
});

test('a key that is only added forgets nothing, so a rollback is still seen', async () => {
  const repository = aRepository();
  repository.publish();
  const { client } = aClient(repository);
  await client.refresh(testNowS, signal);
  nextRoot(repository);
  const added = testKey('timestamp added');
  Object.assign(repository.root.keys, keysOf([added]));
  repository.root.roles.timestamp = roleOf([testKey('timestamp'), added], 1);
  repository.writeRoot();
  repository.timestamp.version -= 1;
  repository.writeTimestamp();
  await assert.rejects(client.refresh(testNowS, signal), hasCode('METADATA_ROLLBACK'));
});

test('5.4.3.1: a timestamp of the same version is no error and changes nothing', async () => {
  const repository = aRepository();
  const { client, files, requests } = aClient(repository);
  await client.refresh(testNowS, signal);
  const before = files.stored.get('timestamp.json');
  repository.timestamp.note = 'other bytes, same version';
  repository.writeTimestamp();
  requests.length = 0;
  await client.refresh(testNowS, signal);
  assert.equal(files.stored.get('timestamp.json'), before);
  assert.deepEqual(requests, ['metadata/2.root.json', 'metadata/timestamp.json']);
});

test('what expires while it is trusted is refused at the next refresh', async () => {
  const repository = aRepository();
  const { client } = aClient(repository);
  await client.refresh(testNowS, signal);
  const afterExpiryS = Date.parse('2027-01-01T00:00:00Z') / 1000;
  await client.refresh(afterExpiryS - 1, signal);
  await assert.rejects(client.refresh(afterExpiryS, signal), hasCode('METADATA_EXPIRED'));
});

test('damaged stored files are fetched again', async () => {
  const repository = aRepository();
  const files = memoryFiles();
  await aClient(repository, files).client.refresh(testNowS, signal);
  for (const name of ['root.json', 'timestamp.json', 'snapshot.json', 'targets.json']) {
    files.stored.set(name, Buffer.from('{"torn":'));
    const set = await aClient(repository, files).client.refresh(testNowS, signal);
    assert.equal(set.targets.version, 1, name);
  }
});

test('a poll without news is one conditional request, and after a refused update the validator is not used', async () => {
  const repository = aRepository();
  const requests: string[] = [];
  const etag = () => String(repository.files.get('metadata/timestamp.json')?.length) + repository.timestamp.version;
  const { fetcher } = repositoryFetcher(repository.files);
  const client = createTufClient({
    files: memoryFiles(),
    initialRoot: repository.initialRoot,
    fetcher: {
      fetch: (path, max, s) => {
        requests.push(path);
        return fetcher.fetch(path, max, s);
      },
      fetchFresh: async (path, max, validator, s) => {
        requests.push(`${path} ${validator === null ? 'plain' : 'conditional'}`);
        if (validator === etag()) {
          return 'unchanged';
        }
        const bytes = await fetcher.fetch(path, max, s);
        return bytes === null ? null : { bytes, validator: etag() };
      },
    },
  });
  await client.refresh(testNowS, signal);
  requests.length = 0;
  await client.refresh(testNowS, signal);
  assert.deepEqual(requests, ['metadata/timestamp.json conditional']);
  assert.equal((await client.findTarget('hello.txt', signal)).lengthBytes, 5);

  // Old bytes come back with the old validator after a newer timestamp has been accepted: that is a rollback.
  const old = { version: repository.timestamp.version, bytes: repository.files.get('metadata/timestamp.json') };
  repository.publish();
  repository.files.delete('metadata/2.snapshot.json');
  await assert.rejects(client.refresh(testNowS, signal), hasCode('METADATA_MISSING'));
  repository.files.set('metadata/timestamp.json', old.bytes ?? Buffer.of());
  repository.timestamp.version = old.version;
  await assert.rejects(client.refresh(testNowS, signal), hasCode('METADATA_ROLLBACK'));
});
