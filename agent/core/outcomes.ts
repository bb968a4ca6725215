// What follows from the end of an effect. One function a kind; a failure goes by its class, never by its code or message.

import { failedSentence } from './brought.ts';
import type { EffectDone, EffectKind, EffectResult } from './effects.ts';
import { assertNever, type Failure } from './errors.ts';
import { markingDone, markingFailed } from './marking.ts';
import { goodAttemptBytes, longRetryAt, nextPoll } from './schedule.ts';
import { refOf, unmetConditions } from './select.ts';
import { newStaged } from './staged.ts';
import type { Phase, Staged, State } from './state.ts';
import {
  afterVerifyAgain,
  andThen,
  backOff,
  backOffLong,
  type Context,
  type Decision,
  deny,
  finishConfirm,
  halt,
  note,
  proceedStaged,
  rest,
  spentFor,
  startAssess,
  startConfirm,
  startFlip,
  startInstall,
  startReboot,
  startRevert,
  startVerify,
  startWrite,
  stay,
  withSpent,
} from './steps.ts';
import { type HealthReport, otherSlot, type ReleaseRef, type SlotName, type SlotRecord } from './types.ts';

type Done<K extends EffectResult['kind']> = Extract<EffectResult, { kind: K }>['value'];

const setRecord = (state: State, slot: SlotName, record: SlotRecord): State => ({
  ...state,
  records: { ...state.records, [slot]: record },
});

const afterCheck = (state: State, halted: Failure | null): State =>
  halted === null ? rest(state) : { ...state, phase: { kind: 'halted', failure: halted } };

/**
 * A folder that failed says nothing about when the servers should be asked; only not at once, so that whoever ordered it can
 * read what became of it.
 */
const afterFolder = (state: State, { moment, policy }: Context): State => ({
  ...state,
  nextPollMs: Math.max(state.nextPollMs, moment.monoMs + policy.backoffMinMs),
});

