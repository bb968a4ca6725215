// The bootloaders alone, beside their models: NAME.lab.ts in this folder, each a case of its own in node's test runner.

import { execFile, spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import { deviceFolder } from './lab/releases.ts';
import { type Count, failureText, noTally, restartsIn, type Tally } from './lab/tally.ts';

const folder = import.meta.dirname;
const suffix = '.lab.js';
/** Stands for all of them. */
export const bootloaders = 'bootloaders';
const outputFile = 'output.txt';
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

const failed = (tally: Tally, name: string, look: string): Tally => {
  console.log(failureText(name, [look], name));
  return { ...tally, failed: [name] };
};

/** Prints what the case says when it is over, and keeps it: two of them speak at the same time. */
const runCase = async (name: string): Promise<Tally> => {
  const args = ['--test', '--test-reporter=spec', join(folder, `${name}${suffix}`)];
  const { error, output } = await new Promise<{ readonly error: Error | null; readonly output: string }>((done) =>
    execFile(process.execPath, args, { maxBuffer: outputBytesMax }, (failure, stdout, stderr) =>
      done({ error: failure, output: stdout + stderr }),
    ),
  );
  console.log(output);
  const logs = join(deviceFolder, 'logs', name);
  await mkdir(logs, { recursive: true });
  await writeFile(join(logs, outputFile), output);
  const tally = { ...noTally, cases: 1, restarts: restartsIn(output) };
  return error === null ? tally : failed(tally, name, `look at ${relative('.', join(logs, outputFile))}`);
};

export const runBootloaders = async (names: readonly string[], count: Count): Promise<void> => {
  const isBuilt = !names.some((name) => name.startsWith('u-boot')) || ['sandbox', 'qemu-arm64'].every(buildUboot);
  // The longest is among the last by name: begun first, it has the short ones beside it.
  const queue = [...names].reverse();
  const work = async (): Promise<void> => {
    for (let name = queue.shift(); name !== undefined; name = queue.shift()) {
      const isReady = isBuilt || !name.startsWith('u-boot');
      const unbuilt = { ...noTally, cases: 1 };
      await count(name, isReady ? await runCase(name) : failed(unbuilt, name, 'U-Boot could not be built: see above'));
    }
  };
  await Promise.all(Array.from({ length: widthMax }, work));
};
