// Runs one program to its end: argv and never a shell, its own process group, a time limit (SIGTERM, then SIGKILL to the
// group), bounded output, and an environment without what is only meant for this process (sockets of systemd, proxies).
// Returns whatever the program did; throws only CANCELLED. Must never wait for a program that even SIGKILL does not end.

import { type ChildProcess, spawn } from 'node:child_process';
import { OtadError } from '../core/errors.ts';

export interface CommandOptions {
  readonly timeoutMs: number;
  /** Between SIGTERM and SIGKILL. */
  readonly graceMs?: number;
  /** True: what it leaves running in its group may go on, as a reboot in the background must. */
  readonly mayLeaveBehind?: boolean;
  /** Added to the bare environment. */
  readonly env?: Readonly<Record<string, string>>;
}

export interface CommandResult {
  /** Null when a signal ended it, when it could not be started, or when nothing ends it. */
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly isTimedOut: boolean;
  /** Why it could not be started; null when it ran. */
  readonly startError: string | null;
  /** The end of stdout and stderr together, as far as it fits. */
  readonly output: string;
  readonly durationMs: number;
}

const outputBytesMax = 8 * 1024;
const lineLengthMax = 200;
const graceMsDefault = 2000;
/** After the program has ended: how long something that escaped its group may hold the output open. */
const drainMs = 250;
/** After SIGKILL: a program in uninterruptible sleep (a dead disk or bus) stays, and its end is not waited for. */
const stuckMs = 2000;

const bareEnvironment = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', LANG: 'C.UTF-8' };

/** Ends the whole group; it may be gone already. */
const signalGroup = (child: ChildProcess, signal: NodeJS.Signals): void => {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, signal);
  } catch {
    // ESRCH: nothing is left of it.
  }
};

const tailOf = (chunks: readonly Buffer[]): string => Buffer.concat(chunks).subarray(-outputBytesMax).toString('utf8');

const keepTail = (child: ChildProcess): (() => string) => {
  let chunks: Buffer[] = [];
  let length = 0;
  const keep = (chunk: Buffer): void => {
    chunks.push(chunk);
    length += chunk.length;
    if (length > 4 * outputBytesMax) {
      chunks = [Buffer.concat(chunks).subarray(-outputBytesMax)];
      length = outputBytesMax;
    }
  };
  child.stdout?.on('data', keep);
  child.stderr?.on('data', keep);
  return () => tailOf(chunks);
};

export const runCommand = (
  argv: readonly string[],
  options: CommandOptions,
  signal: AbortSignal,
): Promise<CommandResult> =>
  new Promise((resolve, reject) => {
    const [program = '', ...parameters] = argv;
    if (signal.aborted) {
      reject(new OtadError('CANCELLED', { program }));
      return;
    }
    const startedAt = performance.now();
    const child = spawn(program, parameters, {
      cwd: '/',
      detached: true,
      env: { ...bareEnvironment, ...options.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const output = keepTail(child);
    let isTimedOut = false;
    let timer: NodeJS.Timeout | undefined;

    const kill = (): void => {
      signalGroup(child, 'SIGTERM');
      timer = setTimeout(() => {
        signalGroup(child, 'SIGKILL');
        timer = setTimeout(abandon, stuckMs);
      }, options.graceMs ?? graceMsDefault);
    };
    const abort = (): void => {
      clearTimeout(timer);
      kill();
    };
    timer = setTimeout(() => {
      isTimedOut = true;
      kill();
    }, options.timeoutMs);
    signal.addEventListener('abort', abort, { once: true });

    const settle = (exitCode: number | null, endSignal: NodeJS.Signals | null, startError: string | null): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', abort);
      child.stdout?.destroy();
      child.stderr?.destroy();
      if (signal.aborted) reject(new OtadError('CANCELLED', { program }));
      else {
        const durationMs = performance.now() - startedAt;
        resolve({ exitCode, signal: endSignal, isTimedOut, startError, output: output(), durationMs });
      }
    };
    const abandon = (): void => {
      // Nor may it keep this process from ending.
      child.unref();
      settle(null, null, null);
    };
    child.once('error', (error: NodeJS.ErrnoException) => settle(null, null, error.code ?? error.message));
    child.once('exit', (exitCode, endSignal) => {
      clearTimeout(timer);
      // What it left running in its group would outlive its verdict, and hold its output open.
      if (options.mayLeaveBehind !== true || isTimedOut || signal.aborted) signalGroup(child, 'SIGKILL');
      timer = setTimeout(() => settle(exitCode, endSignal, null), drainMs);
      child.once('close', () => settle(exitCode, endSignal, null));
    });
  });

/** The last line with something on it, without control characters, as far as a reason should be long. */
export const lastLine = (output: string): string | null => {
  const lines = output
    .split(/[\r\n]+/)
    .map((line) => line.replace(/[\s\p{C}]+/gu, ' ').trim())
    .filter((line) => line !== '');
  const last = lines.at(-1);
  return last === undefined ? null : last.slice(0, lineLengthMax);
};

/** Null when the program succeeded, else why it did not, as one sentence part. */
export const commandFailure = (result: CommandResult, timeoutMs: number): string | null => {
  const last = lastLine(result.output);
  const tail = last === null ? '' : `: ${last}`;
  if (result.startError !== null) return `could not be started: ${result.startError}`;
  if (result.isTimedOut) {
    const isStuck = result.exitCode === null && result.signal === null;
    return `no answer within ${timeoutMs} ms${isStuck ? ', and it cannot be ended' : ''}${tail}`;
  }
  if (result.signal !== null) return `ended by ${result.signal}${tail}`;
  return result.exitCode === 0 ? null : `exit status ${result.exitCode}${tail}`;
};
