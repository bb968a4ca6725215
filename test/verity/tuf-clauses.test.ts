// Clauses of the client workflow that need more than one refused file: names with and without consistent snapshots, caps
// before parsing, cached delegations, recovery, and roots on the way.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { type ErrorCode, OtadError } from '../../agent/core/errors.ts';
import { metadataLimits } from '../../verity/metadata-fetcher.ts';
import { isTarget } from '../../verity/target-search.ts';
import { createTufClient, type TufClient } from '../../verity/tuf-client.ts';
import { nextRoot, nextSnapshot, publishBare, rotate } from '../conformance/publishing.ts';
import {
  aRepository,
  keysOf,
  type Loose,
  memoryFiles,
  pastExpiry,
  repositoryFetcher,
  roleOf,
  sha256Hex,
  signFile,
  type TestKey,
  type TestRepository,
  testKey,
  testNowS,
} from '../support/tuf-repository.ts';

const signal = new AbortController().signal;

const aClient = ({ files: served, initialRoot }: TestRepository, files = memoryFiles()) => {
  const { fetcher, requests } = repositoryFetcher(served);
  return { client: createTufClient({ fetcher, files, initialRoot }), files, requests };
};

const rejectsWith = (promise: Promise<unknown>, code: ErrorCode): Promise<void> =>
  assert.rejects(promise, (error) => {
    assert.ok(error instanceof OtadError, String(error));
    assert.equal(error.code, code, error.message);
    return true;
  });

const refresh = (client: TufClient) => client.refresh(testNowS, signal);

const delegation = (name: string, paths: readonly string[], key: TestKey): Loose => ({
  keys: keysOf([key]),
  roles: [{ name, paths, terminating: false, ...roleOf([key]) }],
});

test('5.1: time stands still for a whole update, look-ups included', async () => {
  const repository = aRepository();
  const { client } = aClient(repository);
  const expiresS = Date.parse(repository.targets.expires) / 1000;
  await client.refresh(expiresS - 1, signal);
  assert.equal((await client.findTarget('hello.txt', signal)).lengthBytes, 5);
  await rejectsWith(client.refresh(expiresS, signal), 'METADATA_EXPIRED');
});

test('5.3.6: a root on the way may have expired long ago', async () => {
  const repository = aRepository();
  const { expires } = repository.root;
  for (const expiry of [pastExpiry, pastExpiry, expires]) {
    nextRoot(repository, (root) => {
      root.expires = expiry;
    });
  }
  assert.equal((await refresh(aClient(repository).client)).root.version, 4);
});

test('5.3.11: a new snapshot key lets targets that were driven ahead fall, and roles go', async () => {
  const repository = aRepository();
  repository.writeDelegated('extra', {}, [testKey('extra')]);
  repository.targets.version = 1_000_000;
  repository.publish();
  const { client, files } = aClient(repository);
  await refresh(client);

  repository.targets.version = 1;
  delete repository.snapshot.meta['extra.json'];
  repository.publish();
  await rejectsWith(refresh(client), 'METADATA_ROLLBACK');

  rotate(repository, { snapshot: [testKey('snapshot 2')] });
  repository.publish();
  for (const recovered of [client, aClient(repository, files).client]) {
    assert.equal((await refresh(recovered)).targets.version, repository.targets.version);
  }
});

/** The files of a repository without consistent snapshots, beside all of its roots. */
const plainFiles = (repository: TestRepository): void => {
  for (const [path, bytes] of [...repository.files]) {
    const plain = path.replace(/\/\d+\.(?!root\.)/, '/').replace(/\/[0-9a-f]{64}\./, '/');
    if (plain !== path) {
      repository.files.delete(path);
      repository.files.set(plain, bytes);
    }
  }
};

for (const absent of [false, true]) {
  test(`5.3.12: with consistent snapshots ${absent ? 'left out' : 'off'}, all but the root goes by plain names`, async () => {
    const repository = aRepository();
    nextRoot(repository, (root) => {
      root.consistent_snapshot = false;
      if (absent) delete root.consistent_snapshot;
    });
    const key = testKey('one');
    repository.targets.delegations = delegation('one', ['deep/*'], key);
    repository.files.clear();
    repository.writeRoot();
    repository.writeDelegated('one', {}, [key]);
    repository.addTarget('a/file.bin', Buffer.from('contents'));
    publishBare(repository);
    plainFiles(repository);
    const { client, requests } = aClient(repository);
    await refresh(client);
    const info = await client.findTarget('a/file.bin', signal);
    assert.equal(info.urlPath, 'targets/a/file.bin');
    assert.equal(await client.locateTarget('a/file.bin', info.sha256Hex ?? ''), 'targets/a/file.bin');
    await rejectsWith(client.findTarget('deep/x', signal), 'TARGET_UNKNOWN');
    assert.deepEqual(
      requests.map((path) => path.slice('metadata/'.length)),
      ['2.root.json', '3.root.json', 'timestamp.json', 'snapshot.json', 'targets.json', 'one.json'],
    );

    // The next root turns them on again.
    nextRoot(repository, (root) => {
      root.consistent_snapshot = true;
    });
    repository.publish();
    requests.length = 0;
    await refresh(client);
    assert.deepEqual(requests.slice(-2), ['metadata/3.snapshot.json', 'metadata/3.targets.json']);
    assert.match(
      await client.locateTarget('a/file.bin', info.sha256Hex ?? ''),
      /^targets\/a\/[0-9a-f]{64}\.file\.bin$/,
    );
  });
}

