import assert from 'node:assert/strict';
import { test } from 'node:test';
import { placeCut } from './lab/cut-plan.ts';

const legs = [
  { name: 'one', ms: 1000 },
  { name: 'two', ms: 8000 },
  { name: 'three', ms: 1000 },
];
const count = 10;
const places = (seed: number) => Array.from({ length: count }, (_, number) => placeCut(legs, seed, number, count));

test('each cut strikes in its own share of the update', () => {
  const starts = [0, 1000, 9000];
  for (const [number, { leg, afterMs }] of places(7).entries()) {
    const atMs = (starts[leg] ?? 0) + afterMs;
    assert.ok(atMs >= number * 1000 && atMs < (number + 1) * 1000, `cut ${number} at ${atMs} ms`);
  }
});

test('a seed gives the same cuts again, another one others', () => {
  assert.deepEqual(places(7), places(7));
  assert.notDeepEqual(places(7), places(8));
});

test('no cut falls behind the end of its leg', () => {
  for (const { leg, afterMs } of places(3)) assert.ok(afterMs <= (legs[leg]?.ms ?? 0));
});

test('an update that nobody has measured is cut at its beginning', () => {
  assert.deepEqual(placeCut([{ name: 'one', ms: 0 }], 1, 0, 1), { leg: 0, afterMs: 0 });
});
