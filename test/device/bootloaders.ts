// The bootloaders alone, beside their models: NAME.lab.ts in this folder, each a case of its own in node's test runner.

import { execFile, spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { type Count, noTally } from './lab/tally.ts';

const folder = import.meta.dirname;
const suffix = '.lab.js';
/** Stands for all of them. */
export const bootloaders = 'bootloaders';
const widthMax = 2;
const outputBytesMax = 64 * 1024 * 1024;

export const bootloaderCases = (): readonly string[] =>
  readdirSync(folder)
    .filter((file) => file.endsWith(suffix))
    .map((file) => file.slice(0, -suffix.length))
    .sort();

/** Once for all cases, before any of them looks at a clock. */
const buildUboot = (target: string): boolean => {
  const script = resolve(folder, '../../../test/device/u-boot-build.sh');
  return spawnSync('bash', [script, target], { stdio: ['ignore', 'ignore', 'inherit'] }).status === 0;
};

/** Prints what the case says when it is over: two of them speak at the same time. */
const runCase = async (name: string): Promise<boolean> => {
  const args = ['--test', '--test-reporter=spec', join(folder, `${name}${suffix}`)];
  const { error, output } = await new Promise<{ readonly error: Error | null; readonly output: string }>((done) =>
    execFile(process.execPath, args, { maxBuffer: outputBytesMax }, (failure, stdout, stderr) =>
      done({ error: failure, output: stdout + stderr }),
    ),
  );
  console.log(output);
  return error === null;
};

export const runBootloaders = async (names: readonly string[], count: Count): Promise<void> => {
  const isBuilt = !names.some((name) => name.startsWith('u-boot')) || ['sandbox', 'qemu-arm64'].every(buildUboot);
  // The longest is among the last by name: begun first, it has the short ones beside it.
  const queue = [...names].reverse();
  const work = async (): Promise<void> => {
    for (let name = queue.shift(); name !== undefined; name = queue.shift()) {
      const hasPassed = (isBuilt || !name.startsWith('u-boot')) && (await runCase(name));
      await count(name, { ...noTally, cases: 1, failed: hasPassed ? [] : [name] });
    }
  };
  await Promise.all(Array.from({ length: widthMax }, work));
};
