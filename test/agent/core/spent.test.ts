// What the history says an install cost: each attempt by itself, and all attempts at one release together.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decide } from '../../../agent/core/decide.ts';
import type { Decision } from '../../../agent/core/decision.ts';
import type { Brought } from '../../../agent/core/effects.ts';
import { type ErrorCode, errorCodes } from '../../../agent/core/errors.ts';
import type { Event } from '../../../agent/core/events.ts';
import type { State } from '../../../agent/core/state.ts';
import { aMoment, aPolicy, aRecord, aRelease, aState, someFacts } from '../../support/builders.ts';

const mebibyte = 1024 * 1024;
const folder = { id: '00000000-0000-4000-8000-000000000001', path: '/media/stick' };
const step = (state: State, event: Event): Decision => decide(state, event, aMoment(), aPolicy());

/** The release of this sequence is found, and its slot made unbootable: it is being written. */
const writing = (from: State, sequence = 2, isFromFolder = false): State => {
  const place = isFromFolder ? { folder } : {};
  const { state: checking } = step(from, { kind: 'command', command: { command: 'install', ...place } });
  const value = { kind: 'release', release: aRelease({ sequence }) } as const;
  const found = step(checking, {
    kind: 'effect-done',
    done: { kind: 'check', ok: true, plan: checking.plan, value },
  }).state;
  assert.equal(found.phase.kind, 'fetching');
  const done = { kind: 'invalidate', ok: true, plan: found.plan, value: null } as const;
  return step(found, { kind: 'effect-done', done }).state;
};

const failing = (state: State, fetchedBytes: number, kind: 'write' | 'verify' = 'write'): Decision => {
  const code: ErrorCode = kind === 'write' ? 'HTTP_TRUNCATED' : 'SLOT_READBACK_MISMATCH';
  const failure = { code, class: errorCodes[code].class, message: 'TEST failed.' };
  return step(state, { kind: 'effect-done', done: { kind, ok: false, plan: state.plan, failure, fetchedBytes } });
};

const written = (state: State, over: Partial<Brought> = {}, sequence = 2): State => {
  const brought = { fetchedBytes: mebibyte, copiedBytes: 0, rebuiltBytes: 0, detour: null, ...over };
  const value = aRecord(sequence, { status: 'writing' });
  return step(state, { kind: 'effect-done', done: { kind: 'write', ok: true, plan: state.plan, value, brought } })
    .state;
};

const verified = (state: State, sequence = 2): Decision => {
  const value = aRecord(sequence, { status: 'verified' });
  return step(state, { kind: 'effect-done', done: { kind: 'verify', ok: true, plan: state.plan, value } });
};

const reasonOf = ({ history }: Decision, type: string): string | null | undefined =>
  history.find((entry) => entry.type === type)?.reason;

test('a failed attempt says what it had fetched, and the install what all attempts fetched together', () => {
  const first = failing(writing(aState()), 2 * mebibyte);
  assert.equal(reasonOf(first, 'install-failed'), 'TEST failed. 2.0 MiB came over the network.');
  const second = failing(writing(first.state), 512 * 1024);
  assert.equal(
    reasonOf(second, 'install-failed'),
    'TEST failed. 512.0 KiB came over the network. In all 2.5 MiB came over the network, in 2 attempts.',
  );
  const last = verified(written(writing(second.state), { copiedBytes: 3 * mebibyte, detour: 'patch: TEST' }));
  assert.equal(
    reasonOf(last, 'installed'),
    "1.0 MiB came over the network, 3.0 MiB were copied from this gateway's slots. In all 3.5 MiB came over the network, in 3 attempts. Left on the way: patch: TEST.",
  );
  assert.equal(last.state.installSpent, null, 'the next install begins at nothing');
});

test('an install in one attempt says its bytes once, and a failure without bytes none', () => {
  assert.equal(reasonOf(verified(written(writing(aState()))), 'installed'), '1.0 MiB came over the network.');
  assert.equal(reasonOf(failing(writing(aState()), 0), 'install-failed'), 'TEST failed.');
});

test('what failed stays known as it was: the sums are for the history alone', () => {
  const { state } = failing(writing(aState()), 2 * mebibyte);
  assert.match(state.lastCheck?.reasons[0]?.sentence ?? '', /failed: TEST failed\.$/);
});

test('the sum outlives a restart of the agent and a reboot', () => {
  const { state } = failing(writing(aState()), 2 * mebibyte);
  const stored = JSON.parse(JSON.stringify(state)) as State;
  for (const bootId of ['boot-1', 'boot-2']) {
    const { state: woken } = step(stored, { kind: 'started', facts: someFacts({ bootId }) });
    assert.deepEqual(woken.installSpent, {
      releaseId: aRelease({ sequence: 2 }).id,
      attempts: 1,
      fetchedBytes: 2 * mebibyte,
    });
  }
});

test('bytes of an attempt whose slot did not verify count once', () => {
  const unread = failing(written(writing(aState())), 0, 'verify');
  assert.equal(reasonOf(unread, 'install-failed'), 'TEST failed. In all 1.0 MiB came over the network, in 1 attempt.');
  const again = verified(written(writing(unread.state), { fetchedBytes: 1024 }));
  assert.equal(
    reasonOf(again, 'installed'),
    '1.0 KiB came over the network. In all 1.0 MiB came over the network, in 2 attempts.',
  );
});

test('another release begins its own sum', () => {
  const { state } = failing(writing(aState()), 2 * mebibyte);
  const other = failing(writing(state, 3), 1024);
  assert.equal(reasonOf(other, 'install-failed'), 'TEST failed. 1.0 KiB came over the network.');
  assert.deepEqual(other.state.installSpent?.fetchedBytes, 1024);
});

test('what came from a folder did not come over the network, and what did before is still told', () => {
  const { state } = failing(writing(aState()), 2 * mebibyte);
  const torn = failing(writing(state, 2, true), mebibyte);
  assert.deepEqual(torn.state.installSpent, state.installSpent);
  assert.equal(
    reasonOf(verified(written(writing(torn.state, 2, true))), 'installed'),
    '1.0 MiB came from the folder. In all 2.0 MiB came over the network, in 1 attempt.',
  );
});

test('a result that came too late is no attempt, and neither is a slot that could not be made unbootable', () => {
  const state = writing(aState());
  const late = failing(state, mebibyte).state;
  const failure = { code: 'SLOT_IO', class: 'device', message: 'TEST' } as const;
  const stale = { kind: 'write', ok: false, plan: state.plan - 1, failure, fetchedBytes: mebibyte } as const;
  assert.equal(step(late, { kind: 'effect-done', done: stale }).state, late);
  const before = { ...state, phase: { ...state.phase, step: 'invalidate' } } as State;
  const refused = { kind: 'invalidate', ok: false, plan: state.plan, failure, fetchedBytes: 0 } as const;
  assert.equal(step(before, { kind: 'effect-done', done: refused }).state.installSpent, null);
});