const checkFailed = (
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

const checkDone = (state: State, context: Context, outcome: Done<'check'>): Decision => {
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

/** A folder that fails says nothing of the servers, which are asked as before, nor of the release that they have. */
const folderInstallFailed = (state: State, context: Context, release: ReleaseRef, why: Failure): Decision =>
  note(stay(rest(afterFolder({ ...state, staged: null }, context))), context, 'install-failed', {
    release,
    reason: why.message,
    code: why.code,
  });

/** After too many failures the release is denied when it is to blame; otherwise the pause becomes long, since each try may cost a download. */
const installFailed = (
  state: State,
  context: Context,
  release: ReleaseRef,
  why: Failure,
  fetchedBytes: number,
): Decision => {
  const counts = why.class !== 'transient';
  const before = state.installFailures?.releaseId === release.id ? state.installFailures.count : 0;
  const count = counts ? before + 1 : before;
  const tooOften = counts && count >= context.policy.installAttemptsMax;
  const installFailures = { releaseId: release.id, count };
  const lastCheck =
    state.lastCheck === null
      ? null
      : {
          ...state.lastCheck,
          reasons: [
            {
              code: 'install-failed' as const,
              sentence: `The last install of ${release.version} failed: ${why.message}`,
            },
          ],
        };
  const failed = rest({ ...state, staged: null, installFailures, lastCheck });
  const paused = tooOften
    ? backOffLong(failed, context, why)
    : backOff(failed, context, why, fetchedBytes >= goodAttemptBytes && !counts);
  const reason = failedSentence(why.message, fetchedBytes, spentFor(state, release));
  const noted = note(stay(paused), context, 'install-failed', { release, reason, code: why.code });
  return tooOften && why.class === 'release'
    ? andThen(noted, (next) => deny(next, context, release, why.message))
    : noted;
};

const verifyDone = (state: State, context: Context, record: SlotRecord): Decision => {
  const { phase, staged } = state;
  if (phase.kind === 'verifying') {
    const { slot, release } = phase;
    const next = setRecord(
      { ...state, failures: 0, installFailures: null, installSpent: null, attention: null },
      slot,
      record,
    );
    // Forced is the install, not the reboot: that is a step of its own, with its own command and window.
    const ready = rest({
      ...next,
      staged: newStaged({
        slot,
        release,
        verity: record.verity,
        intent: 'update',
        verifiedInBoot: state.bootId,
        healthDeadlineMs: release.health.deadlineS * 1000,
        healthChecks: release.health.checks,
        rollbackFloor: release.rollbackFloor,
        floorEpoch: release.floorEpoch,
      }),
    });
    return andThen(note(stay(ready), context, 'installed', { release, slot, reason: phase.brought ?? null }), (after) =>
      proceedStaged(after, context),
    );
  }
  if (phase.kind === 'activating' && phase.step === 'verify' && staged !== null) {
    return afterVerifyAgain(setRecord(state, staged.slot, record), staged);
  }
  if (phase.kind === 'reverting' && phase.step === 'verify' && staged !== null) {
    return startRevert(state, context, staged, phase.reason);
  }
  return stay(state);
};

/** Required checks that fail now and did not fail on the system before. */
const newFailures = (report: HealthReport, staged: Staged) =>
  report.results.filter(
    (result) => result.isRequired && !result.isPassed && !staged.baselineFailing.includes(result.name),
  );

const assessDone = (state: State, context: Context, report: HealthReport): Decision => {
  const { phase, staged } = state;
  if (staged === null) return stay(state);
  if (phase.kind === 'activating') {
    const failing = report.results.filter((result) => result.isRequired && !result.isPassed);
    return startFlip(state, context, { ...staged, baselineFailing: failing.map((result) => result.name) });
  }
  if (phase.kind !== 'assessing') return stay(state);
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

const activateDone = (state: State, context: Context): Decision => {
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
const activateFailed = (state: State, context: Context, staged: Staged, why: Failure): Decision => {
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

const noteRollbackFailed = (state: State, context: Context, slot: SlotName, why: Failure): Decision =>
  note(stay({ ...state, attention: why }), context, 'rollback-failed', {
    release: state.records[slot]?.release ?? null,
    slot,
    reason: why.message,
    code: why.code,
  });

/** What a technician asked to go back to is not whole: nothing was changed, and what runs stays. */
const rollbackFailed = (state: State, context: Context, staged: Staged, why: Failure): Decision =>
  noteRollbackFailed(rest({ ...state, staged: null }), context, staged.slot, why);

/** The same during a trial, which goes on; or where the running slot was marked bad before. */
const wayBackFailed = (state: State, context: Context, staged: Staged, sinceMs: number, why: Failure): Decision =>
  andThen(noteRollbackFailed(state, context, otherSlot(state.booted), why), (next) =>
    staged.failureReason === null
      ? startAssess(next, context, staged, sinceMs)
      : stay({ ...next, phase: { kind: 'leaving' } }),
  );

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
    case 'assessing': {
      if (staged === null) return stay(state);
      const reason = `The health checks could not be run: ${why.message}`;
      const noted = note(stay(state), context, 'health-failed', {
        release: staged.release,
        slot: staged.slot,
        reason,
        code: why.code,
      });
      return andThen(noted, (next) => startRevert(next, context, staged, reason));
    }
    case 'confirming':
      // The bootloader still counts, so a power cycle ends on a confirmed slot either way; assessed again after the backoff.
      return halt(backOff(state, context, why, false), context, why);
    case 'marking':
      return markingFailed(state, context, phase, why);
    case 'reverting':
      if (phase.step === 'verify' && staged !== null) return wayBackFailed(state, context, staged, phase.sinceMs, why);
      if (phase.step === 'reboot' || staged === null) return stay(state);
      // Without a good slot to return to, an unconfirmed system that runs is better than none. Where the other slot merely is not
      // known as good (a lost environment), the bootloader's count leads there; once, since what fails there is denied as well.
      if (why.class === 'policy' && !isOtherWorthTrying(state)) {
        return haltWithoutWay(state, context, staged, why);
      }
      return startReboot(state, context, staged, 'reverting');
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
