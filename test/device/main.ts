// `npm run test:device`: the device lab. Gateways that boot the reference image in QEMU (lab/), and the bootloaders alone
// (NAME.lab.ts beside this file, run by node's test runner). Console logs stay under .device/logs.

import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { bootloaderCases, bootloaders, runBootloaders } from './bootloaders.ts';
import { labBoards } from './lab/boards.ts';
import { labCases } from './lab/cases.ts';
import { clearLogs, type Job, jobName, runLab } from './lab/lab.ts';
import { deviceFolder, labDigest } from './lab/releases.ts';
import { openRunRecord } from './lab/run-record.ts';
import { addTally, type Count, closingLine } from './lab/tally.ts';
import { readWords, usage, type Wish } from './lab/words.ts';

const usageStatus = 64;

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
  const all = labCases(cutsOf(wish)).flatMap((labCase) =>
    labBoards.filter((board) => labCase.isFor?.(board) ?? true).map((board) => ({ board, labCase })),
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

/** One record for each run that can be asked for. */
const recordPath = ({ jobs, bootloaders: alone }: Plan, extra: string): string => {
  const asked = [...alone, ...jobs.map(jobName), extra].join(' ');
  return join(deviceFolder, 'runs', `${createHash('sha256').update(asked).digest('hex').slice(0, 16)}.json`);
};

const list = (wish: Wish): void => {
  for (const { name, claim, isSmoke, isFor } of labCases(cutsOf(wish))) {
    const paths = isFor === undefined ? '' : ` (${labBoards.filter(isFor).map(({ name: path }) => `@${path}`)} only)`;
    console.log(`${name.padEnd(24)} ${isSmoke ? '*' : ' '} ${claim}${paths}`);
  }
  console.log(`on ${labBoards.map(({ name }) => `@${name}`).join(' and ')}`);
  console.log(`* in the short run (--smoke), which has ${cutsDefault.smoke} power cuts a boot path`);
  console.log(`the bootloaders alone (${bootloaders}): ${bootloaderCases().join(', ')}`);
};

const run = async (): Promise<number> => {
  const wish = readWords(process.argv.slice(2));
  if (wish.isHelp) console.log(usage);
  if (wish.isList) list(wish);
  if (wish.isHelp || wish.isList) return 0;
  const plan = makePlan(wish);
  if (process.getuid?.() !== 0) throw new RangeError('The lab builds an image, which needs root: run it with sudo.');
  const sinceMs = performance.now();
  const extra = cutWords(wish);
  const record = await openRunRecord(recordPath(plan, extra), await labDigest(), wish.isContinued);
  const { names, ms } = record.earlier;
  if (names.length > 0) console.log(`  goes on after ${names.length} cases that have ended`);
  else if (wish.isContinued) console.log('  begins anew: there is no record of this run on this very tree');
  const isLeft = (name: string): boolean => !names.includes(name);
  const takenMs = (): number => ms + performance.now() - sinceMs;
  let { tally } = record.earlier;
  const count: Count = async (name, part) => {
    tally = addTally(tally, part);
    if (name !== null) await record.note(name, tally, takenMs());
  };
  const jobs = plan.jobs.filter((job) => isLeft(jobName(job)));
  await clearLogs(jobs);
  await runBootloaders(plan.bootloaders.filter(isLeft), count);
  await runLab(jobs, wish.jobs, extra, count);
  const { failed } = tally;
  console.log(closingLine(tally, takenMs() / 60_000));
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
