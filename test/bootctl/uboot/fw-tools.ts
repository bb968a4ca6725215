// fw_printenv and fw_setenv of libubootenv: the outside oracle.

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { Variables } from '../../../bootctl/uboot/environment.ts';

const run = async (tool: string, args: readonly string[]) =>
  promisify(execFile)(tool, args, { encoding: 'latin1', timeout: 20_000 });

/** All variables (without `.flags`, which the tool does not print), or null when it finds no valid environment. */
export const fwPrintenv = async (configPath: string): Promise<Variables | null> => {
  try {
    const { stdout, stderr } = await run('fw_printenv', ['-c', configPath, '-f', '/nonexistent']);
    if (stderr !== '') return null;
    const lines = stdout.split('\n').filter((line) => line !== '');
    return new Map(lines.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]));
  } catch (error) {
    if ((error as { code?: unknown }).code === 'ENOENT') throw error;
    return null;
  }
};

/** Sets each variable; null deletes. One write of the environment. */
export const fwSetenv = async (
  configPath: string,
  changes: ReadonlyMap<string, string | null>,
  defaultsPath = '/nonexistent',
): Promise<void> => {
  // The argument form takes pairs and, as the last word, one name to delete; each deletion is a call of its own.
  const pairs = [...changes].flatMap(([name, value]) => (value === null ? [] : [name, value]));
  if (pairs.length > 0) await run('fw_setenv', ['-c', configPath, '-f', defaultsPath, ...pairs]);
  for (const [name, value] of changes) {
    if (value === null) await run('fw_setenv', ['-c', configPath, '-f', defaultsPath, name]);
  }
};
