// Judges a system by its required and wanted checks: programs of health.d and the built-in ones. In a trial, required checks
// must pass in two rounds in a row, so that a service that dies right after its start does not count as up. Says what it
// saw; whether a release stays is decided elsewhere. Must never let a check run past its time or outlive it.

import { OtadError, toFailure } from '../core/errors.ts';
import type { Clock, Health } from '../core/ports.ts';
import type { CheckResult, HealthReport } from '../core/types.ts';
import { listCheckFiles } from './check-files.ts';
import { commandFailure, runCommand } from './command.ts';

export interface HealthOptions {
  /** Lowest precedence first. */
  readonly requiredDirs: readonly string[];
  readonly wantedDirs: readonly string[];
  readonly checkTimeoutMs: number;
  /** Pause between two rounds. */
  readonly retryMs: number;
  /** Units that must be active; none: the check is left out. */
  readonly systemdUnits: readonly string[];
  readonly systemctlPath?: string;
  /** True once this process has fetched and verified metadata. */
  readonly hasFetchedMetadata: () => boolean;
  /** Fetches and verifies metadata now; throws OtadError when it cannot. Null where there is no server: nothing to check then. */
  readonly fetchMetadata: ((signal: AbortSignal) => Promise<void>) | null;
  readonly clock: Pick<Clock, 'now' | 'setTimer'>;
}

type Request = Parameters<Health['assess']>[0];

interface Check {
  readonly name: string;
  readonly isRequired: boolean;
  /** Null when it passed, else why not. */
  readonly run: (timeoutMs: number, signal: AbortSignal) => Promise<string | null>;
}

/** A check gets this long even when the deadline is nearly over, or its verdict would say nothing. */
const checkTimeMinMs = 1000;

const unitsCheck = (options: HealthOptions, isAsked: boolean): readonly Check[] => {
  const { systemdUnits, systemctlPath = 'systemctl' } = options;
  if (systemdUnits.length === 0 && !isAsked) return [];
  const run: Check['run'] = async (timeoutMs, signal) => {
    if (systemdUnits.length === 0) return 'no units are configured (health.systemdUnits)';
    const result = await runCommand([systemctlPath, 'is-active', '--', ...systemdUnits], { timeoutMs }, signal);
    if (result.exitCode === 0) return null;
    // One line of state for each unit, in the order asked for.
    const states = result.output.trim().split('\n');
    if (states.length !== systemdUnits.length) return commandFailure(result, timeoutMs);
    const inactive = systemdUnits.flatMap((unit, index) =>
      states[index] === 'active' ? [] : `${unit}: ${states[index]}`,
    );
    return inactive.length === 0 ? commandFailure(result, timeoutMs) : inactive.join(', ');
  };
  return [{ name: 'systemd-units-active', isRequired: true, run }];
};

const metadataCheck = (options: HealthOptions, purpose: Request['purpose']): readonly Check[] => {
  const { fetchMetadata } = options;
  if (fetchMetadata === null) return [];
  const run: Check['run'] = async (timeoutMs, signal) => {
    // On the old system this process has just fetched the update; whether the server answers now is what a baseline is about.
    if (purpose === 'trial' && options.hasFetchedMetadata()) return null;
    const limit = AbortSignal.timeout(timeoutMs);
    try {
      await fetchMetadata(AbortSignal.any([signal, limit]));
      return null;
    } catch (error) {
      return limit.aborted ? `no metadata within ${timeoutMs} ms` : toFailure(error).message;
    }
  };
  return [{ name: 'agent-fetched-metadata', isRequired: true, run }];
};

const fileChecks = async (folders: readonly string[], isRequired: boolean): Promise<readonly Check[]> => {
  const files = await listCheckFiles(folders, process.getuid?.() ?? 0);
  return files.map(({ name, path, problem }) => ({
    name,
    isRequired,
    run: async (timeoutMs, signal) =>
      problem ?? commandFailure(await runCommand([path], { timeoutMs }, signal), timeoutMs),
  }));
};

