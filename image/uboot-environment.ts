// `node dist/image/uboot-environment.js [--board NAME] [NAME=VALUE ...] > otad.env`: the environment to compile into U-Boot
// (CONFIG_DEFAULT_ENV_FILE), which holds the whole A/B logic. NAME=VALUE are the board's own variables; those of a board of
// the reference image are known.

import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { flattenScript, scriptName } from '../bootctl/uboot/boot-script.ts';
import { lostVariables } from '../bootctl/uboot/variables.ts';
import { type Board, findBoard } from './boards.ts';

const scriptPath = fileURLToPath(new URL('../../bootctl/uboot/boot.cmd', import.meta.url));

/** What uboot/NAME.env says, and the kernel arguments that do not change. */
const knownVariables = async ({ name, start, commandLine }: Board): Promise<readonly string[]> => {
  if (start.kind !== 'u-boot' && start.kind !== 'pi-u-boot') throw new RangeError(`${name} does not start by U-Boot`);
  const text = await readFile(new URL(`../../image/uboot/${name}.env`, import.meta.url), 'utf8');
  return [...text.split('\n').filter((line) => line !== ''), `otad_bootargs=${commandLine.join(' ')}`];
};

/** Lines of NAME=VALUE. `board` overrides what is there by default. */
const formatEnvironment = (script: string, board: readonly string[]): string => {
  const variables = new Map([...lostVariables, ['bootcmd', `run ${scriptName}`], [scriptName, flattenScript(script)]]);
  for (const pair of board) {
    const equals = pair.indexOf('=');
    if (equals < 1 || pair.includes('\n')) throw new RangeError(`not NAME=VALUE: ${pair}`);
    variables.set(pair.slice(0, equals), pair.slice(equals + 1));
  }
  return [...variables].map(([name, value]) => `${name}=${value}\n`).join('');
};

try {
  const { values, positionals } = parseArgs({ options: { board: { type: 'string' } }, allowPositionals: true });
  const refuse = (known: string): Error => new RangeError(`--board is one of ${known}`);
  const known = values.board === undefined ? [] : await knownVariables(findBoard(values.board, refuse));
  process.stdout.write(formatEnvironment(await readFile(scriptPath, 'utf8'), [...known, ...positionals]));
} catch (error) {
  console.error((error as Error).message);
  process.exitCode = 64;
}