test('a target is located by the trusted root alone, before any refresh', async () => {
  const { client, requests } = aClient(aRepository());
  assert.equal(await client.locateTarget('a b/x', 'd1'), 'targets/a%20b/d1.x');
  assert.deepEqual(requests, []);
});

test('5.4.3.1: an update that broke off after its timestamp is finished under the same timestamp', async () => {
  const repository = aRepository();
  const { client } = aClient(repository);
  await refresh(client);
  repository.publish();
  const path = `metadata/${repository.snapshot.version}.snapshot.json`;
  const bytes = repository.files.get(path) ?? Buffer.of();
  repository.files.delete(path);
  await rejectsWith(refresh(client), 'METADATA_MISSING');
  repository.files.set(path, bytes);
  assert.equal((await refresh(client)).snapshot.version, repository.snapshot.version);
});

const unsignedLengths: readonly (readonly [clause: string, role: 'snapshot' | 'targets', maxBytes: number])[] = [
  ['5.5.1', 'snapshot', metadataLimits.snapshotBytesMax],
  ['5.6.1', 'targets', metadataLimits.targetsBytesMax],
];

for (const [clause, role, maxBytes] of unsignedLengths) {
  test(`${clause}: a ${role} file without a signed length has a cap all the same, and is not parsed beyond it`, async () => {
    const repository = aRepository();
    publishBare(repository);
    const path = `metadata/2.${role}.json`;
    const whole = repository.files.get(path) ?? Buffer.of();
    const padded = (bytes: number) => Buffer.concat([whole, Buffer.alloc(bytes - whole.length, ' ')]);
    repository.files.set(path, padded(maxBytes + 1));
    const { client } = aClient(repository);
    await rejectsWith(refresh(client), 'FILE_TOO_LARGE');
    repository.files.set(path, padded(maxBytes));
    assert.equal((await refresh(client))[role].version, 2);
  });

  test(`${clause}: a signed length does not lift the cap of a ${role} file`, async () => {
    const repository = aRepository();
    repository[role].padding = 'x'.repeat(maxBytes);
    repository.publish();
    await rejectsWith(refresh(aClient(repository).client), 'FILE_TOO_LARGE');
  });
}

test('5.6.1: a delegated role longer than signed is refused before it is parsed', async () => {
  const repository = aRepository();
  const key = testKey('one');
  repository.targets.delegations = delegation('one', ['*'], key);
  repository.writeDelegated('one', {}, [key]);
  repository.publish();
  repository.files.set('metadata/1.one.json', Buffer.alloc(64 * 1024, ' '));
  const { client, files } = aClient(repository);
  await refresh(client);
  await rejectsWith(client.findTarget('x', signal), 'FILE_TOO_LARGE');
  assert.equal(files.stored.has('one.json'), false);
});

/** `targets` delegates a/ and b/ to A and B, both of which delegate to one `release`, each trusting another key. */
const aDiamond = (signers: readonly TestKey[]): TestRepository => {
  const repository = aRepository();
  const [a, b] = [testKey('A'), testKey('B')];
  repository.targets.delegations = {
    keys: keysOf([a, b]),
    roles: [
      { name: 'A', paths: ['a/*'], terminating: false, ...roleOf([a]) },
      { name: 'B', paths: ['b/*'], terminating: false, ...roleOf([b]) },
    ],
  };
  const listed = { length: 1, hashes: { sha256: sha256Hex(Buffer.from('x')) } };
  repository.writeDelegated('A', { delegations: delegation('release', ['a/*'], testKey('release of A')) }, [a]);
  repository.writeDelegated('B', { delegations: delegation('release', ['b/*'], testKey('release of B')) }, [b]);
  repository.writeDelegated('release', { targets: { 'a/x': listed, 'b/x': listed } }, signers);
  repository.publish();
  return repository;
};

test('5.6.3: a cached delegated role is verified against its current delegator, in this run and the next', async () => {
  const repository = aDiamond([testKey('release of A')]);
  const { client, files } = aClient(repository);
  await refresh(client);
  assert.equal((await client.findTarget('a/x', signal)).lengthBytes, 1);
  await rejectsWith(client.findTarget('b/x', signal), 'METADATA_SIGNATURE_INVALID');
  const next = aClient(repository, files);
  await refresh(next.client);
  await rejectsWith(next.client.findTarget('b/x', signal), 'METADATA_SIGNATURE_INVALID');
  // What A trusts was not thrown away over it.
  next.requests.length = 0;
  assert.equal((await next.client.findTarget('a/x', signal)).lengthBytes, 1);
  assert.deepEqual(next.requests, []);
});

