// Runs a bash script and gives the CPU seconds, user and system, of all that it started and waited for.

import { spawnSync } from 'node:child_process';
import { toolPath } from '../e2e/child-process.ts';

const timeoutMs = 180_000;

/** `times` of bash prints minutes and seconds; its last line is that of the children. */
const childSeconds = (text: string): number => {
  const line = text.trim().split('\n').at(-1) ?? '';
  const parts = [...line.matchAll(/(\d+)m([\d.]+)s/g)];
  if (parts.length !== 2) throw new Error(`times said: ${text}`);
  return parts.reduce((sum, [, minutes, seconds]) => sum + Number(minutes) * 60 + Number(seconds), 0);
};

/** `args` are $1, $2 … of the script. Throws with the script's own words when it fails. */
export const bashCpuSeconds = (script: string, args: readonly string[]): number => {
  // A bash whose input is a socket takes itself for a remote shell and runs ~/.bashrc first, which would count as well.
  const result = spawnSync('bash', ['--norc', '-c', `set -eu -o pipefail; ${script}; times`, 'bash', ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    encoding: 'utf8',
    timeout: timeoutMs,
    env: { ...process.env, PATH: toolPath },
  });
  if (result.status !== 0) throw new Error(`bash: ${result.stderr}`);
  return childSeconds(result.stdout);
};
