// Runs the built otactl as a child process, the way a technician's shell does.

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { treeRoot } from '../../support/reference.ts';

export const otactlPath = (): string => join(treeRoot(), 'dist', 'agent', 'otactl.js');

export interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** User to run as, and the group of the same number as the only one. */
  readonly uid?: number;
}

const environment = (extra: Readonly<Record<string, string>> = {}): Record<string, string> => ({
  PATH: process.env.PATH ?? '',
  TZ: 'UTC',
  ...extra,
});

export const start = (args: readonly string[], { env, uid }: RunOptions = {}): ChildProcess =>
  spawn(process.execPath, [otactlPath(), ...args], {
    env: environment(env),
    cwd: '/',
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(uid === undefined ? {} : { uid, gid: uid }),
  });

export const ended = (child: ChildProcess): Promise<Ended> =>
  new Promise((resolve, reject) => {
    let out = '';
    let err = '';
    child.stdout?.setEncoding('utf8').on('data', (piece: string) => {
      out += piece;
    });
    child.stderr?.setEncoding('utf8').on('data', (piece: string) => {
      err += piece;
    });
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, out, err }));
  });

export const otactl = (directory: string, ...args: readonly string[]): Promise<Ended> =>
  ended(start(args, { env: { OTAD_SOCKET_DIR: directory } }));

const quote = (word: string): string => `'${word.replaceAll("'", "'\\''")}'`;

/** A program of Node's on a real terminal (util-linux `script`); what is written to its input is typed. */
export const spawnOnTerminal = (words: readonly string[], env: Readonly<Record<string, string>> = {}): ChildProcess =>
  spawn('script', ['-qec', [process.execPath, ...words].map(quote).join(' '), '/dev/null'], {
    env: environment({ TERM: 'xterm', SHELL: '/bin/sh', ...env }),
    stdio: ['pipe', 'pipe', 'pipe'],
  });

/** otactl on a real terminal, with `input` typed at it. */
export const startOnTerminal = (
  directory: string,
  args: readonly string[],
  input: string,
  env: Readonly<Record<string, string>> = {},
): ChildProcess => {
  const child = spawnOnTerminal([otactlPath(), ...args], { OTAD_SOCKET_DIR: directory, ...env });
  child.stdin?.end(input);
  return child;
};

export const otactlOnTerminal = (...args: Parameters<typeof startOnTerminal>): Promise<Ended> =>
  ended(startOnTerminal(...args));

/** What each child printed since it was first asked about. */
const outputs = new WeakMap<ChildProcess, { text: string }>();

const outputOf = (child: ChildProcess): { readonly text: string } => {
  const known = outputs.get(child);
  if (known !== undefined) return known;
  const output = { text: '' };
  outputs.set(child, output);
  child.stdout?.on('data', (piece: Buffer | string) => {
    output.text += piece;
  });
  return output;
};

/** Resolves once what the child printed matches, be it now or before: it does not wait for the test to look. */
export const printed = (child: ChildProcess, pattern: RegExp): Promise<void> =>
  new Promise((resolve, reject) => {
    const output = outputOf(child);
    const look = (): void => {
      if (pattern.test(output.text)) resolve();
    };
    look();
    child.stdout?.on('data', look);
    child.on('close', () => reject(new Error(`never printed ${pattern}: ${output.text}`)));
  });

/** The exit code, and words that stand in what it printed. */
export const assertExit = (result: Ended, code: number, pattern: RegExp) => {
  assert.equal(result.code, code, `${result.out}${result.err}`);
  assert.match(result.out + result.err, pattern);
};
