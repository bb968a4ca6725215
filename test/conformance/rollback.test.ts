// The client under test on versions: none falls, no role disappears, and a repository that was driven ahead recovers by new
// keys (TUF 5.3.11).

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type TestRepository, testKey } from '../support/tuf-repository.ts';
import { aDevice, aSettledDevice } from './bench.ts';
import { nextSnapshot, publishBare, rotate } from './publishing.ts';

const forms: readonly (readonly [name: string, publish: (repository: TestRepository) => void])[] = [
  ['by version alone', publishBare],
  ['with length and digests', (repository) => repository.publish()],
];

describe('conformance: rollback', { concurrency: 2 }, () => {
  test('5.4.3.1: an older timestamp is refused', async (t) => {
    const bench = await aSettledDevice(t);
    const { repository } = bench;
    const old = repository.files.get('metadata/timestamp.json') ?? Buffer.of();
    repository.publish();
    assert.equal(await bench.refresh(), 0);
    repository.files.set('metadata/timestamp.json', old);
    assert.equal(await bench.refresh(), 1);
    assert.equal((await bench.trusted()).timestamp, 2);
    assert.equal(bench.asked().at(-1), 'timestamp.json');
  });

  for (const [form, publish] of forms) {
    test(`5.4.3.2: an older snapshot, listed ${form}, is refused before it is asked for`, async (t) => {
      const bench = await aDevice(t);
      const { repository } = bench;
      publish(repository);
      assert.equal(await bench.refresh(), 0);
      repository.snapshot.version = 0;
      publish(repository);
      assert.equal(await bench.refresh(), 1);
      assert.deepEqual(await bench.trusted(), { root: 1, timestamp: 2, snapshot: 2, targets: 2 });
      assert.equal(bench.asked().at(-1), 'timestamp.json');
    });

    test(`5.5.5: older targets, listed ${form}, are refused`, async (t) => {
      const bench = await aDevice(t);
      const { repository } = bench;
      publish(repository);
      assert.equal(await bench.refresh(), 0);
      repository.targets.version = 0;
      publish(repository);
      assert.equal(await bench.refresh(), 1);
      assert.deepEqual(await bench.trusted(), { root: 1, timestamp: 3, snapshot: 2, targets: 2 });
    });
  }

  test('5.5.5: a role that disappears from the snapshot is refused', async (t) => {
    const bench = await aDevice(t);
    const { repository } = bench;
    repository.writeDelegated('delegated', {}, [testKey('delegated')]);
    repository.publish();
    assert.equal(await bench.refresh(), 0);
    delete repository.snapshot.meta['delegated.json'];
    nextSnapshot(repository);
    assert.equal(await bench.refresh(), 1);
    assert.equal((await bench.trusted()).snapshot, 2);
  });

  test('5.3.11: a new snapshot key lets targets fall and roles go', async (t) => {
    const bench = await aDevice(t);
    const { repository } = bench;
    repository.writeDelegated('delegated', {}, [testKey('delegated')]);
    repository.targets.version = 99;
    repository.publish();
    assert.equal(await bench.refresh(), 0);
    assert.equal((await bench.trusted()).targets, 100);
    rotate(repository, { snapshot: [testKey('snapshot 2')] });
    repository.targets.version = 0;
    delete repository.snapshot.meta['delegated.json'];
    repository.publish();
    assert.equal(await bench.refresh(), 0);
    assert.equal((await bench.trusted()).targets, 1);
  });

  test('5.3.11: new keys of snapshot and timestamp let the snapshot fall', async (t) => {
    const bench = await aDevice(t);
    const { repository } = bench;
    repository.snapshot.version = 99;
    repository.publish();
    assert.equal(await bench.refresh(), 0);
    assert.equal((await bench.trusted()).snapshot, 100);
    rotate(repository, { snapshot: [testKey('snapshot 2')], timestamp: [testKey('timestamp 2')] });
    repository.snapshot.version = 0;
    repository.publish();
    assert.equal(await bench.refresh(), 0);
    assert.equal((await bench.trusted()).snapshot, 1);
  });

  test('5.3.11: a new timestamp key lets the timestamp fall', async (t) => {
    const bench = await aDevice(t);
    const { repository } = bench;
    repository.timestamp.version = 99;
    repository.publish();
    assert.equal(await bench.refresh(), 0);
    assert.equal((await bench.trusted()).timestamp, 100);
    rotate(repository, { timestamp: [testKey('timestamp 2')] });
    repository.timestamp.version = 0;
    repository.publish();
    assert.equal(await bench.refresh(), 0);
    assert.equal((await bench.trusted()).timestamp, 1);
  });
});
