// A start, from what the device shows and what the store remembers: every combination that a cut can leave.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decide } from '../../../agent/core/decide.ts';
import type { Decision } from '../../../agent/core/decision.ts';
import type { DeviceFacts } from '../../../agent/core/events.ts';
import { unmetConditions } from '../../../agent/core/select.ts';
import type { State } from '../../../agent/core/state.ts';
import {
  aBoot,
  aMoment,
  aPolicy,
  aRecord,
  aRelease,
  aStaged,
  aState,
  aTrialBoot,
  someFacts,
} from '../../support/builders.ts';

const start = (stored: State | null, facts: Partial<DeviceFacts>, policy = aPolicy()): Decision =>
  decide(stored, { kind: 'started', facts: someFacts(facts) }, aMoment(), policy);

const kinds = (decision: Decision): string[] => decision.effects.map((effect) => effect.kind);
const types = (decision: Decision): string[] => decision.history.map((entry) => entry.type);

const both = { a: aRecord(1), b: aRecord(2) };
const failedB = aBoot({ slots: { a: { state: 'good', triesLeft: null }, b: { state: 'bad', triesLeft: 0 } } });
const rebootingTo = aState({
  phase: { kind: 'rebooting', slot: 'b', sinceMs: 0 },
  staged: aStaged({ isActivated: true, reboots: 1 }),
  records: both,
});

test('a pending slot that runs is assessed', () => {
  const decision = start(rebootingTo, { bootId: 'boot-2', boot: aTrialBoot('b'), records: both });
  assert.equal(decision.state.phase.kind, 'assessing');
  assert.deepEqual(kinds(decision), ['assess']);
  assert.equal(decision.state.isBootedConfirmed, false);
});

test('a pending slot that runs is assessed without a database', () => {
  const decision = start(null, { bootId: 'boot-2', boot: aTrialBoot('b'), records: both });
  assert.deepEqual(kinds(decision), ['assess']);
  assert.equal(decision.state.confirmed?.version, '1.0');
  assert.equal(decision.state.sequenceFloor, 1);
});

test('a pending slot that runs is assessed though the store says idle', () => {
  const decision = start(aState({ bootId: 'boot-1' }), { bootId: 'boot-2', boot: aTrialBoot('b'), records: both });
  assert.deepEqual(kinds(decision), ['assess']);
});

test('a restart of the service does not confirm the trial and keeps its deadline', () => {
  const stored = aState({
    phase: { kind: 'assessing', sinceMs: aMoment().monoMs - 20_000 },
    booted: 'b',
    isBootedConfirmed: false,
    staged: aStaged({ isActivated: true, trialBoots: 1 }),
    records: both,
  });
  const decision = start(stored, { boot: aTrialBoot('b'), records: both });
  assert.deepEqual(types(decision), []);
  assert.equal(decision.state.staged?.trialBoots, 1);
  const [effect] = decision.effects;
  assert.equal(effect?.kind === 'assess' ? effect.deadlineMs : null, 40_000);
});

test('a trial is counted at every boot and given up after the last', () => {
  const stored = aState({ ...rebootingTo, staged: aStaged({ isActivated: true, trialBoots: 3 }) });
  const decision = start(stored, { bootId: 'boot-5', boot: aTrialBoot('b'), records: both });
  assert.deepEqual(kinds(decision), ['revert']);
  assert.equal(decision.state.denylist[0]?.release.version, '1.1');
});

test('a revert that was cut short goes on', () => {
  const stored = aState({
    ...rebootingTo,
    staged: aStaged({ isActivated: true, trialBoots: 1, failureReason: 'app: exit 1' }),
  });
  const decision = start(stored, { bootId: 'boot-2', boot: aTrialBoot('b'), records: both });
  assert.deepEqual(kinds(decision), ['revert']);
});

test('a denied release on trial is left at once', () => {
  const denylist = [{ release: aRecord(2).release, reason: 'TEST', timeMs: 0 }];
  const decision = start(aState({ denylist }), { bootId: 'boot-2', boot: aTrialBoot('b'), records: both });
  assert.deepEqual(kinds(decision), ['revert']);
});

test('a confirmation whose record was lost is recorded', () => {
  const stored = aState({ ...rebootingTo, phase: { kind: 'confirming' }, booted: 'b' });
  const good = aBoot({
    booted: 'b',
    primary: 'b',
    slots: { a: { state: 'good', triesLeft: null }, b: { state: 'good', triesLeft: null } },
  });
  const decision = start(stored, { boot: good, records: both });
  assert.deepEqual(types(decision), ['confirmed']);
  assert.equal(decision.state.confirmed?.version, '1.1');
  assert.equal(decision.state.sequenceFloor, 2);
  assert.equal(decision.state.staged, null);
});

