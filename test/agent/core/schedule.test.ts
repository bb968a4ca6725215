import assert from 'node:assert/strict';
import { test } from 'node:test';
import { firstPoll, nextPoll, nextWake, retryAt } from '../../../agent/core/schedule.ts';
import { aMoment, aPolicy, aStaged, aState } from '../../support/builders.ts';

const failure = { code: 'HTTP_STATUS', class: 'transient', message: 'TEST' } as const;

test('polls are spread around the interval', () => {
  const policy = aPolicy({ pollIntervalMs: 1000, pollJitter: 0.2 });
  const at = (random: number) => nextPoll(aMoment({ monoMs: 0, random }), policy);
  assert.deepEqual([at(0), at(0.5), at(1)], [900, 1000, 1100]);
});

test('the first poll comes soon, whatever the interval', () => {
  assert.ok(
    firstPoll(aMoment({ monoMs: 0, random: 0.999 }), aPolicy({ pollIntervalMs: 86_400_000, pollJitter: 1 })) <= 30_000,
  );
});

test('the backoff doubles up to its cap', () => {
  const policy = aPolicy({ backoffMinMs: 1000, backoffMaxMs: 8000 });
  const at = (failures: number) => retryAt(failures, failure, aMoment({ monoMs: 0, random: 1 }), policy);
  assert.deepEqual([1, 2, 3, 4, 5, 1000].map(at), [1000, 2000, 4000, 8000, 8000, 8000]);
});

test('a server that asks for a pause gets it, up to a day', () => {
  const policy = aPolicy({ backoffMinMs: 1000, backoffMaxMs: 8000 });
  const at = (retryAfterS: number) => retryAt(1, { ...failure, retryAfterS }, aMoment({ monoMs: 0 }), policy);
  assert.equal(at(120), 120_000);
  assert.equal(at(1e9), 86_400_000);
});

test('the runtime wakes for the poll', () => {
  assert.equal(nextWake(aState({ nextPollMs: 5_000_000 }), aMoment(), aPolicy()), 5_000_000);
});

test('the runtime looks again within a minute while a window is waited for', () => {
  const state = aState({ phase: { kind: 'staged' }, staged: aStaged(), nextPollMs: 9_000_000 });
  const closed = aMoment({ monoMs: 0, windows: { download: true, reboot: false } });
  assert.equal(nextWake(state, closed, aPolicy()), 60_000);
});

test('the runtime wakes to ask for a reboot again', () => {
  const state = aState({ phase: { kind: 'rebooting', slot: 'b', sinceMs: 1000 }, staged: aStaged() });
  assert.equal(nextWake(state, aMoment(), aPolicy({ rebootTimeoutMs: 500 })), 1500);
});

test('an effect that ends by itself needs no wake-up', () => {
  assert.equal(nextWake(aState({ phase: { kind: 'confirming' } }), aMoment(), aPolicy()), null);
});
