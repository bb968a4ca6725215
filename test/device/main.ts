// `npm run test:device`: the device lab. Gateways that boot the reference image in QEMU (lab/), and the bootloaders alone
// (NAME.lab.ts beside this file, run by node's test runner). Console logs stay under .device/logs.

import { spawn, spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { labBoards } from './lab/boards.ts';
import { labCases } from './lab/cases.ts';
import { type Job, runLab } from './lab/lab.ts';
import { readWords, usage, type Wish } from './lab/words.ts';

const folder = import.meta.dirname;
const suffix = '.lab.js';
/** Stands for all cases of the bootloaders alone. */
const bootloaders = 'bootloaders';
const usageStatus = 64;

const bootloaderCases = (): readonly string[] =>
  readdirSync(folder)
    .filter((file) => file.endsWith(suffix))
    .map((file) => file.slice(0, -suffix.length))
    .sort();

/** Once for all cases, before any of them looks at a clock. */
const buildUboot = (target: string): boolean => {
  const script = resolve(folder, '../../../test/device/u-boot-build.sh');
  return spawnSync('bash', [script, target], { stdio: ['ignore', 'ignore', 'inherit'] }).status === 0;
};

/** Gives the names of those that failed; they cannot be told apart here. */
const runBootloaders = async (names: readonly string[]): Promise<readonly string[]> => {
  if (names.length === 0) return [];
  if (names.some((name) => name.startsWith('u-boot')) && !['sandbox', 'qemu-arm64'].every(buildUboot)) return names;
  const files = names.map((name) => join(folder, `${name}${suffix}`));
  const args = ['--test', '--test-reporter=spec', '--test-concurrency=2', ...files];
  const child = spawn(process.execPath, args, { stdio: 'inherit' });
  const status = await new Promise((done) => child.once('exit', done));
  return status === 0 ? [] : [bootloaders];
};

/** What a job may be called: its case, its case on this boot path, or, of numbered ones, what they have in common. */
const namesOf = (job: Job): readonly string[] => {
  const names = [job.labCase.name, job.labCase.name.replace(/-[0-9]+$/, '')];
  return [...names, ...names.map((name) => `${name}@${job.board.name}`)];
};

interface Plan {
  readonly jobs: readonly Job[];
  readonly bootloaders: readonly string[];
}

const cutsDefault = { smoke: 2, full: 20 } as const;

const cutsOf = ({ cuts, isSmoke, seed }: Wish) => ({
  seed,
  count: cuts ?? (isSmoke ? cutsDefault.smoke : cutsDefault.full),
});

/** Words that plan the same power cuts again. */
const cutWords = (wish: Wish): string => {
  const { seed, count } = cutsOf(wish);
  return ` --cuts ${count} --seed ${seed}`;
};

/** Throws RangeError for a name that nothing has. */
const makePlan = (wish: Wish): Plan => {
  const all = labBoards.flatMap((board) =>
    labCases(cutsOf(wish))
      .filter(({ isFor }) => isFor?.(board) ?? true)
      .map((labCase) => ({ board, labCase })),
  );
  const alone = bootloaderCases();
  if (wish.cases.length === 0) {
    return wish.isSmoke
      ? { jobs: all.filter(({ labCase }) => labCase.isSmoke), bootloaders: [] }
      : { jobs: all, bootloaders: alone };
  }
  const isWanted = (names: readonly string[]): boolean => names.some((name) => wish.cases.includes(name));
  const known = [...all.flatMap(namesOf), ...alone, bootloaders];
  const unknown = wish.cases.filter((name) => !known.includes(name));
  if (unknown.length > 0)
    throw new RangeError(`there is no case ${unknown.join(', ')}: --list names all that there are`);
  return {
    jobs: all.filter((job) => isWanted(namesOf(job))),
    bootloaders: alone.filter((name) => isWanted([name, bootloaders])),
  };
};

const list = (wish: Wish): void => {
  for (const { name, claim, isSmoke } of labCases(cutsOf(wish)))
    console.log(`${name.padEnd(24)} ${isSmoke ? '*' : ' '} ${claim}`);
  console.log(`on ${labBoards.map(({ name }) => `@${name}`).join(', ')}; * in the short run (--smoke)`);
  console.log(`the bootloaders alone (${bootloaders}): ${bootloaderCases().join(', ')}`);
};

const run = async (): Promise<number> => {
  const wish = readWords(process.argv.slice(2));
  if (wish.isHelp) console.log(usage);
  if (wish.isList) list(wish);
  if (wish.isHelp || wish.isList) return 0;
  const plan = makePlan(wish);
  const sinceMs = performance.now();
  const failedAlone = await runBootloaders(plan.bootloaders);
  const tally = await runLab(plan.jobs, wish.jobs, cutWords(wish));
  const minutes = ((performance.now() - sinceMs) / 60_000).toFixed(1);
  const failed = [...failedAlone, ...tally.failed];
  const cuts = plan.jobs.filter(({ labCase }) => labCase.name.startsWith('power-cut')).length;
  console.log(
    `device lab: ${tally.cases} cases on ${labBoards.length} boot paths, ${failed.length} failed, ${cuts} power cuts, ${tally.restarts} restarts of the emulator, ${minutes} minutes`,
  );
  if (failed.length > 0) console.log(`failed: ${failed.join(' ')}`);
  return failed.length === 0 ? 0 : 1;
};

try {
  process.exitCode = await run();
} catch (error) {
  const isUsage = error instanceof RangeError || error instanceof TypeError;
  console.error(isUsage ? `${error.message}\n\n${usage}` : error);
  process.exitCode = isUsage ? usageStatus : 1;
}