test('a confirmed release of a new epoch sets the floor anew, so that its successors are taken', () => {
  const good = aBoot({ booted: 'b', primary: 'b', slots: { ...failedB.slots, b: { state: 'good', triesLeft: null } } });
  const stored = aState({
    ...rebootingTo,
    sequenceFloor: 100,
    staged: aStaged({ isActivated: true, floorEpoch: 1, rollbackFloor: 1 }),
  });
  const { state } = start(stored, { boot: good, records: both });
  assert.deepEqual([state.floorEpoch, state.sequenceFloor], [1, 2]);
  assert.deepEqual(unmetConditions(aRelease({ sequence: 3, floorEpoch: 1 }), state, aMoment(), aPolicy(), true), []);
});

test('a trial that the bootloader gave up is denied and retired', () => {
  const decision = start(rebootingTo, { bootId: 'boot-4', boot: failedB, records: both });
  assert.deepEqual(types(decision), ['started', 'rolled-back', 'denied']);
  assert.deepEqual(kinds(decision), ['retire']);
  assert.equal(decision.state.phase.kind, 'idle');
  assert.equal(decision.state.records.b?.status, 'denied');
});

test('a denied release that waits to be started is retired, not started', () => {
  const denylist = [{ release: aRecord(2).release, reason: 'app: exit 1', timeMs: 0 }];
  const left = start(aState({ denylist }), { boot: aTrialBoot('a'), records: both });
  assert.deepEqual([kinds(left), left.state.phase.kind, left.state.staged], [['retire'], 'idle', null]);
  const b = aRecord(2, { status: 'denied', reason: 'app: exit 1' });
  const lost = start(null, { boot: aTrialBoot('a'), records: { ...both, b } });
  assert.deepEqual([kinds(lost), lost.state.phase.kind], [['retire'], 'idle']);
});

test('the reason of a failed health check outlives the reboot', () => {
  const stored = aState({
    ...rebootingTo,
    denylist: [{ release: aRecord(2).release, reason: 'app: exit 1', timeMs: 0 }],
    staged: aStaged({ isActivated: true, failureReason: 'app: exit 1' }),
  });
  const decision = start(stored, { bootId: 'boot-3', boot: failedB, records: both });
  assert.deepEqual(types(decision), ['started', 'rolled-back']);
  assert.equal(decision.history[1]?.reason, 'app: exit 1');
  assert.equal(decision.state.denylist.length, 1);
});

test('an activated slot that was never tried is tried again', () => {
  const decision = start(rebootingTo, { bootId: 'boot-2', boot: aTrialBoot('a', 3), records: both });
  assert.deepEqual(kinds(decision), ['reboot']);
  assert.equal(decision.state.staged?.reboots, 2);
  assert.equal(decision.state.denylist.length, 0);
});

test('reboots that never start the new system come to an end', () => {
  const stored = aState({ ...rebootingTo, staged: aStaged({ isActivated: true, reboots: 3 }) });
  const decision = start(stored, { bootId: 'boot-2', boot: aTrialBoot('a', 3), records: both });
  assert.deepEqual(kinds(decision), ['retire']);
  assert.equal(decision.state.denylist[0]?.release.version, '1.1');
});

test('a flip that did not happen is done again, after verifying again', () => {
  const stored = aState({ ...rebootingTo, phase: { kind: 'activating', step: 'flip' }, staged: aStaged() });
  const decision = start(stored, { bootId: 'boot-2', boot: failedB, records: both });
  assert.deepEqual(kinds(decision), ['verify']);
  assert.equal(decision.state.denylist.length, 0);
});

test('a flip whose result was lost leads to the reboot', () => {
  const stored = aState({ ...rebootingTo, phase: { kind: 'activating', step: 'flip' }, staged: aStaged() });
  const decision = start(stored, { boot: aTrialBoot('a', 3), records: both });
  assert.deepEqual(kinds(decision), ['reboot']);
});

test('an install that was cut short asks the server at once', () => {
  const release = aRelease();
  const stored = aState({
    phase: { kind: 'fetching', step: 'write', slot: 'b', release, isForced: false },
    nextPollMs: 9e9,
  });
  const decision = start(stored, {});
  assert.equal(decision.state.phase.kind, 'idle');
  assert.ok(decision.state.nextPollMs <= aMoment().monoMs + 30_000);
});

