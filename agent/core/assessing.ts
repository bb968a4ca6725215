// The trial of the running system: its health checks, by whose answer it is confirmed or left. Goes on where a technician
// wants to leave it and what he would return to is not whole.

import { startConfirm } from './confirming.ts';
import { andThen, begin, type Context, type Decision, note, stay } from './decision.ts';
import type { Failure } from './errors.ts';
import { noteRollbackFailed, startRevert } from './reverting.ts';
import type { Staged, State } from './state.ts';
import { type HealthReport, otherSlot } from './types.ts';

/** The remaining part of the deadline: an agent that is restarted again and again must still come to an end. */
export const startAssess = (state: State, { moment }: Context, staged: Staged, sinceMs: number): Decision =>
  begin({ ...state, staged }, { kind: 'assessing', sinceMs }, (plan) => ({
    kind: 'assess',
    plan,
    purpose: 'trial',
    deadlineMs: Math.max(0, staged.healthDeadlineMs - (moment.monoMs - sinceMs)),
    extraChecks: staged.healthChecks,
  }));

/** Required checks that fail now and did not fail on the system before. */
const newFailures = (report: HealthReport, staged: Staged) =>
  report.results.filter(
    (result) => result.isRequired && !result.isPassed && !staged.baselineFailing.includes(result.name),
  );

export const trialDone = (state: State, context: Context, staged: Staged, report: HealthReport): Decision => {
  const failures = newFailures(report, staged);
  if (failures.length === 0) return startConfirm(state);
  const reason = failures.map((result) => `${result.name}: ${result.reason ?? 'failed'}`).join('; ');
  const code = 'HEALTH_FAILED';
  const noted = note(stay(state), context, 'health-failed', {
    release: staged.release,
    slot: staged.slot,
    reason,
    code,
  });
  return andThen(noted, (next) => startRevert(next, context, staged, reason));
};

export const trialFailed = (state: State, context: Context, staged: Staged, why: Failure): Decision => {
  const reason = `The health checks could not be run: ${why.message}`;
  const noted = note(stay(state), context, 'health-failed', {
    release: staged.release,
    slot: staged.slot,
    reason,
    code: why.code,
  });
  return andThen(noted, (next) => startRevert(next, context, staged, reason));
};

/** What a technician asked to go back to is not whole, during a trial, which goes on; or where the running slot was marked bad before. */
export const wayBackFailed = (
  state: State,
  context: Context,
  staged: Staged,
  sinceMs: number,
  why: Failure,
): Decision =>
  andThen(noteRollbackFailed(state, context, otherSlot(state.booted), why), (next) =>
    staged.failureReason === null
      ? startAssess(next, context, staged, sinceMs)
      : stay({ ...next, phase: { kind: 'leaving' } }),
  );
