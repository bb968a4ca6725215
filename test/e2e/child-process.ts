// Runs programs to their end: an argument array, a time limit, bounded output.

import { spawn } from 'node:child_process';

const outputCharsMax = 1024 * 1024;
const timeoutMs = 180_000;

/** Debian keeps veritysetup in sbin, which is not on an ordinary user's path. */
export const toolPath = `${process.env.PATH ?? ''}:/usr/sbin:/sbin`;

export interface ProgramResult {
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Never throws for an exit status; throws when the program cannot be started. */
export const runProgram = (command: string, args: readonly string[]): Promise<ProgramResult> =>
  new Promise((done, fail) => {
    const child = spawn(command, args, {
      env: { ...process.env, PATH: toolPath },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: timeoutMs,
    });
    const output = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr'] as const) {
      child[name].setEncoding('utf8').on('data', (text: string) => {
        output[name] = (output[name] + text).slice(-outputCharsMax);
      });
    }
    child.on('error', fail);
    child.on('close', (exitCode) => done({ exitCode, ...output }));
  });

/** Throws with the program's own words unless it ends with 0. */
export const runTool = async (command: string, args: readonly string[]): Promise<string> => {
  const { exitCode, stdout, stderr } = await runProgram(command, args);
  if (exitCode === 0) return stdout;
  throw new Error(`${command} ${args.join(' ')}: exit status ${exitCode}\n${stderr}${stdout}`);
};