test('a restart of the service keeps the backoff', () => {
  const decision = start(aState({ failures: 4, nextPollMs: 7_000_000 }), {});
  assert.equal(decision.state.nextPollMs, 7_000_000);
});

test('a lost database keeps a failed release denied, from the slot itself', () => {
  const decision = start(null, { boot: failedB, records: both });
  assert.deepEqual(
    decision.state.denylist.map((entry) => entry.release.version),
    ['1.1'],
  );
});

test('a lost database keeps a denied release denied, with its reason', () => {
  const records = { a: aRecord(1), b: aRecord(2, { status: 'denied', reason: 'app: exit 1' }) };
  const decision = start(null, { boot: failedB, records });
  assert.equal(decision.state.denylist[0]?.reason, 'app: exit 1');
});

test('a lost database denies nothing that was only being written', () => {
  const records = { a: aRecord(1), b: aRecord(2, { status: 'writing' }) };
  assert.deepEqual(start(null, { boot: failedB, records }).state.denylist, []);
});

test('a lost database does not undo an activation', () => {
  const decision = start(null, { boot: aTrialBoot('a', 3), records: both });
  assert.deepEqual(kinds(decision), ['reboot']);
});

test('a running slot that is marked bad is left for the good one', () => {
  const boot = aBoot({
    booted: 'b',
    primary: 'a',
    slots: { a: { state: 'good', triesLeft: null }, b: { state: 'bad', triesLeft: 0 } },
  });
  const decision = start(null, { bootId: 'boot-2', boot, records: both });
  assert.deepEqual(kinds(decision), ['reboot']);
  assert.equal(decision.state.phase.kind, 'reverting');
});

test('a running slot that is marked bad stays when there is no other', () => {
  const boot = aBoot({ booted: 'b', slots: { a: { state: 'bad', triesLeft: 0 }, b: { state: 'bad', triesLeft: 0 } } });
  assert.deepEqual(kinds(start(null, { bootId: 'boot-2', boot, records: both })), ['assess']);
});

test('a bootloader that chose the older good slot is believed and named, and the floor stays', () => {
  const stored = aState({ booted: 'b', confirmed: aRecord(2).release, sequenceFloor: 2, records: both });
  const good = aBoot({ slots: { a: { state: 'good', triesLeft: null }, b: { state: 'good', triesLeft: null } } });
  const decision = start(stored, { bootId: 'boot-2', boot: good, records: both });
  assert.deepEqual(types(decision), ['started', 'rolled-back']);
  assert.equal(decision.state.confirmed?.version, '1.0');
  assert.equal(decision.state.sequenceFloor, 2);
});

test('a factory slot without a record is what its image says it is', () => {
  const facts = { records: { a: null, b: null }, bootedRelease: aRecord(1).release };
  const decision = start(null, facts);
  assert.deepEqual(decision.state.confirmed, aRecord(1).release);
  assert.equal(decision.state.sequenceFloor, 1);
  assert.equal(decision.history.at(-1)?.version, '1.0');
});

test('where neither system is known as good, one reboot each long pause leads to the other one', () => {
  const policy = aPolicy();
  const stored = aState({
    phase: { kind: 'reverting', step: 'flip', sinceMs: 0, reason: 'app: exit 1' },
    booted: 'b',
    isBootedConfirmed: false,
    records: both,
    staged: aStaged({ isActivated: true, trialBoots: 1, failureReason: 'app: exit 1' }),
    denylist: [1, 2].map((sequence) => ({ release: aRecord(sequence).release, reason: 'TEST', timeMs: 0 })),
  });
  const failure = { code: 'NO_ROLLBACK_TARGET', class: 'policy', message: 'TEST' } as const;
  const refused = { kind: 'revert', ok: false, plan: stored.plan, failure, fetchedBytes: 0 } as const;
  const halted = decide(stored, { kind: 'effect-done', done: refused }, aMoment(), policy);
  assert.equal(halted.state.phase.kind, 'halted');
  const pauseEndMs = halted.state.staged?.notBeforeMs ?? 0;
  const tick = (monoMs: number) => decide(halted.state, { kind: 'tick' }, aMoment({ monoMs }), policy);
  assert.deepEqual(kinds(tick(pauseEndMs - 1)), ['assess']);
  assert.deepEqual(kinds(tick(pauseEndMs)), ['reboot']);
});

test('results of the process before are stale', () => {
  assert.ok(start(aState({ plan: 41 }), {}).state.plan > 41);
});
