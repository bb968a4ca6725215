// Marking a slot bad, and a rollback that looks before it leaps: what is remembered, what a cut in the middle leaves.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decide } from '../../../agent/core/decide.ts';
import type { Decision } from '../../../agent/core/decision.ts';
import type { EffectDone } from '../../../agent/core/effects.ts';
import type { Command, DeviceFacts, Event } from '../../../agent/core/events.ts';
import type { State } from '../../../agent/core/state.ts';
import type { BootStatus } from '../../../agent/core/types.ts';
import { aBoot, aMoment, aPolicy, aRecord, aStaged, aState, someFacts } from '../../support/builders.ts';

const run = (state: State | null, event: Event): Decision => decide(state, event, aMoment(), aPolicy());
const order = (state: State, command: Command, boot?: BootStatus): Decision =>
  run(state, { kind: 'command', command, ...(boot === undefined ? {} : { boot }) });
const done = (state: State, kind: 'revert' | 'retire' | 'verify'): Decision =>
  run(state, {
    kind: 'effect-done',
    done: { kind, ok: true, plan: state.plan, value: kind === 'verify' ? aRecord(1) : null } as EffectDone,
  });
const failed = (state: State, kind: 'revert' | 'verify', cls: 'policy' | 'device'): Decision =>
  run(state, {
    kind: 'effect-done',
    done: {
      kind,
      ok: false,
      plan: state.plan,
      fetchedBytes: 0,
      failure: { code: 'SLOT_IO', class: cls, message: 'TEST' },
    },
  });

const good = { state: 'good', triesLeft: null } as const;
const bad = { state: 'bad', triesLeft: 0 } as const;
/** 1.1 runs in slot a; 1.0 is in slot b, the way back. */
const updated = aState({ records: { a: aRecord(2), b: aRecord(1) }, confirmed: aRecord(2).release, sequenceFloor: 2 });
const markRunning: Command = { command: 'mark-bad', slot: 'a', reason: 'modem' };
const reason = 'A technician marked it bad: modem';
const deniedOf = ({ denylist }: State) => denylist.map((entry) => [entry.release.version, entry.reason]);
const kinds = ({ effects }: Decision) => effects.map(({ kind }) => kind);
const factsOf = (over: Partial<BootStatus>, bootId = 'boot-1'): DeviceFacts =>
  someFacts({ bootId, boot: aBoot(over), records: { a: aRecord(2), b: aRecord(1) } });

test('the running slot is not called confirmed from the moment that it is being marked', () => {
  const marking = order(updated, markRunning);
  assert.equal(marking.state.isBootedConfirmed, false);
  const left = done(marking.state, 'revert').state;
  assert.deepEqual([left.phase.kind, left.isBootedConfirmed], ['leaving', false]);
  assert.deepEqual(deniedOf(left), [['1.1', reason]]);
});

test('it stays refused where the bootloader does not hold the other slot as good', () => {
  const refused = order(updated, markRunning, aBoot({ slots: { a: good, b: { state: 'pending', triesLeft: 2 } } }));
  assert.equal(refused.reply?.isAccepted === false && refused.reply.code, 'NO_ROLLBACK_TARGET');
  assert.equal(refused.state, updated);
});

test('it is refused where what would be left to boot has failed here', () => {
  const denylist = [{ release: aRecord(1).release, reason: 'dead bus', timeMs: 0 }];
  const refused = order({ ...updated, denylist }, markRunning);
  assert.match(refused.reply?.message ?? '', /slot b holds 1\.0, which is denied: dead bus/i);
});

test('a bootloader that refuses leaves everything as it was; one that fails makes the running system prove itself', () => {
  const marking = order(updated, markRunning).state;
  const refused = failed(marking, 'revert', 'policy');
  assert.deepEqual([refused.state.phase.kind, refused.state.isBootedConfirmed], ['idle', true]);
  assert.deepEqual(refused.state.denylist, []);
  const unknown = failed(marking, 'revert', 'device');
  assert.deepEqual([unknown.state.phase.kind, kinds(unknown)], ['assessing', ['assess']]);
});

test('a marking that was cut short is done again after the start, on the slot that was meant', () => {
  const stored = order(updated, markRunning).state;
  for (const [what, facts] of [
    ['before the write', factsOf({ slots: { a: good, b: good } })],
    ['after the write', factsOf({ slots: { a: bad, b: good }, primary: 'b' })],
  ] as const) {
    const resumed = run(stored, { kind: 'started', facts });
    assert.deepEqual(kinds(resumed), ['revert'], what);
  }
  const elsewhere = factsOf({ booted: 'b', primary: 'b', slots: { a: bad, b: good } }, 'boot-2');
  const left = run(stored, { kind: 'started', facts: elsewhere });
  assert.deepEqual(kinds(left), ['retire']);
  assert.deepEqual(deniedOf(left.state), [['1.1', reason]]);
  assert.equal(left.state.confirmed?.version, '1.0');
});

