// The commands that order something and wait for how it ends: check and install. They follow the control socket's event
// stream, opened before the order is given, so that nothing is missed however fast it goes.

import type { AcceptedBody, HistoryBody, StatusBody } from '../api/schema.ts';
import { type ErrorCode, type ExitCode, errorCodes, OtadError } from '../core/errors.ts';
import { AnswerError } from './client.ts';
import { type CommandContext, type CommandRun, isAgreed, order, print } from './command.ts';
import { createFollower } from './follower.ts';
import { plain, wrap } from './layout.ts';

/** How an order ended: for programs, for people, for the shell. */
interface Outcome {
  readonly result: 'new' | 'nothing-new' | 'refused' | 'staged' | 'installed' | 'failed';
  readonly exit: ExitCode;
  readonly message: string;
  readonly version: string | null;
}

const checkWaitMs = 300_000;
const nothingNew: readonly string[] = ['up-to-date', 'below-floor'];
const waitsForReboot: readonly string[] = ['reboot-window', 'manual-reboot'];

const isErrorCode = (code: string | null): code is ErrorCode => code !== null && Object.hasOwn(errorCodes, code);

const failed = (code: string | null, message: string, version: string | null): Outcome => {
  const exit = isErrorCode(code) ? errorCodes[code].exitCode : 1;
  // The usage code is for the command line; a failure behind it is an error.
  return { result: 'failed', exit: exit === 64 || exit === 0 ? 1 : exit, message, version };
};

/** What the newest check found. */
const checkOutcome = (status: StatusBody): Outcome => {
  const { lastCheck, staged } = status;
  const version = lastCheck?.version ?? null;
  if (lastCheck === null) return failed(null, 'otad kept no result of the check.', null);
  if (lastCheck.failure !== null) return failed(lastCheck.failure.code, lastCheck.failure.message, version);
  const why = lastCheck.reasons.map((reason) => reason.sentence).join(' ');
  const codes = lastCheck.reasons.map((reason) => reason.code);
  if (staged !== null && (staged.version === version || codes.some((code) => waitsForReboot.includes(code)))) {
    const message = `${staged.version} is installed in slot ${staged.slot} and waits for its reboot. Now: otactl reboot`;
    return { result: 'staged', exit: 4, message, version: staged.version };
  }
  if (codes.length > 0 && codes.every((code) => nothingNew.includes(code))) {
    return { result: 'nothing-new', exit: 2, message: why, version };
  }
  const isNamed = version !== null && why.includes(version);
  const blocking = codes.filter((code) => code !== 'manual-install');
  if (blocking.length > 0)
    return {
      result: 'refused',
      exit: 3,
      message: [
        isNamed ? why : `${version ?? 'A release'} is not installed now. ${why}`,
        ...(status.todo === null ? [] : [status.todo]),
      ].join(' '),
      version,
    };
  const message =
    codes.length > 0
      ? `${version} is available. To install it: otactl install`
      : `${version} is new and is being installed. To follow: otactl watch`;
  return { result: 'new', exit: 0, message, version };
};

const isCheckOver = (before: StatusBody, status: StatusBody): boolean =>
  status.phase !== 'checking' && status.lastCheck !== null && status.lastCheck.timeMs !== before.lastCheck?.timeMs;

const report = (context: CommandContext, outcome: Outcome): ExitCode => {
  const { exit, ...body } = outcome;
  if (exit !== 1 && exit !== 5) print(context, body, () => wrap(plain(outcome.message), context.terminal.columns));
  else if (context.invocation.isJson) context.terminal.line(JSON.stringify(body, null, 2));
  else context.terminal.complain(plain(outcome.message));
  return exit;
};

