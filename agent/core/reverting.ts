// The way back from the running system: denied first, then the flip, then the reboot. Where nothing is known to be good to
// return to, what runs stays up.

import { andThen, begin, type Context, type Decision, halt, note, rest, stay } from './decision.ts';
import { deny } from './denylist.ts';
import type { Failure } from './errors.ts';
import { startReboot } from './rebooting.ts';
import { backOff, longRetryAt } from './schedule.ts';
import type { Staged, State } from './state.ts';
import { otherSlot, type SlotName } from './types.ts';

/** The trial failed: denied in the same transaction, before anything is undone (I6). Way back and way there have a cap of reboots each. */
export const startRevert = (state: State, context: Context, staged: Staged, reason: string): Decision => {
  const marked: Staged = {
    ...staged,
    failureReason: reason,
    reboots: staged.failureReason === null ? 0 : staged.reboots,
  };
  const sinceMs = context.moment.monoMs;
  return andThen(deny({ ...state, staged: marked }, context, staged.release, reason), (next) =>
    begin(next, { kind: 'reverting', step: 'flip', sinceMs, reason }, (plan) => ({
      kind: 'revert',
      plan,
      slot: next.booted,
    })),
  );
};

/** A technician leaves a trial: what he returns to is read back first. Where no record says what it should be, the bootloader's root decides. */
export const startRevertVerified = (
  state: State,
  context: Context,
  staged: Staged,
  reason: string,
  sinceMs: number,
): Decision => {
  const slot = otherSlot(state.booted);
  const rootHex = state.records[slot]?.verity.rootHex;
  if (rootHex === undefined) return startRevert(state, context, staged, reason);
  return begin(state, { kind: 'reverting', step: 'verify', sinceMs, reason }, (plan) => ({
    kind: 'verify',
    plan,
    slot,
    rootHex,
    isLookOnly: true,
  }));
};

export const noteRollbackFailed = (state: State, context: Context, slot: SlotName, why: Failure): Decision =>
  note(stay({ ...state, attention: why }), context, 'rollback-failed', {
    release: state.records[slot]?.release ?? null,
    slot,
    reason: why.message,
    code: why.code,
  });

/** What a technician asked to go back to is not whole: nothing was changed, and what runs stays. */
export const rollbackFailed = (state: State, context: Context, staged: Staged, why: Failure): Decision =>
  noteRollbackFailed(rest({ ...state, staged: null }), context, staged.slot, why);

/** The other slot says that it was started before, or its record cannot be read; and what it holds has not failed here. */
const isOtherWorthTrying = (state: State): boolean => {
  const record = state.records[otherSlot(state.booted)];
  if (record === null) return true;
  return record.status === 'activated' && !state.denylist.some((entry) => entry.release.id === record.release.id);
};

/**
 * Neither system is known as good: what runs stays up and is assessed again with every poll. One reboot each long pause lets
 * the bootloader's count lead to the other one as well, whose fault may be gone by then (I8).
 */
const haltWithoutWay = (state: State, context: Context, staged: Staged, why: Failure): Decision => {
  const { moment, policy } = context;
  const notBeforeMs = staged.notBeforeMs > moment.monoMs ? staged.notBeforeMs : longRetryAt(moment, policy);
  const waiting = { ...state, staged: { ...staged, reboots: policy.rebootAttemptsMax, notBeforeMs } };
  return halt(backOff(waiting, context, why, false), context, why);
};

export const revertFailed = (state: State, context: Context, staged: Staged, why: Failure): Decision => {
  // Without a good slot to return to, an unconfirmed system that runs is better than none. Where the other slot merely is not
  // known as good (a lost environment), the bootloader's count leads there; once, since what fails there is denied as well.
  if (why.class === 'policy' && !isOtherWorthTrying(state)) {
    return haltWithoutWay(state, context, staged, why);
  }
  return startReboot(state, context, staged, 'reverting');
};