test('a restart of otad does not reboot out of a slot that was marked bad; a new boot of it does', () => {
  const stored = done(order(updated, markRunning).state, 'revert').state;
  const boot = { slots: { a: bad, b: good }, primary: 'b' } as const;
  const restarted = run(stored, { kind: 'started', facts: factsOf(boot) });
  assert.deepEqual([restarted.state.phase.kind, kinds(restarted)], ['leaving', []]);
  const again = run(stored, { kind: 'started', facts: factsOf(boot, 'boot-2') });
  assert.deepEqual(kinds(again), ['reboot']);
});

test('after the reboot the slot that was left is retired with the technician’s words', () => {
  const stored = done(order(updated, markRunning).state, 'revert').state;
  const facts = factsOf({ booted: 'b', primary: 'b', slots: { a: bad, b: good } }, 'boot-2');
  const { state, effects, history } = run(stored, { kind: 'started', facts });
  assert.deepEqual(
    effects.map((effect) => effect.kind === 'retire' && [effect.slot, effect.reason]),
    [['a', reason]],
  );
  assert.ok(history.some((entry) => entry.type === 'rolled-back' && entry.reason === reason));
  assert.deepEqual([state.confirmed?.version, state.isBootedConfirmed], ['1.0', true]);
});

test('marking the other slot drops what was staged in it, and denies it before the bootloader is told', () => {
  const staged = aState({ phase: { kind: 'staged' }, staged: aStaged(), records: { a: aRecord(1), b: aRecord(2) } });
  const { state } = order(staged, { command: 'mark-bad', slot: null, reason: 'modem' });
  assert.equal(state.staged, null);
  assert.deepEqual(deniedOf(state), [['1.1', reason]]);
  assert.equal(done(state, 'retire').state.records.b?.status, 'denied');
});

const onTrial = aState({
  phase: { kind: 'assessing', sinceMs: 7 },
  booted: 'b',
  isBootedConfirmed: false,
  records: { a: aRecord(1), b: aRecord(2) },
  staged: aStaged({ isActivated: true, trialBoots: 1 }),
});

test('a rollback reads its target back and writes nothing to it, on a confirmed system and during a trial', () => {
  for (const state of [updated, onTrial]) {
    const { effects } = order(state, { command: 'rollback', reason: 'modem' });
    assert.deepEqual(
      effects.map((effect) => effect.kind === 'verify' && [effect.isLookOnly, effect.rootHex[0]]),
      [[true, '1']],
    );
  }
});

test('a trial whose way back does not verify goes on, with what is left of its time', () => {
  const looking = order(onTrial, { command: 'rollback', reason: 'modem' });
  assert.deepEqual(looking.state.denylist, []);
  const kept = failed(looking.state, 'verify', 'device');
  assert.deepEqual(kept.state.phase, { kind: 'assessing', sinceMs: 7 });
  assert.deepEqual(kept.state.denylist, []);
  assert.deepEqual(
    kept.history.map(({ type }) => type),
    ['rollback-failed'],
  );
  const left = done(looking.state, 'verify');
  assert.deepEqual(kinds(left), ['revert']);
  assert.deepEqual(deniedOf(left.state), [['1.1', 'A technician rolled back: modem']]);
});

test('a trial that fails by itself goes back without a read of the other slot', () => {
  const results = [{ name: 'app', isRequired: true, isPassed: false, reason: 'exit 1', durationMs: 1 }];
  const done: EffectDone = { kind: 'assess', ok: true, plan: onTrial.plan, value: { results } };
  assert.deepEqual(kinds(run(onTrial, { kind: 'effect-done', done })), ['revert']);
});

test('a rollback that cannot be verified changes nothing and asks for attention', () => {
  const looking = order(updated, { command: 'rollback', reason: 'modem' }).state;
  const { state, history } = failed(looking, 'verify', 'device');
  assert.deepEqual([state.phase.kind, state.staged, state.isBootedConfirmed], ['idle', null, true]);
  assert.equal(state.attention?.message, 'TEST');
  assert.deepEqual(state.denylist, []);
  assert.deepEqual(
    history.map(({ type }) => type),
    ['rollback-failed'],
  );
  assert.equal(state.nextPollMs, updated.nextPollMs, 'it is no failure of an update');
});

test('what was said for a rollback is what its release is denied for', () => {
  const looking = order(updated, { command: 'rollback', reason: 'modem' }).state;
  assert.equal(looking.staged?.request, 'A technician rolled back: modem');
});
