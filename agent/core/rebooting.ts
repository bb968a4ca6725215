// Reboots on behalf of a release, into it or back from it: counted, capped, and rare after that. Whether one is wanted is for
// the caller to know.

import { begin, type Context, type Decision, halt, note } from './decision.ts';
import { errorCodes, type Failure } from './errors.ts';
import { backOff, longRetryAt } from './schedule.ts';
import type { Staged, State } from './state.ts';
import { otherSlot } from './types.ts';

const failure = (code: keyof typeof errorCodes, facts?: string): Failure => ({
  code,
  class: errorCodes[code].class,
  message: facts === undefined ? errorCodes[code].sentence : `${errorCodes[code].sentence} (${facts})`,
});

/** The cap on reboots was reached, and the long pause after it is over: what kept the system from rebooting may be gone. */
export const isRebootDue = (staged: Staged, { moment, policy }: Context): boolean =>
  staged.reboots >= policy.rebootAttemptsMax && staged.notBeforeMs > 0 && moment.monoMs >= staged.notBeforeMs;

/** Reboots on behalf of one release are counted before they are asked for, and capped: after that, one each long pause (I10, I8). */
export const startReboot = (
  state: State,
  context: Context,
  staged: Staged,
  phase: 'rebooting' | 'reverting',
): Decision => {
  const { monoMs } = context.moment;
  const isCapped = staged.reboots >= context.policy.rebootAttemptsMax;
  if (isCapped && !isRebootDue(staged, context)) {
    const why = failure('REBOOT_INEFFECTIVE', `${staged.reboots} reboots asked for`);
    const notBeforeMs = staged.notBeforeMs > monoMs ? staged.notBeforeMs : longRetryAt(context.moment, context.policy);
    return halt(backOff({ ...state, staged: { ...staged, notBeforeMs } }, context, why, false), context, why);
  }
  const slot = phase === 'rebooting' ? staged.slot : otherSlot(state.booted);
  const sinceMs = monoMs;
  const reboots = isCapped ? staged.reboots : staged.reboots + 1;
  const started = begin(
    { ...state, staged: { ...staged, reboots, notBeforeMs: 0 } },
    phase === 'rebooting'
      ? { kind: 'rebooting', slot, sinceMs }
      : { kind: 'reverting', step: 'reboot', sinceMs, reason: staged.failureReason ?? '' },
    (plan) => ({ kind: 'reboot', plan, slot }),
  );
  return note(started, context, 'reboot-requested', { release: staged.release, slot });
};