/** Checks that the release asks for are required; one that this system does not have fails. */
const withExtra = (checks: readonly Check[], extra: readonly string[]): readonly Check[] => {
  const known = new Set(checks.map((check) => check.name));
  const missing = [...new Set(extra)].filter((name) => !known.has(name));
  return [
    ...checks.map((check) => (extra.includes(check.name) ? { ...check, isRequired: true } : check)),
    ...missing.map((name) => ({ name, isRequired: true, run: async () => 'this system has no such check' })),
  ];
};

const collect = async (options: HealthOptions, { purpose, extraChecks }: Request): Promise<readonly Check[]> =>
  withExtra(
    [
      ...unitsCheck(options, extraChecks.includes('systemd-units-active')),
      ...metadataCheck(options, purpose),
      ...(await fileChecks(options.requiredDirs, true)),
      ...(await fileChecks(options.wantedDirs, false)),
    ],
    extraChecks,
  );

const throwIfCancelled = (signal: AbortSignal): void => {
  if (signal.aborted) throw new OtadError('CANCELLED', { step: 'health checks' });
};

const pause = (clock: Pick<Clock, 'setTimer'>, delayMs: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const end = (): void => {
      timer.cancel();
      signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = clock.setTimer(delayMs, end);
    signal.addEventListener('abort', end, { once: true });
  });

interface Outcome extends CheckResult {
  /** The deadline left it less time than a check has. */
  readonly isHurried: boolean;
}

/** One round of `checks`, one after the other: they may lean on the order of their names. */
const runRound = async (
  checks: readonly Check[],
  timeLeftMs: () => number,
  timeoutMs: number,
  nowMs: () => number,
  signal: AbortSignal,
): Promise<readonly Outcome[]> => {
  const results: Outcome[] = [];
  for (const { name, isRequired, run } of checks) {
    throwIfCancelled(signal);
    const startMs = nowMs();
    const limitMs = Math.min(timeoutMs, timeLeftMs());
    const reason = await run(limitMs, signal);
    const durationMs = Math.round(nowMs() - startMs);
    results.push({ name, isRequired, isPassed: reason === null, reason, durationMs, isHurried: limitMs < timeoutMs });
  }
  throwIfCancelled(signal);
  return results;
};

/**
 * What the deadline finds: a check that failed in the round before has passed once only, and that is not enough. One that
 * failed in both says why it did when it had its full time: cut short, it only says that it was.
 */
const atDeadline = (last: readonly Outcome[], before: readonly Outcome[]): readonly CheckResult[] =>
  last.map(({ isHurried, ...result }) => {
    const earlier = before.find((other) => other.name === result.name);
    if (earlier === undefined || earlier.isPassed) return result;
    if (!result.isPassed) return isHurried && !earlier.isHurried ? { ...result, reason: earlier.reason } : result;
    return {
      ...result,
      isPassed: false,
      reason: `passed only once before the deadline; before that: ${earlier.reason}`,
    };
  });

const arePassed = (results: readonly CheckResult[]): boolean => results.every((result) => result.isPassed);

export const createHealth = (options: HealthOptions): Health => {
  const { clock, checkTimeoutMs, retryMs } = options;
  const nowMs = (): number => clock.now().monoMs;

  const assess: Health['assess'] = async (request, signal): Promise<HealthReport> => {
    const isTrial = request.purpose === 'trial';
    const endMs = nowMs() + request.deadlineMs;
    const remaining = (): number => Math.round(Math.max(endMs - nowMs(), checkTimeMinMs));
    const timeLeftMs = (): number => (isTrial ? remaining() : checkTimeoutMs);
    const round = (checks: readonly Check[]): Promise<readonly Outcome[]> =>
      runRound(checks, timeLeftMs, checkTimeoutMs, nowMs, signal);

    const checks = await collect(options, request);
    const required = checks.filter((check) => check.isRequired);
    const wanted = checks.filter((check) => !check.isRequired);
    let before: readonly Outcome[] = [];
    let last = await round(required);
    const isSettled = (): boolean => (arePassed(before) && arePassed(last)) || nowMs() + retryMs >= endMs;
    // Two rounds even when the deadline is over, as after restarts of the agent: passing once proves nothing.
    while (isTrial && (before.length === 0 || !isSettled())) {
      await pause(clock, retryMs, signal);
      before = last;
      last = await round(required);
    }
    return { results: [...atDeadline(last, before), ...atDeadline(await round(wanted), [])] };
  };

  return { assess };
};
