// When to do something again: polls with jitter, backoff with a cap, the next wake-up. Pure arithmetic on the monotonic clock.

import type { Context } from './decision.ts';
import type { Failure } from './errors.ts';
import type { State } from './state.ts';
import type { Moment, Policy } from './types.ts';

/**
 * A fault of this device is tried again this many times more rarely than the longest backoff, since each try may cost a whole
 * download: with the default settings once a day.
 */
export const longBackoffFactor = 24;
/** The longest wait that a server may ask for. */
const retryAfterMsMax = 24 * 3_600_000;
/** Polls after a start are spread over at most this long. */
const startSpreadMsMax = 30_000;
/** How soon a window is looked at again while something waits for it. */
const windowStepMs = 60_000;

/** An attempt that brought this many bytes was a good one: the link works, and the next attempt comes soon. */
export const goodAttemptBytes = 256 * 1024;

/** When to poll after a successful check. */
export const nextPoll = (moment: Moment, policy: Policy): number =>
  moment.monoMs + policy.pollIntervalMs * (1 + policy.pollJitter * (moment.random - 0.5));

/** When to poll after a start: soon, but not all devices of a site in the same second. */
export const firstPoll = (moment: Moment, policy: Policy): number =>
  moment.monoMs + moment.random * Math.min(startSpreadMsMax, policy.pollIntervalMs * policy.pollJitter);

/** When to try again after `failures` failures in a row: doubling, capped, with full jitter over the upper half. */
export const retryAt = (failures: number, failure: Failure, moment: Moment, policy: Policy): number => {
  const exponent = Math.min(Math.max(failures - 1, 0), 30);
  const delay = Math.min(policy.backoffMinMs * 2 ** exponent, policy.backoffMaxMs);
  const jittered = delay * (0.5 + moment.random / 2);
  const asked = Math.min((failure.retryAfterS ?? 0) * 1000, retryAfterMsMax);
  return moment.monoMs + Math.max(jittered, asked);
};

/** When to try again what this device itself failed at too often. */
export const longRetryAt = (moment: Moment, policy: Policy): number =>
  moment.monoMs + policy.backoffMaxMs * longBackoffFactor * (0.5 + moment.random / 2);

/** Counts a failed check or install and says when to try again. */
export const backOff = (state: State, { moment, policy }: Context, why: Failure, fetchedEnough: boolean): State => {
  const failures = fetchedEnough ? 1 : state.failures + 1;
  return { ...state, failures, nextPollMs: retryAt(failures, why, moment, policy) };
};

export const backOffLong = (state: State, { moment, policy }: Context, why: Failure): State => ({
  ...state,
  failures: state.failures + 1,
  nextPollMs: longRetryAt(moment, policy),
  attention: why,
});

/** True while only a closed window stands between the last check and an install. */
export const waitsForDownloadWindow = (state: State): boolean =>
  state.lastCheck?.reasons.some((reason) => reason.code === 'download-window') ?? false;

const waitsForRebootWindow = (state: State, moment: Moment, policy: Policy): boolean =>
  state.phase.kind === 'staged' && state.hold === null && policy.isAutoReboot && !moment.windows.reboot;

/** When the runtime should send the next tick, on the monotonic clock; null while an effect is under way that ends by itself. */
export const nextWake = (state: State, moment: Moment, policy: Policy): number | null => {
  const { phase } = state;
  switch (phase.kind) {
    case 'idle':
    case 'staged':
    case 'halted': {
      const times = [state.nextPollMs];
      if (phase.kind === 'staged' && state.staged !== null && state.staged.notBeforeMs > moment.monoMs) {
        times.push(state.staged.notBeforeMs);
      }
      if (waitsForDownloadWindow(state) || waitsForRebootWindow(state, moment, policy)) {
        times.push(moment.monoMs + windowStepMs);
      }
      return Math.min(...times);
    }
    case 'rebooting':
      return phase.sinceMs + policy.rebootTimeoutMs;
    case 'reverting':
      return phase.step === 'reboot' ? phase.sinceMs + policy.rebootTimeoutMs : null;
    default:
      return null;
  }
};
