// Orders something and follows the control socket's event stream until it ends. The stream is opened before the order is
// given, so that nothing is missed however fast it goes.

import type { AcceptedBody, StatusBody } from '../api/schema.ts';
import { type ErrorCode, type ExitCode, errorCodes } from '../core/errors.ts';
import { AnswerError } from './client.ts';
import { type CommandContext, print } from './command.ts';
import { plain, wrap } from './layout.ts';

/** How an order ended: for programs, for people, for the shell. */
export interface Outcome {
  readonly result: 'new' | 'nothing-new' | 'refused' | 'staged' | 'installed' | 'going-back' | 'marked-bad' | 'failed';
  readonly exit: ExitCode;
  readonly message: string;
  readonly version: string | null;
  /** Of the error, where it failed. */
  readonly code?: string;
}

const isErrorCode = (code: string | null): code is ErrorCode => code !== null && Object.hasOwn(errorCodes, code);

export const failed = (code: string | null, message: string, version: string | null): Outcome => {
  const exit = isErrorCode(code) ? errorCodes[code].exitCode : 1;
  // The usage code is for the command line; a failure behind it is an error.
  return {
    result: 'failed',
    exit: exit === 64 || exit === 0 ? 1 : exit,
    message,
    version,
    ...(code === null ? {} : { code }),
  };
};

export const report = (context: CommandContext, outcome: Outcome): ExitCode => {
  const { exit, ...body } = outcome;
  if (exit !== 1 && exit !== 5) print(context, body, () => wrap(plain(outcome.message), context.terminal.columns));
  else if (context.invocation.isJson) context.terminal.line(JSON.stringify(body, null, 2));
  else context.terminal.complain(`${plain(outcome.message)}${outcome.code === undefined ? '' : ` [${outcome.code}]`}`);
  return exit;
};

/** Gives the order behind the first status of the stream; calls `step` with each later one until it answers. */
export const orderAndFollow = async (
  context: CommandContext,
  path: string,
  body: object,
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
        await context.api.post<AcceptedBody>(path, body);
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
