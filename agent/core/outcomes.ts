// Which phase waits for which effect, and where its end leads: what follows stands in the file of the phase. A failure goes by
// its class, never by its code or message.

import { activateDone, activateFailed, afterVerifyAgain, baselineDone, startFlip } from './activating.ts';
import { trialDone, trialFailed, wayBackFailed } from './assessing.ts';
import { checkDone, checkFailed } from './checking.ts';
import { finishConfirm } from './confirming.ts';
import { type Context, type Decision, halt, rest, setRecord, stay } from './decision.ts';
import type { EffectDone, EffectKind } from './effects.ts';
import { assertNever, type Failure } from './errors.ts';
import { folderInstallFailed, installDone, installFailed, startVerify, startWrite, withSpent } from './installing.ts';
import { markingDone, markingFailed } from './marking.ts';
import { startReboot } from './rebooting.ts';
import { revertFailed, rollbackFailed, startRevert } from './reverting.ts';
import { backOff } from './schedule.ts';
import type { Phase, State } from './state.ts';
import type { HealthReport, SlotRecord } from './types.ts';

const verifyDone = (state: State, context: Context, record: SlotRecord): Decision => {
  const { phase, staged } = state;
  if (phase.kind === 'verifying') return installDone(state, context, phase, record);
  if (phase.kind === 'activating' && phase.step === 'verify' && staged !== null) {
    return afterVerifyAgain(setRecord(state, staged.slot, record), staged);
  }
  if (phase.kind === 'reverting' && phase.step === 'verify' && staged !== null) {
    return startRevert(state, context, staged, phase.reason);
  }
  return stay(state);
};

const assessDone = (state: State, context: Context, report: HealthReport): Decision => {
  const { phase, staged } = state;
  if (staged === null) return stay(state);
  if (phase.kind === 'activating') return baselineDone(state, context, staged, report);
  return phase.kind === 'assessing' ? trialDone(state, context, staged, report) : stay(state);
};

const afterFailure = (state: State, context: Context, why: Failure, fetchedBytes: number): Decision => {
  const { phase, staged } = state;
  switch (phase.kind) {
    case 'checking':
      return checkFailed(state, context, why, phase);
    case 'fetching':
      if (phase.folder === undefined) {
        return installFailed(withSpent(state, phase, fetchedBytes), context, phase.release, why, fetchedBytes);
      }
      return ['transient', 'source'].includes(why.class)
        ? folderInstallFailed(state, context, phase.release, why)
        : installFailed(state, context, phase.release, why, 0);
    case 'verifying':
      return installFailed(state, context, phase.release, why, fetchedBytes);
    case 'activating':
      if (staged === null) return stay(rest(state));
      if (phase.step === 'verify') {
        return staged.intent === 'rollback'
          ? rollbackFailed(state, context, staged, why)
          : installFailed(state, context, staged.release, why, 0);
      }
      // A baseline that cannot be taken excuses nothing: the new system must pass everything.
      if (phase.step === 'baseline') return startFlip(state, context, { ...staged, baselineFailing: [] });
      return activateFailed(state, context, staged, why);
    case 'assessing':
      return staged === null ? stay(state) : trialFailed(state, context, staged, why);
    case 'confirming':
      // The bootloader still counts, so a power cycle ends on a confirmed slot either way; assessed again after the backoff.
      return halt(backOff(state, context, why, false), context, why);
    case 'marking':
      return markingFailed(state, context, phase, why);
    case 'reverting':
      if (phase.step === 'verify' && staged !== null) return wayBackFailed(state, context, staged, phase.sinceMs, why);
      if (phase.step === 'reboot' || staged === null) return stay(state);
      return revertFailed(state, context, staged, why);
    case 'rebooting':
      // Asked again when the time is over; counted and capped there.
      return stay({ ...state, attention: why });
    case 'idle':
    case 'staged':
    case 'halted':
    case 'leaving':
      return stay(state);
    default:
      return assertNever(phase);
  }
};

/** The one effect whose end the phase waits for; any other result is stale, whatever plan it names. */
const awaited = (phase: Phase): EffectKind | null => {
  switch (phase.kind) {
    case 'checking':
      return 'check';
    case 'fetching':
      return phase.step;
    case 'verifying':
      return 'verify';
    case 'activating':
      return ({ verify: 'verify', baseline: 'assess', flip: 'activate' } as const)[phase.step];
    case 'rebooting':
      return 'reboot';
    case 'assessing':
      return 'assess';
    case 'confirming':
      return 'confirm';
    case 'reverting':
      return ({ verify: 'verify', flip: 'revert', reboot: 'reboot' } as const)[phase.step];
    case 'marking':
      return phase.step;
    case 'idle':
    case 'staged':
    case 'halted':
    case 'leaving':
      return null;
    default:
      return assertNever(phase);
  }
};

export const onEffectDone = (state: State, context: Context, done: EffectDone): Decision => {
  if (done.plan !== state.plan || done.kind !== awaited(state.phase)) return stay(state);
  if (!done.ok) return afterFailure(state, context, done.failure, done.fetchedBytes);
  const { phase, staged } = state;
  switch (done.kind) {
    case 'check':
      return checkDone(state, context, done.value);
    case 'invalidate':
      return phase.kind === 'fetching' ? startWrite(state, phase) : stay(state);
    case 'write':
      return phase.kind === 'fetching'
        ? startVerify(setRecord(state, phase.slot, done.value), phase, done.value, done.brought)
        : stay(state);
    case 'verify':
      return verifyDone(state, context, done.value);
    case 'assess':
      return assessDone(state, context, done.value);
    case 'activate':
      return activateDone(state, context);
    case 'confirm':
      return finishConfirm(state, context);
    case 'revert':
      if (phase.kind === 'marking') return markingDone(state, context, phase);
      return staged === null ? stay(state) : startReboot(state, context, staged, 'reverting');
    case 'retire':
      return phase.kind === 'marking' ? markingDone(state, context, phase) : stay(state);
    case 'reboot':
      return stay(state);
    default:
      return assertNever(done);
  }
};
