// A technician says that a slot is bad. The one that does not run is denied, unselectable, and says so itself. The running
// one is left at the next reboot, which is the technician's to ask for; until then nothing is installed, because the other
// slot is the only way on. Never leaves the gateway without a slot that is good.

import { startAssess } from './assessing.ts';
import { accepted, andThen, begin, type Context, type Decision, note, refuse, rest, stay } from './decision.ts';
import { deny } from './denylist.ts';
import { type ErrorCode, errorCodes, type Failure } from './errors.ts';
import type { DeviceFacts } from './events.ts';
import { refOf } from './select.ts';
import { newStaged } from './staged.ts';
import type { Phase, Staged, State } from './state.ts';
import { type BootStatus, otherSlot, type ReleaseRef, type SlotName } from './types.ts';

type Marking = Extract<Phase, { kind: 'marking' }>;

const reasonText = (reason: string | null): string =>
  reason === null ? 'A technician marked it bad.' : `A technician marked it bad: ${reason}`;

/** What runs, so far as its record or the history of confirmations tells. */
const runningRelease = (state: State): ReleaseRef =>
  state.records[state.booted]?.release ?? state.confirmed ?? { id: 'unknown-root', version: 'unknown', sequence: 0 };

/** The running system as something that failed, from which the next boot is a way back. */
const asFailed = (state: State, { policy }: Context, reason: string): Staged => {
  const { booted, staged } = state;
  if (staged?.slot === booted) return { ...staged, failureReason: reason, reboots: 0 };
  return newStaged({
    slot: booted,
    release: runningRelease(state),
    verity: state.records[booted]?.verity ?? {
      algorithm: 'sha256',
      blockSizeBytes: 4096,
      saltHex: '',
      rootHex: '',
      hashOffsetBytes: 0,
    },
    intent: 'update',
    isActivated: true,
    healthDeadlineMs: policy.healthDeadlineMs,
    failureReason: reason,
  });
};

/** The denial of the other slot's release comes first, so that it holds whatever becomes of the write. */
const startMarking = (state: State, context: Context, slot: SlotName, reason: string): Decision => {
  const step = slot === state.booted ? 'revert' : 'retire';
  const phase: Marking = { kind: 'marking', step, slot, reason, wasConfirmed: state.isBootedConfirmed };
  if (step === 'revert') {
    // From the write on it is not confirmed any more; nothing may claim so in between.
    return begin({ ...state, isBootedConfirmed: false }, phase, (plan) => ({ kind: 'revert', plan, slot }));
  }
  const record = state.records[slot];
  const denied = record === null ? stay(state) : deny(state, context, record.release, reason);
  return andThen(denied, (next) =>
    begin({ ...next, staged: null }, phase, (plan) => ({ kind: 'retire', plan, slot, reason })),
  );
};

type Refusal = readonly [code: ErrorCode, message?: string];

/** Why the running slot cannot be given up now, or null. */
const obstacleToLeaving = (state: State, boot: BootStatus | undefined): Refusal | null => {
  const other = otherSlot(state.booted);
  const record = state.records[other];
  const { sentence } = errorCodes.NO_ROLLBACK_TARGET;
  const denied = state.denylist.find((entry) => entry.release.id === record?.release.id);
  if (denied !== undefined) {
    return ['NO_ROLLBACK_TARGET', `Slot ${other} holds ${denied.release.version}, which is denied: ${denied.reason}`];
  }
  if (state.staged !== null && state.staged.slot === other) {
    return ['NO_ROLLBACK_TARGET', `${sentence} (slot: ${other}, what it holds never ran here)`];
  }
  const found = boot?.slots[other].state ?? 'good';
  return found === 'good' ? null : ['NO_ROLLBACK_TARGET', `${sentence} (slot: ${other}, state: ${found})`];
};

const obstacle = (state: State, slot: SlotName, boot: BootStatus | undefined): Refusal | null => {
  const { phase } = state;
  const isRunning = slot === state.booted;
  if (phase.kind === 'leaving' && isRunning) return ['NOTHING_TO_DO', `Slot ${slot} is marked bad already.`];
  if (!['idle', 'staged', 'halted', 'checking', 'assessing', 'leaving'].includes(phase.kind)) return ['BUSY'];
  if (isRunning) return obstacleToLeaving(state, boot);
  if (!state.isBootedConfirmed) return ['UNCONFIRMED'];
  const record = state.records[slot];
  const isDenied = record === null || record.status === 'denied';
  return isDenied && boot?.slots[slot].state === 'bad'
    ? ['NOTHING_TO_DO', `Slot ${slot} is bad already; the bootloader does not start it.`]
    : null;
};

