// The transition table: every phase x every event, in one place. A cell is the phase afterwards and the effects asked for;
// `.` means that nothing changes, `!CODE` that a command is refused, `~` that a command is accepted and the phase stays.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decide } from '../../../agent/core/decide.ts';
import type { EffectDone, EffectKind } from '../../../agent/core/effects.ts';
import type { ErrorClass, ErrorCode } from '../../../agent/core/errors.ts';
import type { Event } from '../../../agent/core/events.ts';
import type { Phase, State } from '../../../agent/core/state.ts';
import type { CheckResult } from '../../../agent/core/types.ts';
import { aMoment, aPolicy, aRecord, aRelease, aStaged, aState } from '../../support/builders.ts';
import { expectedTransitions } from './transition-table.ts';

const onTrial = (phase: Phase): State =>
  aState({
    phase,
    booted: 'b',
    isBootedConfirmed: false,
    records: { a: aRecord(1), b: aRecord(2) },
    staged: aStaged({ isActivated: true, trialBoots: 1 }),
  });

const halted: Phase = {
  kind: 'halted',
  failure: { code: 'REBOOT_INEFFECTIVE', class: 'device', message: 'TEST' },
};
const written = { a: aRecord(1), b: aRecord(2, { status: 'writing' }) };
const verified = { a: aRecord(1), b: aRecord(2, { status: 'verified' }) };
const release = aRelease({ sequence: 2 });

/** Held, so that `staged` rests; the ways out of it have tests of their own. */
const hold = { reason: 'TEST', sinceMs: 0 };

const states: Record<string, State> = {
  idle: aState({ records: { a: aRecord(2), b: aRecord(1) }, confirmed: aRecord(2).release, sequenceFloor: 2 }),
  checking: aState({ phase: { kind: 'checking', isForced: false, halted: null } }),
  'fetching/invalidate': aState({
    phase: { kind: 'fetching', step: 'invalidate', slot: 'b', release, isForced: false },
  }),
  'fetching/write': aState({ phase: { kind: 'fetching', step: 'write', slot: 'b', release, isForced: false } }),
  verifying: aState({ phase: { kind: 'verifying', slot: 'b', release, isForced: false }, records: written }),
  staged: aState({ phase: { kind: 'staged' }, staged: aStaged(), hold, records: verified }),
  'activating/verify': aState({ phase: { kind: 'activating', step: 'verify' }, staged: aStaged(), records: verified }),
  'activating/baseline': aState({
    phase: { kind: 'activating', step: 'baseline' },
    staged: aStaged(),
    records: verified,
  }),
  'activating/flip': aState({ phase: { kind: 'activating', step: 'flip' }, staged: aStaged(), records: verified }),
  rebooting: aState({
    phase: { kind: 'rebooting', slot: 'b', sinceMs: 0 },
    staged: aStaged({ isActivated: true, reboots: 1 }),
    records: { a: aRecord(1), b: aRecord(2) },
  }),
  assessing: onTrial({ kind: 'assessing', sinceMs: 0 }),
  confirming: onTrial({ kind: 'confirming' }),
  'reverting/verify': onTrial({ kind: 'reverting', step: 'verify', sinceMs: 0, reason: 'TEST' }),
  'reverting/flip': onTrial({ kind: 'reverting', step: 'flip', sinceMs: 0, reason: 'TEST' }),
  'reverting/reboot': onTrial({ kind: 'reverting', step: 'reboot', sinceMs: 0, reason: 'TEST' }),
  'marking/revert': aState({
    phase: { kind: 'marking', step: 'revert', slot: 'a', reason: 'TEST', wasConfirmed: true },
    isBootedConfirmed: false,
    records: { a: aRecord(2), b: aRecord(1) },
  }),
  'marking/retire': aState({
    phase: { kind: 'marking', step: 'retire', slot: 'b', reason: 'TEST', wasConfirmed: true },
    records: { a: aRecord(2), b: aRecord(1) },
  }),
  leaving: aState({
    phase: { kind: 'leaving' },
    isBootedConfirmed: false,
    records: { a: aRecord(2), b: aRecord(1) },
    staged: aStaged({ slot: 'a', isActivated: true, failureReason: 'TEST' }),
  }),
  halted: aState({ phase: halted }),
  'halted/unconfirmed': onTrial(halted),
};

const due = aMoment({ monoMs: 3_000_000 });
const early = aMoment({ monoMs: 1000 });

const check = (isPassed: boolean): CheckResult => ({
  name: 'app',
  isRequired: true,
  isPassed,
  reason: isPassed ? null : 'exit 1',
  durationMs: 5,
});

const ok = (state: State, done: { kind: EffectKind; value: unknown }): Event => ({
  kind: 'effect-done',
  done: { ...done, ok: true, plan: state.plan } as EffectDone,
});

/** The effect that is under way in each phase; where none is, a late failure of `check`. */
const underWay = (state: State): EffectKind => {
  const kinds: Record<string, EffectKind> = {
    'fetching/invalidate': 'invalidate',
    'fetching/write': 'write',
    verifying: 'verify',
    'activating/verify': 'verify',
    'activating/baseline': 'assess',
    'activating/flip': 'activate',
    rebooting: 'reboot',
    assessing: 'assess',
    confirming: 'confirm',
    'reverting/verify': 'verify',
    'reverting/flip': 'revert',
    'marking/revert': 'revert',
    'marking/retire': 'retire',
    'reverting/reboot': 'reboot',
  };
  return kinds[name(state.phase)] ?? 'check';
};

