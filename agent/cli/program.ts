// otactl as a function: arguments in, exit code out. Names the run of each command; turns every error into one sentence
// and the registry's exit code.

import { type ExitCode, errorCodes, OtadError, toFailure } from '../core/errors.ts';
import { runConfirm, runHold, runReboot, runRelease, runUndeny } from './act.ts';
import { type Invocation, readArguments, UsageError } from './arguments.ts';
import { runBoot } from './boot.ts';
import { createClient, socketsAt } from './client.ts';
import type { CommandRun } from './command.ts';
import { completionScript, isShell } from './completion.ts';
import { runMarkBad, runRollback } from './give-up.ts';
import { commandHelp, generalHelp } from './help.ts';
import { plain } from './layout.ts';
import { runConfig, runHistory, runSlots, runStatus, runWhy } from './look.ts';
import type { Terminal } from './terminal.ts';
import { runCheck, runInstall } from './update.ts';
import type { CommandName } from './usage.ts';
import { runWatch } from './watch.ts';

const socketDirectory = '/run/otad';
/** Longer than otad gives the boot helper for an answer. */
const answerTimeoutMs = 30_000;

const runCompletion: CommandRun = async ({ invocation, terminal }) => {
  const shell = invocation.words[0] ?? '';
  if (!isShell(shell)) throw new UsageError(`otactl has no completion for '${shell}'.`, 'completion');
  terminal.line(completionScript(shell).trimEnd());
  return 0;
};

const runs: Readonly<Record<CommandName, CommandRun>> = {
  status: runStatus,
  why: runWhy,
  history: runHistory,
  slots: runSlots,
  boot: runBoot,
  watch: runWatch,
  config: runConfig,
  check: runCheck,
  install: runInstall,
  reboot: runReboot,
  confirm: runConfirm,
  rollback: runRollback,
  'mark-bad': runMarkBad,
  hold: runHold,
  release: runRelease,
  undeny: runUndeny,
  completion: runCompletion,
};

const waiting: readonly CommandName[] = ['check', 'install', 'rollback', 'mark-bad'];

const complainUsage = (terminal: Terminal, error: UsageError): ExitCode => {
  terminal.complain(plain(error.message));
  terminal.complain(error.command === null ? 'Help: otactl --help' : `Help: otactl ${error.command} --help`);
  return 64;
};

const complain = (terminal: Terminal, error: unknown, isJson: boolean): ExitCode => {
  const failure = toFailure(error);
  const { code, class: cls, message } = failure;
  if (isJson) terminal.line(JSON.stringify({ error: { code, class: cls, message } }, null, 2));
  else terminal.complain(`${plain(message)} [${code}]`);
  return errorCodes[code].exitCode;
};

const run = async (
  invocation: Invocation,
  terminal: Terminal,
  env: Readonly<Record<string, string | undefined>>,
  signal: AbortSignal,
): Promise<ExitCode> => {
  const fromEnvironment = env.OTAD_SOCKET_DIR || null;
  const sockets =
    invocation.socket === null
      ? socketsAt(fromEnvironment ?? socketDirectory, fromEnvironment === null ? null : 'OTAD_SOCKET_DIR')
      : socketsAt(invocation.socket, '--socket');
  // For the commands that wait, --timeout bounds the waiting; a single answer keeps its own bound.
  const isBounded = invocation.timeoutMs !== null && !waiting.includes(invocation.command);
  const api = createClient(sockets, isBounded ? (invocation.timeoutMs ?? answerTimeoutMs) : answerTimeoutMs);
  return runs[invocation.command]({ invocation, api, terminal, signal });
};

/** Never throws. `signal` fires on Ctrl-C. */
export const runProgram = async (
  argv: readonly string[],
  terminal: Terminal,
  env: Readonly<Record<string, string | undefined>>,
  version: string,
  signal: AbortSignal,
): Promise<ExitCode> => {
  try {
    const request = readArguments(argv);
    if (request.kind === 'version') {
      terminal.line(`otactl ${version}`);
      return 0;
    }
    if (request.kind === 'help') {
      terminal.line((request.command === null ? generalHelp() : commandHelp(request.command)).trimEnd());
      return 0;
    }
    return await run(request.invocation, terminal, env, signal);
  } catch (error) {
    if (error instanceof UsageError) return complainUsage(terminal, error);
    const shown = signal.aborted && !(error instanceof OtadError) ? new OtadError('CANCELLED') : error;
    return complain(terminal, shown, argv.includes('--json'));
  }
};
