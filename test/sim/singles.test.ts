// Every life with one fault.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runBatch } from './batch.ts';

for (const scenario of ['update', 'sick'] as const) {
  test(`no single fault breaks an invariant in the scenario '${scenario}'`, async () => {
    const tally = await runBatch({ kind: 'singles', scenario, seed: 1 }, 1);
    assert.deepEqual(tally.findings, []);
    assert.ok(tally.lives > 500, `${tally.lives} lives`);
  });
}
