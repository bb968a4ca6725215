import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { openRunRecord } from './lab/run-record.ts';
import { noTally } from './lab/tally.ts';

const begun = { names: [], tally: noTally, ms: 0 };

test('a run goes on after the cases that have ended, on the same tree only and only when it is told to', async (context) => {
  const folder = await mkdtemp(join(tmpdir(), 'otad-run-'));
  context.after(() => rm(folder, { recursive: true }));
  const path = join(folder, 'runs/one.json');
  const first = await openRunRecord(path, 'tree', true);
  assert.deepEqual(first.earlier, begun);
  const tally = { ...noTally, cases: 2, failed: ['kept@u-boot'] };
  await first.note('rights@u-boot', { ...noTally, cases: 1 }, 100);
  await first.note('kept@u-boot', tally, 250);

  const next = await openRunRecord(path, 'tree', true);
  assert.deepEqual(next.earlier, { tree: 'tree', names: ['rights@u-boot', 'kept@u-boot'], tally, ms: 250 });
  await next.note('journal@u-boot', tally, 300);
  assert.equal((await openRunRecord(path, 'tree', true)).earlier.names.length, 3);
  assert.deepEqual((await openRunRecord(path, 'other', true)).earlier, begun);
  assert.deepEqual((await openRunRecord(path, 'tree', false)).earlier, begun);
  await writeFile(path, '{"tree": "tr');
  assert.deepEqual((await openRunRecord(path, 'tree', true)).earlier, begun);
});