const failed = (state: State, cls: ErrorClass, code: ErrorCode): Event => ({
  kind: 'effect-done',
  done: {
    kind: underWay(state),
    ok: false,
    plan: state.plan,
    fetchedBytes: 0,
    failure: { code, class: cls, message: 'TEST' },
  },
});

const events: Record<string, (state: State) => Event> = {
  'tick early': () => ({ kind: 'tick' }),
  'tick due': () => ({ kind: 'tick' }),
  check: () => ({ kind: 'command', command: { command: 'check' } }),
  install: () => ({ kind: 'command', command: { command: 'install' } }),
  reboot: () => ({ kind: 'command', command: { command: 'reboot' } }),
  confirm: () => ({ kind: 'command', command: { command: 'confirm' } }),
  rollback: () => ({ kind: 'command', command: { command: 'rollback', reason: null } }),
  'mark-bad other': () => ({ kind: 'command', command: { command: 'mark-bad', slot: null, reason: null } }),
  'mark-bad running': (state) => ({
    kind: 'command',
    command: { command: 'mark-bad', slot: state.booted, reason: null },
  }),
  hold: () => ({ kind: 'command', command: { command: 'hold', reason: null } }),
  'release-hold': () => ({ kind: 'command', command: { command: 'release-hold' } }),
  undeny: () => ({ kind: 'command', command: { command: 'undeny', releaseId: 'none' } }),
  'done check new': (state) =>
    ok(state, { kind: 'check', value: { kind: 'release', release: aRelease({ sequence: 3 }) } }),
  'done check same': (state) =>
    ok(state, { kind: 'check', value: { kind: 'release', release: aRelease({ sequence: 1 }) } }),
  'done invalidate': (state) => ok(state, { kind: 'invalidate', value: null }),
  'done write': (state) => ok(state, { kind: 'write', value: aRecord(2, { status: 'writing' }) }),
  'done verify': (state) => ok(state, { kind: 'verify', value: aRecord(2, { status: 'verified' }) }),
  'done assess passed': (state) => ok(state, { kind: 'assess', value: { results: [check(true)] } }),
  'done assess failed': (state) => ok(state, { kind: 'assess', value: { results: [check(false)] } }),
  'done activate': (state) => ok(state, { kind: 'activate', value: null }),
  'done reboot': (state) => ok(state, { kind: 'reboot', value: null }),
  'done confirm': (state) => ok(state, { kind: 'confirm', value: null }),
  'done revert': (state) => ok(state, { kind: 'revert', value: null }),
  'done retire': (state) => ok(state, { kind: 'retire', value: null }),
  'failed transient': (state) => failed(state, 'transient', 'HTTP_TIMEOUT'),
  'failed source': (state) => failed(state, 'source', 'METADATA_EXPIRED'),
  'failed release': (state) => failed(state, 'release', 'VERITY_ROOT_MISMATCH'),
  'failed device': (state) => failed(state, 'device', 'SLOT_IO'),
  'failed policy': (state) => failed(state, 'policy', 'NO_ROLLBACK_TARGET'),
  'stale result': (state) => ok({ ...state, plan: state.plan - 1 }, { kind: underWay(state), value: null }),
};

const name = (phase: Phase): string => ('step' in phase ? `${phase.kind}/${phase.step}` : phase.kind);

const cell = (state: State, event: string): string => {
  const make = events[event];
  assert.ok(make);
  const decision = decide(state, make(state), event === 'tick early' ? early : due, aPolicy());
  const { reply } = decision;
  if (reply !== null && !reply.isAccepted) {
    assert.equal(decision.state, state, 'a refusal changes nothing');
    return `!${reply.code}`;
  }
  const to = name(decision.state.phase);
  const effects = decision.effects.map((effect) => effect.kind).join(',');
  if (to === name(state.phase) && effects === '') return reply === null ? '.' : '~';
  return effects === '' ? to : `${to} > ${effects}`;
};

const rows = Object.keys(states).flatMap((phase) => Object.keys(events).map((event) => [phase, event] as const));

test('the table has a cell for every phase and every event, and no other', () => {
  const cells = Object.entries(expectedTransitions).flatMap(([phase, row]) =>
    Object.keys(row).map((event) => `${phase} x ${event}`),
  );
  assert.deepEqual(cells.sort(), rows.map(([phase, event]) => `${phase} x ${event}`).sort());
});

for (const [phase, event] of rows) {
  test(`${phase} x ${event}`, () => {
    const state = states[phase];
    assert.ok(state);
    assert.equal(cell(state, event), expectedTransitions[phase]?.[event]);
  });
}

test('every effect carries the plan of the state that asked for it', () => {
  for (const [phase, event] of rows) {
    const state = states[phase];
    const make = events[event];
    assert.ok(state && make);
    const decision = decide(state, make(state), due, aPolicy());
    for (const effect of decision.effects) assert.equal(effect.plan, decision.state.plan, `${phase} x ${event}`);
  }
});

test('a decision depends on nothing but its arguments', () => {
  for (const [phase, event] of rows) {
    const state = states[phase];
    const make = events[event];
    assert.ok(state && make);
    const first = JSON.stringify(decide(structuredClone(state), make(state), due, aPolicy()));
    assert.equal(JSON.stringify(decide(structuredClone(state), make(state), due, aPolicy())), first);
  }
});