export const markBad = (
  state: State,
  context: Context,
  asked: { readonly slot: SlotName | null; readonly reason: string | null },
  boot: BootStatus | undefined,
): Decision => {
  const other = otherSlot(state.booted);
  const slot = asked.slot ?? other;
  const refusal = obstacle(state, slot, boot);
  if (refusal !== null) return refuse(state, ...refusal);
  const isRunning = slot === state.booted;
  const release = isRunning ? runningRelease(state) : (state.records[slot]?.release ?? null);
  const version = release?.version ?? 'what it holds';
  const noted = note(startMarking(state, context, slot, reasonText(asked.reason)), context, 'mark-bad-requested', {
    release,
    slot,
    reason: asked.reason,
  });
  return accepted(
    noted,
    isRunning
      ? `Marking the running slot ${slot} bad. It runs on until the next reboot, which starts slot ${other}. To reboot now: otactl reboot`
      : `Marking slot ${slot} bad: ${version} is not started and not installed again.`,
  );
};

/** The bootloader holds the slot as bad. */
export const markingDone = (state: State, context: Context, { slot, reason, step }: Marking): Decision => {
  if (step === 'retire') {
    const record = state.records[slot];
    const records =
      record === null ? state.records : { ...state.records, [slot]: { ...record, status: 'denied' as const, reason } };
    return note(stay(rest({ ...state, records })), context, 'marked-bad', {
      release: record?.release ?? null,
      slot,
      reason,
    });
  }
  const staged = asFailed(state, context, reason);
  const left: State = { ...state, staged, isBootedConfirmed: false, phase: { kind: 'leaving' } };
  const noted = note(stay(left), context, 'marked-bad', { release: staged.release, slot, reason });
  return andThen(noted, (next) => deny(next, context, staged.release, reason));
};

/** Refused, it is as before. Otherwise nobody knows what the bootloader holds: what runs proves itself anew. */
export const markingFailed = (state: State, context: Context, phase: Marking, why: Failure): Decision => {
  const { slot, step, wasConfirmed } = phase;
  const isRefused = why.class === 'policy';
  const before: State = {
    ...state,
    isBootedConfirmed: step === 'revert' ? wasConfirmed && isRefused : state.isBootedConfirmed,
    attention: isRefused ? state.attention : why,
  };
  const noted = note(stay(rest(before)), context, 'mark-bad-failed', { slot, reason: why.message, code: why.code });
  if (before.isBootedConfirmed) return noted;
  return andThen(noted, (next) =>
    startAssess(
      next,
      context,
      next.staged ?? { ...asFailed(next, context, ''), failureReason: null },
      context.moment.monoMs,
    ),
  );
};

/** Power went right after the write: the other system runs already. */
const noteLeft = (state: State, context: Context, slot: SlotName, reason: string): Decision => {
  const running = state.records[state.booted]?.release;
  const left: State = { ...state, confirmed: running === undefined ? state.confirmed : refOf(running) };
  const release = state.records[slot]?.release ?? null;
  return note(stay(left), context, 'rolled-back', { release, slot, reason });
};

/** After a start: the marking that was cut short, or null where the facts do not allow it any more. */
export const resumeMarking = (
  state: State,
  stored: State | null,
  { boot }: DeviceFacts,
  context: Context,
): Decision | null => {
  if (stored === null) return null;
  if (stored.phase.kind === 'marking') {
    const { slot, step, reason } = stored.phase;
    if (boot.slots[otherSlot(slot)].state !== 'good') return null;
    const hasLeft = step === 'revert' && slot !== boot.booted;
    return andThen(hasLeft ? noteLeft(state, context, slot, reason) : stay(state), (next) =>
      startMarking(next, context, slot, reason),
    );
  }
  const stillWaits =
    stored.phase.kind === 'leaving' && stored.bootId === state.bootId && boot.slots[boot.booted].state === 'bad';
  return stillWaits ? stay({ ...state, phase: { kind: 'leaving' } }) : null;
};
