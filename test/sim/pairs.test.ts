// Every life with two faults of the paired kinds: one kind for each way to lose something.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runBatch } from './batch.ts';

test('no two faults break an invariant in an update', async () => {
  const tally = await runBatch({ kind: 'pairs', scenario: 'update', seed: 1, isEveryFault: false }, 1);
  assert.deepEqual(tally.findings, []);
  assert.ok(tally.lives > 3000, `${tally.lives} lives`);
});
