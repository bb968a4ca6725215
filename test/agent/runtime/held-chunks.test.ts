import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createHeldChunks, type HeldSlot } from '../../../agent/runtime/held-chunks.ts';
import { createIndexing } from '../../../delta/indexing.ts';
import { indexOf, pieces } from '../../support/delta-bench.ts';

const table = createIndexing().decode(indexOf(pieces(['a', 5000], ['b', 5000])));
const none: HeldSlot['reader'] = {
  sizeBytes: 0,
  read: () => Promise.reject(new Error('not read')),
  close: () => Promise.resolve(),
};

test('misses speak against what they came from, and not against what the same slot holds besides', () => {
  const own: HeldSlot = { place: 'other', reader: none, table, matches: Int32Array.of(0, -1) };
  const before: HeldSlot = { place: 'other', reader: none, table, matches: Int32Array.of(-1, 1) };
  const held = createHeldChunks(table, [own, before]);
  const second = held.find(1) ?? assert.fail();
  const given = Array.from({ length: 8 }, () => held.miss(second));
  assert.deepEqual(given, [...Array.from({ length: 7 }, () => false), true]);
  assert.equal(held.find(1), null);
  assert.deepEqual(held.find(0), { place: 'other', holding: 0, offsetBytes: 0 });
});
