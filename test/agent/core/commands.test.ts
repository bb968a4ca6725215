// What a technician's command does beyond the phase: what it drops, what it carries along, what it remembers.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decide } from '../../../agent/core/decide.ts';
import type { Decision } from '../../../agent/core/decision.ts';
import type { Command } from '../../../agent/core/events.ts';
import type { State } from '../../../agent/core/state.ts';
import { aBoot, aMoment, aPolicy, aRecord, aStaged, aState } from '../../support/builders.ts';

const bothGood = aBoot({ slots: { a: { state: 'good', triesLeft: null }, b: { state: 'good', triesLeft: null } } });
const command = (state: State, given: Command, boot = bothGood): Decision =>
  decide(state, { kind: 'command', command: given, boot }, aMoment(), aPolicy());

const kinds = (decision: Decision): string[] => decision.effects.map((effect) => effect.kind);

const checking = { kind: 'checking', isForced: false, halted: null } as const;
const updated = { records: { a: aRecord(2), b: aRecord(1) }, confirmed: aRecord(2).release, sequenceFloor: 2 };

test('an install asked for during a check makes that check one for an install', () => {
  const decision = command(aState({ phase: checking }), { command: 'install' });
  assert.deepEqual(decision.state.phase, { ...checking, isForced: true });
  assert.deepEqual(kinds(decision), []);
});

test('a rollback does not wait for a check', () => {
  const decision = command(aState({ ...updated, phase: checking }), { command: 'rollback', reason: null });
  assert.deepEqual(kinds(decision), ['verify']);
  assert.equal(decision.state.staged?.intent, 'rollback');
});

test('a rollback goes to no release that failed here', () => {
  const denylist = [{ release: aRecord(1).release, reason: 'TEST', timeMs: 0 }];
  const decision = command(aState({ ...updated, denylist }), { command: 'rollback', reason: null });
  assert.equal(decision.reply?.isAccepted === false && decision.reply.code, 'NO_ROLLBACK_TARGET');
});

test('a rollback goes to no slot that was only written', () => {
  const records = { a: aRecord(2), b: aRecord(1, { status: 'verified' }) };
  const decision = command(aState({ ...updated, records }), { command: 'rollback', reason: null });
  assert.equal(decision.reply?.isAccepted === false && decision.reply.code, 'NO_ROLLBACK_TARGET');
});

test('a rollback goes to no slot that the bootloader was never given, whatever its record says', () => {
  const boot = aBoot({ slots: { ...bothGood.slots, b: { state: 'bad', triesLeft: 0 } } });
  const decision = command(aState(updated), { command: 'rollback', reason: null }, boot);
  assert.equal(decision.reply?.isAccepted === false && decision.reply.code, 'NO_ROLLBACK_TARGET');
});

test('a reboot asked for by a person starts the count of reboots anew', () => {
  const failure = { code: 'REBOOT_INEFFECTIVE', class: 'device', message: 'TEST' } as const;
  const staged = aStaged({ isActivated: true, reboots: 3 });
  const decision = command(aState({ phase: { kind: 'halted', failure }, staged }), { command: 'reboot' });
  assert.deepEqual(kinds(decision), ['reboot']);
  assert.equal(decision.state.staged?.reboots, 1);
});

test('a reboot asked for by a person does not wait for window, hold or setting', () => {
  const state = aState({ phase: { kind: 'staged' }, staged: aStaged(), hold: { reason: null, sinceMs: 0 } });
  assert.deepEqual(kinds(command(state, { command: 'reboot' })), ['assess']);
});

test('a hold keeps its reason and its time', () => {
  const decision = command(aState(), { command: 'hold', reason: 'harvest' });
  assert.deepEqual(decision.state.hold, { reason: 'harvest', sinceMs: aMoment().wallMs });
  assert.equal(decision.history[0]?.reason, 'harvest');
});

test('undeny takes a version or an id, and only that release', () => {
  const denylist = [1, 2].map((sequence) => ({ release: aRecord(sequence).release, reason: 'TEST', timeMs: 0 }));
  for (const releaseId of ['1.1', 'gateway-2']) {
    const decision = command(aState({ denylist }), { command: 'undeny', releaseId });
    assert.deepEqual(
      decision.state.denylist.map((entry) => entry.release.version),
      ['1.0'],
    );
  }
});
