// The executable that the public conformance suite is given: a process for each command, with nothing between them but files.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { aBench, runExecutable } from './bench.ts';

test('the executable initialises, refreshes and downloads, and fails where the client refuses', async (t) => {
  const bench = await aBench(t, undefined, runExecutable);
  const { repository } = bench;
  assert.equal(await bench.init(), 0);
  assert.equal(await bench.refresh(), 0);
  assert.deepEqual(await bench.trusted(), { root: 1, timestamp: 1, snapshot: 1, targets: 1 });
  assert.equal(await bench.download('hello.txt'), 0);
  assert.deepEqual(await bench.downloaded(), ['hello']);

  const old = repository.files.get('metadata/timestamp.json') ?? Buffer.of();
  repository.publish();
  assert.equal(await bench.download('no such target'), 1);
  assert.deepEqual(await bench.trusted(), { root: 1, timestamp: 2, snapshot: 2, targets: 2 });
  repository.files.set('metadata/timestamp.json', old);
  assert.equal(await bench.refresh(), 1);
  assert.deepEqual(await bench.trusted(), { root: 1, timestamp: 2, snapshot: 2, targets: 2 });
  assert.deepEqual(await bench.downloaded(), ['hello']);
});

test('the executable fails for what is no command', async () => {
  assert.equal(await runExecutable(['--metadata-dir', 'nowhere', 'frobnicate']), 1);
});
