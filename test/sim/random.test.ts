// Random lives: several releases, good and sick, up to a dozen faults each.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runBatch } from './batch.ts';
import { faultKinds } from './faults.ts';

test('no random life breaks an invariant', async () => {
  const tally = await runBatch({ kind: 'random', seed: 1, runs: 200 }, 1);
  assert.deepEqual(tally.findings, []);
  const seen = Object.keys(tally.injected).length;
  assert.ok(seen > faultKinds.length / 2, `only ${seen} of ${faultKinds.length} kinds of fault struck`);
});
