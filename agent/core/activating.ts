// From a staged release to the flip: verified again if another boot did that, the baseline of the health checks, then the
// bootloader. Until the flip nothing is changed that boots.

import { andThen, begin, type Context, type Decision, note, rest, setRecord, stay } from './decision.ts';
import type { Failure } from './errors.ts';
import { startReboot } from './rebooting.ts';
import { backOff } from './schedule.ts';
import type { Staged, State } from './state.ts';
import type { HealthReport } from './types.ts';

const startBaseline = (state: State, staged: Staged): Decision =>
  begin(state, { kind: 'activating', step: 'baseline' }, (plan) => ({
    kind: 'assess',
    plan,
    purpose: 'baseline',
    deadlineMs: 0,
    extraChecks: staged.healthChecks,
  }));

/** The baseline comes before the flip, so that it is durable before the reboot that needs it. */
export const startActivation = (state: State, staged: Staged): Decision =>
  staged.verifiedInBoot === state.bootId
    ? startBaseline({ ...state, staged }, staged)
    : begin({ ...state, staged }, { kind: 'activating', step: 'verify' }, (plan) => ({
        kind: 'verify',
        plan,
        slot: staged.slot,
        rootHex: staged.verity.rootHex,
        isLookOnly: staged.intent === 'rollback',
      }));

/** Takes the next step with what is staged, if it may: activate, then reboot. */
export const proceedStaged = (state: State, context: Context): Decision => {
  const { staged } = state;
  if (state.phase.kind !== 'staged' || staged === null) return stay(state);
  const { moment, policy } = context;
  const mayReboot = staged.isForced || (state.hold === null && policy.isAutoReboot && moment.windows.reboot);
  if (!mayReboot || moment.monoMs < staged.notBeforeMs) return stay(state);
  return staged.isActivated ? startReboot(state, context, staged, 'rebooting') : startActivation(state, staged);
};

export const afterVerifyAgain = (state: State, staged: Staged): Decision =>
  startBaseline({ ...state, staged: { ...staged, verifiedInBoot: state.bootId } }, staged);

export const startFlip = (state: State, { policy }: Context, staged: Staged): Decision =>
  begin({ ...state, staged }, { kind: 'activating', step: 'flip' }, (plan) => ({
    kind: 'activate',
    plan,
    slot: staged.slot,
    tries: policy.triesMax,
    verity: staged.verity,
  }));

export const baselineDone = (state: State, context: Context, staged: Staged, report: HealthReport): Decision => {
  const failing = report.results.filter((result) => result.isRequired && !result.isPassed);
  return startFlip(state, context, { ...staged, baselineFailing: failing.map((result) => result.name) });
};

export const activateDone = (state: State, context: Context): Decision => {
  const { phase, staged } = state;
  if (phase.kind !== 'activating' || staged === null) return stay(state);
  const record = state.records[staged.slot];
  const recorded = record === null ? state : setRecord(state, staged.slot, { ...record, status: 'activated' });
  const activated: Staged = { ...staged, isActivated: true };
  const noted = note(stay({ ...recorded, staged: activated, attention: null }), context, 'activated', {
    release: staged.release,
    slot: staged.slot,
  });
  return andThen(noted, (next) => startReboot(next, context, activated, 'rebooting'));
};

/** Nothing was changed that boots; what is staged stays, and is verified and tried again after the backoff. */
export const activateFailed = (state: State, context: Context, staged: Staged, why: Failure): Decision => {
  const paused = backOff(state, context, why, false);
  const next = rest({
    ...paused,
    attention: why,
    staged: { ...staged, verifiedInBoot: '', notBeforeMs: paused.nextPollMs },
  });
  return note(stay(next), context, 'activate-failed', {
    release: staged.release,
    slot: staged.slot,
    reason: why.message,
    code: why.code,
  });
};
