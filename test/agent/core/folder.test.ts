// An order to install from a folder: which source each step asks, and what a failure of it leaves alone.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decide } from '../../../agent/core/decide.ts';
import type { Decision } from '../../../agent/core/decision.ts';
import { type ErrorCode, errorCodes, type Failure } from '../../../agent/core/errors.ts';
import type { Event } from '../../../agent/core/events.ts';
import type { State } from '../../../agent/core/state.ts';
import { aMoment, aPolicy, aRelease, aState } from '../../support/builders.ts';

const folder = { id: '00000000-0000-4000-8000-000000000001', path: '/media/stick' };

const step = (state: State, event: Event): Decision => decide(state, event, aMoment(), aPolicy());
const order = (state: State): Decision => step(state, { kind: 'command', command: { command: 'install', folder } });

const found = ({ state }: Decision): Decision =>
  step(state, {
    kind: 'effect-done',
    done: { kind: 'check', ok: true, plan: state.plan, value: { kind: 'release', release: aRelease({ sequence: 3 }) } },
  });

const invalidated = ({ state }: Decision): Decision =>
  step(state, { kind: 'effect-done', done: { kind: 'invalidate', ok: true, plan: state.plan, value: null } });

const failureOf = (code: ErrorCode): Failure => ({
  code,
  class: errorCodes[code].class,
  message: 'TEST',
});

const failed = ({ state }: Decision, kind: 'check' | 'write', failure: Failure): Decision =>
  step(state, { kind: 'effect-done', done: { kind, ok: false, plan: state.plan, failure, fetchedBytes: 0 } });

const folderOf = ({ effects }: Decision): unknown => effects.map((effect) => 'folder' in effect && effect.folder);

test('the folder goes from the order to the check, to the write and into the history', () => {
  const checking = order(aState());
  assert.deepEqual([checking.effects[0]?.kind, folderOf(checking)], ['check', [folder]]);
  const fetching = found(checking);
  assert.equal(fetching.history[0]?.reason, 'From the folder /media/stick.');
  const writing = invalidated(fetching);
  assert.deepEqual([writing.effects[0]?.kind, folderOf(writing)], ['write', [folder]]);
});

test('an order takes the place of a check at the servers, and is not answered by one', () => {
  const polling = step(aState(), { kind: 'command', command: { command: 'check' } });
  const checking = order(polling.state);
  assert.equal(checking.state.plan, polling.state.plan + 1);
  assert.deepEqual(folderOf(checking), [folder]);
  const other = step(checking.state, { kind: 'command', command: { command: 'install' } });
  assert.equal(other.reply?.isAccepted === false && other.reply.code, 'BUSY');
});

test('an install without a folder says nothing of one', () => {
  const checking = step(aState(), { kind: 'command', command: { command: 'install' } });
  assert.deepEqual(folderOf(checking), [false]);
  assert.equal(found(checking).history[0]?.reason, null);
});

test('a folder that fails changes neither the polls nor the count of failures, and is told each time', () => {
  const state = aState({ nextPollMs: 1e12, failures: 1 });
  for (const code of ['FOLDER_GONE', 'FOLDER_INVALID'] as const) {
    const once = failed(order(state), 'check', failureOf(code));
    const twice = failed(order(once.state), 'check', failureOf(code));
    assert.deepEqual([twice.state.nextPollMs, twice.state.failures], [1e12, 1]);
    assert.deepEqual(
      [once, twice].map(({ history }) => history[0]?.type),
      ['check-failed', 'check-failed'],
    );
    const fetching = invalidated(found(order(state)));
    const torn = failed(fetching, 'write', failureOf(code));
    assert.equal(torn.state.phase.kind, 'idle');
    assert.equal(torn.state.nextPollMs, fetching.state.nextPollMs);
    assert.equal(torn.state.installFailures, null);
    assert.equal(torn.history[0]?.type, 'install-failed');
  }
});

test('that no server is set is how a gateway leaves the factory, and no event', () => {
  const polled = failed(
    step(aState(), { kind: 'command', command: { command: 'check' } }),
    'check',
    failureOf('SERVER_UNSET'),
  );
  assert.deepEqual(polled.history, []);
  assert.equal(polled.state.lastCheck?.failure?.code, 'SERVER_UNSET');
  assert.doesNotMatch(polled.state.lastCheck?.reasons[0]?.sentence ?? '', /failed/);
  const other = failed(
    step(aState(), { kind: 'command', command: { command: 'check' } }),
    'check',
    failureOf('HTTP_TIMEOUT'),
  );
  assert.equal(other.history[0]?.type, 'check-failed');
});

test('the servers are not asked right behind a folder that failed: its outcome would be gone before it is read', () => {
  const decision = failed(order(aState({ nextPollMs: 0 })), 'check', failureOf('FOLDER_GONE'));
  assert.equal(decision.state.nextPollMs, aMoment().monoMs + aPolicy().backoffMinMs);
});

test('a slot that fails counts, whatever it was written from', () => {
  const torn = failed(invalidated(found(order(aState()))), 'write', failureOf('SLOT_IO'));
  assert.equal(torn.state.installFailures?.count, 1);
});