test('5.6.3: a role that two delegators trust is found through either', async () => {
  const { client } = aClient(aDiamond([testKey('release of A'), testKey('release of B')]));
  await refresh(client);
  for (const path of ['a/x', 'b/x']) assert.equal((await client.findTarget(path, signal)).lengthBytes, 1);
});

test('5.6.3: a delegator that takes its trust away is obeyed although the role’s file is the same', async () => {
  const repository = aRepository();
  const old = testKey('one');
  repository.targets.delegations = delegation('one', ['a/*'], old);
  repository.writeDelegated('one', { targets: { 'a/x': { length: 1, hashes: { sha256: '0'.repeat(64) } } } }, [old]);
  repository.publish();
  const { client } = aClient(repository);
  await refresh(client);
  assert.equal((await client.findTarget('a/x', signal)).lengthBytes, 1);
  repository.targets.delegations = delegation('one', ['a/*'], testKey('one 2'));
  repository.publish();
  await refresh(client);
  await rejectsWith(client.findTarget('a/x', signal), 'METADATA_SIGNATURE_INVALID');
});

test('5.6.5: a cached delegated role that has expired is not used', async () => {
  const repository = aRepository();
  const key = testKey('one');
  repository.targets.delegations = delegation('one', ['*'], key);
  const expires = '2026-06-01T00:00:00Z';
  repository.writeDelegated('one', { expires, targets: {} }, [key]);
  repository.publish();
  const { client } = aClient(repository);
  await refresh(client);
  await rejectsWith(client.findTarget('x', signal), 'TARGET_UNKNOWN');
  await client.refresh(Date.parse(expires) / 1000, signal);
  await rejectsWith(client.findTarget('x', signal), 'METADATA_EXPIRED');
});

for (const [clause, role] of [
  ['5.4.4', 'timestamp'],
  ['5.5.6', 'snapshot'],
  ['5.6.5', 'targets'],
] as const) {
  test(`${clause}: a ${role} file that expires while it is trusted ends a freeze, although the server offers nothing else`, async () => {
    const repository = aRepository();
    repository[role].expires = '2026-06-01T00:00:00Z';
    repository.publish();
    const { client, files } = aClient(repository);
    await refresh(client);
    const expiredS = Date.parse(repository[role].expires) / 1000;
    for (const frozen of [client, aClient(repository, files).client]) {
      await rejectsWith(frozen.refresh(expiredS, signal), 'METADATA_EXPIRED');
    }
  });
}

test('5.7.3: a target must have the signed length and every digest that is listed and known', async () => {
  const bytes = Buffer.from('contents');
  const digests = (text: string, algorithm: string) => createHash(algorithm).update(text).digest('hex');
  const good = { sha256: digests('contents', 'sha256'), sha512: digests('contents', 'sha512') };
  const target = (listed: Record<string, string>, lengthBytes = bytes.length) => ({
    path: 'x',
    lengthBytes,
    digests: listed,
    sha256Hex: null,
    urlPath: 'x',
  });
  assert.ok(isTarget(bytes, target(good)));
  assert.ok(isTarget(bytes, target({ sha512: good.sha512 })));
  assert.ok(isTarget(bytes, target({ sha256: good.sha256, crc32: 'ignored' })));
  assert.ok(!isTarget(bytes, target({ ...good, sha512: digests('other', 'sha512') })));
  assert.ok(!isTarget(bytes, target({ ...good, sha256: digests('other', 'sha256') })));
  assert.ok(!isTarget(bytes, target({ crc32: 'alone' })));
  assert.ok(!isTarget(bytes, target(good, bytes.length + 1)));
});

test('a digest of another length than its kind makes the file malformed', async () => {
  for (const hashes of [{ sha256: 'ab' }, { sha512: 'ab' }, { sha512: 'X'.repeat(128) }]) {
    const repository = aRepository();
    repository.targets.targets.x = { length: 1, hashes };
    repository.publish();
    await rejectsWith(refresh(aClient(repository).client), 'METADATA_MALFORMED');
  }
});

test('nothing of a chain is kept beyond the last root that verified', async () => {
  const repository = aRepository();
  nextRoot(repository);
  nextRoot(repository, undefined, [testKey('stranger')]);
  const { client, files } = aClient(repository);
  await rejectsWith(refresh(client), 'METADATA_SIGNATURE_INVALID');
  assert.deepEqual([...files.stored.keys()].sort(), ['history-2.root', 'root.json']);
  repository.files.set('metadata/3.root.json', signFile(repository.root, repository.signers.root));
  nextSnapshot(repository);
  assert.equal((await refresh(client)).root.version, 3);
});
