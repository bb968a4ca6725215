// `node dist/image/uboot-environment.js [NAME=VALUE ...] > otad.env`: the environment to compile into U-Boot
// (CONFIG_DEFAULT_ENV_FILE), which holds the whole A/B logic. Arguments are the board's own variables.

import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { flattenScript, scriptName } from '../bootctl/uboot/boot-script.ts';
import { lostVariables } from '../bootctl/uboot/variables.ts';

const scriptPath = fileURLToPath(new URL('../../bootctl/uboot/boot.cmd', import.meta.url));

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
  process.stdout.write(formatEnvironment(await readFile(scriptPath, 'utf8'), process.argv.slice(2)));
} catch (error) {
  console.error((error as Error).message);
  process.exitCode = 64;
}
