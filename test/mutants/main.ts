// `npm run mutants [-- NAME ...]`: plants known bugs in a copy of the compiled production code and lets the simulator or the
// tests hunt each. Fails when one survives, is caught by another invariant than it should be, or cannot be planted because
// the code has moved on.

import { execFile } from 'node:child_process';
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { invariants } from '../sim/verdict.ts';
import { attackMutants } from './attack-mutants.ts';
import { bootScriptMutants } from './boot-script-mutants.ts';
import { coreMutants } from './core-mutants.ts';
import { lineageMutants } from './lineage-mutants.ts';
import type { Edit, Mutant, SimulatorMutant, SuiteMutant } from './mutant.ts';
import { otapubMutants } from './otapub-mutants.ts';
import { systemdBootMutants } from './systemd-boot-mutants.ts';
import { trustMutants } from './trust-mutants.ts';
import { trybootMutants } from './tryboot-mutants.ts';
import { ubootMutants } from './uboot-mutants.ts';

const mutants: readonly Mutant[] = [
  ...coreMutants,
  ...lineageMutants,
  ...ubootMutants,
  ...systemdBootMutants,
  ...bootScriptMutants,
  ...trybootMutants,
  ...trustMutants,
  ...attackMutants,
  ...otapubMutants,
];

const run = promisify(execFile);
const dist = fileURLToPath(new URL('../..', import.meta.url));
const project = join(dist, '..');
/** A hunt that takes longer than this has hung, which neither the simulator nor a test may. */
const huntMs = 600_000;

interface Verdict {
  readonly isKilled: boolean;
  readonly sentence: string;
}

/** A project of its own to spoil: the compiled code, and what tests read beside it. */
const makeBench = async (): Promise<string> => {
  const bench = await mkdtemp(join(tmpdir(), 'otad-mutants-'));
  await cp(dist, join(bench, 'dist'), { recursive: true });
  for (const name of ['node_modules', 'package.json', 'bootctl', 'units', 'test', 'docs']) {
    await symlink(join(project, name), join(bench, name));
  }
  return bench;
};

const plant = async (bench: string, edits: readonly Edit[]): Promise<void> => {
  for (const { file, find, replace } of edits) {
    const path = join(bench, 'dist', file);
    const text = await readFile(path, 'utf8');
    const times = text.split(find).length - 1;
    if (times !== 1) throw new RangeError(`the text to replace stands ${times} times in ${file}: ${find}`);
    await writeFile(
      path,
      text.replace(find, () => replace),
    );
  }
};

const restore = async (bench: string, edits: readonly Edit[]): Promise<void> => {
  for (const { file } of edits) await cp(join(dist, file), join(bench, 'dist', file));
};

const huntBySimulator = async (bench: string, mutant: SimulatorMutant): Promise<Verdict> => {
  const { caughtBy, pairOf, scenario } = mutant;
  const hunter = join(bench, 'dist/test/sim/hunt.js');
  const { stdout } = await run(process.execPath, [hunter, scenario ?? 'update,sick', ...(pairOf ?? [])], {
    timeout: huntMs,
  });
  const found = JSON.parse(stdout) as { invariant: string; text: string; life: string; lives: number } | null;
  if (found === null) return { isKilled: false, sentence: 'survived' };
  const sentence = `${found.invariant} after ${found.lives} lives (${found.life}): ${found.text}`;
  return caughtBy.some((invariant) => invariant === found.invariant)
    ? { isKilled: true, sentence }
    : { isKilled: false, sentence: `not by ${caughtBy.join(', ')} but ${sentence}` };
};

/** The first test that failed, from the runner's TAP. A suite that ran no test has hunted nothing. */
const firstFailure = (tap: string): string => {
  const claims = [...tap.matchAll(/^\s*not ok \d+ - (.*)$/gm)].map(([, claim]) => claim);
  if (claims.length === 0 || !/^# tests [1-9]/m.test(tap)) throw new RangeError('the tests did not run');
  return claims[0] ?? '';
};

const huntBySuite = async (bench: string, { suite }: SuiteMutant): Promise<Verdict> => {
  const files = suite.map((file) => join(bench, 'dist/test', file));
  try {
    await run(process.execPath, ['--test', '--test-reporter=tap', ...files], {
      timeout: huntMs,
      cwd: bench,
      maxBuffer: 1 << 28,
    });
    return { isKilled: false, sentence: 'survived' };
  } catch (error) {
    const { code, stdout } = error as { code?: unknown; stdout?: string };
    if (code !== 1 || stdout === undefined) throw error;
    return { isKilled: true, sentence: firstFailure(stdout) };
  }
};

const hunt = async (bench: string, mutant: Mutant): Promise<Verdict> => {
  try {
    await plant(bench, mutant.edits);
    return 'suite' in mutant ? await huntBySuite(bench, mutant) : await huntBySimulator(bench, mutant);
  } catch (error) {
    return { isKilled: false, sentence: `could not be hunted: ${(error as Error).message}` };
  } finally {
    await restore(bench, mutant.edits);
  }
};

/** What the suites say of the code as it is: a mutant that a red suite 'kills' proves nothing. */
const checkSuites = async (queue: readonly Mutant[]): Promise<void> => {
  const suite = [...new Set(queue.flatMap((mutant) => ('suite' in mutant ? mutant.suite : [])))];
  if (suite.length === 0) return;
  const bench = await makeBench();
  try {
    const { isKilled, sentence } = await huntBySuite(bench, { name: 'nothing', edits: [], suite });
    if (isKilled) throw new RangeError(`the tests fail without any mutant: ${sentence}`);
  } finally {
    await rm(bench, { recursive: true });
  }
};

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !mutants.some((mutant) => mutant.name === name));
if (unknown.length > 0) {
  console.error(`There is no mutant ${unknown.join(', ')}. There are: ${mutants.map(({ name }) => name).join(', ')}`);
  process.exit(64);
}
const queue = mutants.filter(({ name }) => wanted.length === 0 || wanted.includes(name));
const total = queue.length;
let killed = 0;

const work = async (): Promise<void> => {
  const bench = await makeBench();
  try {
    for (let mutant = queue.shift(); mutant !== undefined; mutant = queue.shift()) {
      const { isKilled, sentence } = await hunt(bench, mutant);
      if (isKilled) killed += 1;
      console.log(`${isKilled ? 'killed  ' : 'SURVIVED'} ${mutant.name}: ${sentence}`);
    }
  } finally {
    await rm(bench, { recursive: true });
  }
};

await checkSuites(queue);
await Promise.all(Array.from({ length: Math.min(2, availableParallelism()) }, work));
console.log(`${killed} of ${total} mutants killed (invariants ${invariants.join(' ')})`);
process.exitCode = killed === total && total > 0 ? 0 : 1;