/** Gives the order behind the first status of the stream; calls `step` with each later one until it answers. */
const orderAndFollow = async (
  context: CommandContext,
  path: string,
  waitMs: number | null,
  step: (before: StatusBody, status: StatusBody) => Promise<Outcome | null>,
  atEnd: (last: StatusBody) => Outcome | null,
): Promise<Outcome> => {
  const limit = waitMs === null ? null : AbortSignal.timeout(waitMs);
  const signal = limit === null ? context.signal : AbortSignal.any([context.signal, limit]);
  let before: StatusBody | null = null;
  let last: StatusBody | null = null;
  try {
    for await (const status of context.api.events('control', signal)) {
      last = status;
      if (before === null) {
        before = status;
        await context.api.post<AcceptedBody>(path);
        continue;
      }
      const outcome = await step(before, status);
      if (outcome !== null) return outcome;
    }
  } catch (error) {
    if (limit?.aborted !== true) throw error;
    throw new AnswerError(
      'AGENT_UNREACHABLE',
      `Not finished after ${(waitMs ?? 0) / 1000} s; otad goes on. To follow: otactl watch`,
    );
  }
  const outcome = last === null ? null : atEnd(last);
  if (outcome !== null) return outcome;
  throw new AnswerError('AGENT_UNREACHABLE', 'otad went away before it was finished. See: journalctl -u otad -n 50');
};

export const runCheck: CommandRun = async (context) => {
  const { invocation } = context;
  if (!invocation.isWaiting) return order(context, '/v1/check');
  const outcome = await orderAndFollow(
    context,
    '/v1/check',
    invocation.timeoutMs ?? checkWaitMs,
    async (before, status) => (isCheckOver(before, status) ? checkOutcome(status) : null),
    () => null,
  );
  return report(context, outcome);
};

const lastInstallFailure = async ({ api }: CommandContext): Promise<HistoryBody['history'][number] | null> => {
  const { history } = await api.get<HistoryBody>('/v1/history?limit=20');
  return history.find((entry) => entry.type === 'install-failed') ?? null;
};

const installed = ({ staged, next }: StatusBody, version: string | null): Outcome => {
  const name = staged?.version ?? version ?? 'The release';
  const where = staged === null ? '' : ` in slot ${staged.slot}`;
  return { result: 'installed', exit: 0, message: `${name} is installed and verified${where}. ${next}`, version: name };
};

const pastInstall: readonly StatusBody['phase'][] = ['staged', 'activating', 'rebooting'];

/** How the install ended, or null while it goes on. */
const installOutcome = async (
  context: CommandContext,
  failureBefore: { readonly timeMs: number } | null,
  before: StatusBody,
  status: StatusBody,
): Promise<Outcome | null> => {
  if (status.plan <= before.plan) return null;
  const isSameAsBefore = before.staged !== null && before.staged.releaseId === status.staged?.releaseId;
  if (status.phase === 'staged' && isSameAsBefore) return isCheckOver(before, status) ? checkOutcome(status) : null;
  if (pastInstall.includes(status.phase)) return installed(status, status.lastCheck?.version ?? null);
  if (status.phase === 'halted') {
    return failed(status.attention?.code ?? null, status.attention?.message ?? status.now, null);
  }
  if (status.phase !== 'idle') return null;
  const failure = await lastInstallFailure(context);
  if (failure !== null && failure.timeMs !== failureBefore?.timeMs) {
    return failed(failure.code, failure.reason ?? 'The install failed. See: otactl history', failure.version);
  }
  return isCheckOver(before, status) ? checkOutcome(status) : null;
};

export const runInstall: CommandRun = async (context) => {
  const { invocation, terminal } = context;
  const question = 'Install what the server offers into the slot that is not running? This system goes on running.';
  if (!(await isAgreed(context, question))) return 1;
  if (!invocation.isWaiting) return order(context, '/v1/install');
  const failureBefore = await lastInstallFailure(context);
  const follower = invocation.isJson ? null : createFollower(terminal);
  try {
    const outcome = await orderAndFollow(
      context,
      '/v1/install',
      invocation.timeoutMs,
      async (before, status) => {
        const outcome = await installOutcome(context, failureBefore, before, status);
        // The end is told once, by the outcome.
        if (outcome === null) follower?.show(status);
        return outcome;
      },
      // A reboot that comes at once takes otad with it.
      (last) => (pastInstall.includes(last.phase) ? installed(last, null) : null),
    );
    follower?.end();
    return report(context, outcome);
  } catch (error) {
    follower?.end();
    if (!context.signal.aborted) throw error;
    throw new OtadError('CANCELLED', { watching: 'stopped', install: 'goes on; otactl status shows how far it is' });
  }
};
