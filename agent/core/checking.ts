// Asking the servers or a folder for a release, and what follows from the answer: an install, or the reasons against one. A
// check during a halt that brings no install leaves it halted.

import { proceedStaged } from './activating.ts';
import { begin, type Context, type Decision, note, rest, stay } from './decision.ts';
import type { Failure } from './errors.ts';
import { afterFolder, fromFolder } from './folder.ts';
import { startInstall } from './installing.ts';
import { backOff, nextPoll } from './schedule.ts';
import { refOf, unmetConditions } from './select.ts';
import type { Phase, State } from './state.ts';
import type { CheckOutcome, OfferedFolder } from './types.ts';

/** What a halt interrupted stays known through checks, also through one that takes the place of another. */
const haltedBefore = ({ phase }: State): Failure | null => {
  if (phase.kind === 'checking') return phase.halted;
  return phase.kind === 'halted' ? phase.failure : null;
};

export const startCheck = (state: State, isForced: boolean, folder?: OfferedFolder): Decision =>
  begin(state, { kind: 'checking', isForced, halted: haltedBefore(state), ...fromFolder(folder) }, (plan) => ({
    kind: 'check',
    plan,
    ...fromFolder(folder),
  }));

const afterCheck = (state: State, halted: Failure | null): State =>
  halted === null ? rest(state) : { ...state, phase: { kind: 'halted', failure: halted } };

export const checkFailed = (
  state: State,
  context: Context,
  why: Failure,
  { halted, folder }: Extract<Phase, { kind: 'checking' }>,
): Decision => {
  // A server that is gone is noted once; what a technician ordered, each time. That none is set is how a gateway leaves the
  // factory, and no event.
  const isUnset = why.code === 'SERVER_UNSET';
  const isNews = folder !== undefined || (!isUnset && state.lastCheck?.failure?.code !== why.code);
  const lastCheck = {
    timeMs: context.moment.wallMs,
    release: state.lastCheck?.release ?? null,
    failure: why,
    reasons: [
      { code: 'check-failed' as const, sentence: isUnset ? why.message : `The last check failed: ${why.message}` },
    ],
  };
  const paused = folder === undefined ? backOff(state, context, why, false) : afterFolder(state, context);
  const next = stay(afterCheck({ ...paused, lastCheck }, halted));
  return isNews ? note(next, context, 'check-failed', { reason: why.message, code: why.code }) : next;
};

export const checkDone = (state: State, context: Context, outcome: CheckOutcome): Decision => {
  if (state.phase.kind !== 'checking') return stay(state);
  if (outcome.kind === 'failed') return checkFailed(state, context, outcome.failure, state.phase);
  const { release } = outcome;
  const { isForced, halted } = state.phase;
  const reasons = unmetConditions(release, state, context.moment, context.policy, isForced);
  const checked: State = {
    ...state,
    failures: 0,
    nextPollMs: nextPoll(context.moment, context.policy),
    lastCheck: { timeMs: context.moment.wallMs, release: refOf(release), failure: null, reasons },
  };
  if (reasons.length === 0) return startInstall(checked, context, release, state.phase);
  return proceedStaged(afterCheck(checked, halted), context);
};
