// Runs the programs that an image is built with. Each gets an argument array, a time limit and an environment that says
// nothing of the machine: no locale, no time zone, no home. Never a shell.

import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { OtadError } from '../agent/core/errors.ts';

const timeoutMsDefault = 30 * 60_000;
const outputBytesMax = 32 * 1024 * 1024;
const complaintLines = 6;

export interface ToolOptions {
  readonly cwd?: string;
  readonly environment?: Readonly<Record<string, string>>;
  /** Standard output goes into this file and is not returned. */
  readonly outputPath?: string;
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal | undefined;
}

/** Seconds since 1970 that stand in for the time of the build, as SOURCE_DATE_EPOCH has it. */
export const toolEnvironment = (sourceDateEpochS: number): Readonly<Record<string, string>> => ({
  SOURCE_DATE_EPOCH: String(sourceDateEpochS),
});

/** Debian keeps half of these programs in sbin, which is not on an ordinary user's path. */
const searchPath = (): string => `${process.env.PATH ?? ''}:/usr/sbin:/sbin`;

/** Standard output. Throws TOOL_MISSING, TOOL_FAILED, CANCELLED. */
export const runTool = (program: string, args: readonly string[], options: ToolOptions = {}): Promise<string> =>
  new Promise((resolve, reject) => {
    // The child writes into the file itself: when it has ended, all of it is there.
    const output = options.outputPath === undefined ? null : openSync(options.outputPath, 'w');
    const child = spawn(program, args, {
      cwd: options.cwd,
      env: { PATH: searchPath(), LC_ALL: 'C', TZ: 'UTC', HOME: '/nonexistent', ...proxies(), ...options.environment },
      stdio: ['ignore', output ?? 'pipe', 'pipe'],
      timeout: options.timeoutMs ?? timeoutMsDefault,
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
    const pieces: Buffer[] = [];
    let lengthBytes = 0;
    let complaint = '';
    if (output !== null) closeSync(output);
    child.stdout?.on('data', (bytes: Buffer) => {
      lengthBytes += bytes.length;
      if (lengthBytes > outputBytesMax) child.kill();
      else pieces.push(bytes);
    });
    child.stderr?.on('data', (bytes: Buffer) => {
      complaint = (complaint + bytes.toString('utf8')).slice(-65_536);
    });
    child.once('error', (cause: NodeJS.ErrnoException) => {
      if (cause.code === 'ENOENT') return reject(new OtadError('TOOL_MISSING', { program }, { cause }));
      if (options.signal?.aborted === true) return reject(new OtadError('CANCELLED', { program }, { cause }));
      reject(new OtadError('TOOL_FAILED', { program, problem: cause.message }, { cause }));
    });
    child.once('close', (exitCode, signal) => {
      if (exitCode === 0) return resolve(Buffer.concat(pieces).toString('utf8'));
      const problem = complaint.trim().split('\n').slice(-complaintLines).join('\n');
      reject(new OtadError('TOOL_FAILED', { program, exitCode, signal, problem }));
    });
  });

/** What reaches the mirror from here is the machine's business and changes no byte of what comes from it. */
const proxies = (): Readonly<Record<string, string>> =>
  Object.fromEntries(
    ['http_proxy', 'https_proxy', 'no_proxy'].flatMap((name) => {
      const value = process.env[name];
      return value === undefined ? [] : [[name, value]];
    }),
  );
