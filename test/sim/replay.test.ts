// A life can be lived again: from its seed, from its written form, and with its trace on.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createCatalogue } from './catalogue.ts';
import { type FaultKind, faultKinds, faultsAt, formatLife, parseLife, pointKinds } from './faults.ts';
import { live } from './life.ts';

const randomLife = (seed: number) => ({ seed, scenario: 'mixed', faults: null }) as const;

test('a seed gives the same life, call for call', async () => {
  for (const seed of [3, 11, 12]) {
    const first = await live(randomLife(seed), createCatalogue());
    const again = await live(randomLife(seed), createCatalogue(), true);
    assert.equal(again.hash, first.hash);
    assert.deepEqual(again.points, first.points);
    const third = await live(randomLife(seed), createCatalogue(), true);
    assert.deepEqual(third.lines, again.lines);
  }
});

test('what chance chose can be written down and replayed', async () => {
  for (const seed of [5, 6, 7, 8]) {
    const outcome = await live(randomLife(seed), createCatalogue());
    const text = formatLife({ ...outcome.life, faults: outcome.struck });
    const replayed = await live(parseLife(text), createCatalogue());
    assert.equal(replayed.hash, outcome.hash);
  }
});

test('other seeds give other lives', async () => {
  const catalogue = createCatalogue();
  const hashes = new Set<number>();
  for (let seed = 20; seed < 26; seed += 1) hashes.add((await live(randomLife(seed), catalogue)).hash);
  assert.equal(hashes.size, 6);
});

test('every fault can strike somewhere', () => {
  const reachable = new Set<FaultKind>(pointKinds.flatMap((point) => faultsAt(point)));
  assert.deepEqual([...reachable].sort(), [...faultKinds].sort());
});

test('a life that is not written right is refused', () => {
  for (const text of ['x', '1:nowhere:', '1:update:3.nothing', '1:update:a.kill']) {
    assert.throws(() => parseLife(text), RangeError);
  }
});
