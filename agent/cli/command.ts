// What every command of otactl gets, and how it prints.

import type { AcceptedBody } from '../api/schema.ts';
import type { ExitCode } from '../core/errors.ts';
import type { Invocation } from './arguments.ts';
import type { ApiClient } from './client.ts';
import { plain, wrap } from './layout.ts';
import type { Terminal } from './terminal.ts';

export interface CommandContext {
  readonly invocation: Invocation;
  readonly api: ApiClient;
  readonly terminal: Terminal;
  /** Fires on Ctrl-C. */
  readonly signal: AbortSignal;
}

export type CommandRun = (context: CommandContext) => Promise<ExitCode>;

/** The body as it came with --json, else the lines. */
export const print = ({ invocation, terminal }: CommandContext, body: object, lines: () => readonly string[]): void => {
  if (invocation.isJson) terminal.line(JSON.stringify(body, null, 2));
  else for (const line of lines()) terminal.line(line);
};

/** Sends a command and prints what otad says to it. */
export const order = async (context: CommandContext, path: string, body?: object): Promise<ExitCode> => {
  const answer = await context.api.post<AcceptedBody>(path, body);
  print(context, answer, () => wrap(plain(answer.message), context.terminal.columns));
  return 0;
};

/** Asks before something that cannot be taken back, when somebody is there to be asked. */
export const isAgreed = async (context: CommandContext, question: string): Promise<boolean> => {
  const { invocation, terminal, signal } = context;
  if (invocation.isYes || !terminal.canAsk) return true;
  const isYes = await terminal.ask(question, signal);
  if (!isYes) terminal.complain('Nothing was changed.');
  return isYes;
};
