// `npm run mutants [-- NAME | TABLE ...]`: plants known bugs in a copy of the compiled production code and lets the simulator or the
// tests hunt each. Fails when one survives, is caught by another invariant than it should be, or cannot be planted because
// the code has moved on.

import { execFile, spawn } from 'node:child_process';
import { chmod, cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { nearest } from '../../agent/edit-distance.ts';
import { invariants } from '../sim/verdict.ts';
import type { Edit, Mutant, SimulatorMutant, SuiteMutant } from './mutant.ts';
import { tables } from './tables.ts';

const mutants = Object.values(tables).flat();

const run = promisify(execFile);
const dist = fileURLToPath(new URL('../..', import.meta.url));
const project = join(dist, '..');
/** A hunt that takes longer than this has hung, which neither the simulator nor a test may. */
const huntMs = 600_000;

interface Verdict {
  readonly isKilled: boolean;
  readonly sentence: string;
}

/** A project of its own to spoil: the compiled code, the scripts of the image, and what tests read beside it. */
const makeBench = async (): Promise<string> => {
  const bench = await mkdtemp(join(tmpdir(), 'otad-mutants-'));
  // Tests act as other users as well, who must be able to pass through.
  await chmod(bench, 0o711);
  for (const name of ['dist', 'image']) {
    await cp(join(project, name), join(bench, name), { recursive: true, verbatimSymlinks: true });
  }
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

/** The claim of the first test that fails in these files, or null. Does not wait for the others. */
const firstFailure = (bench: string, suite: readonly string[]): Promise<string | null> => {
  const files = suite.map((file) => join(bench, 'dist/test', file));
  const child = spawn(process.execPath, ['--test', '--test-reporter=tap', '--test-concurrency=1', ...files], {
    cwd: bench,
    // A group of its own: what the tests have started ends with them.
    detached: true,
    stdio: ['ignore', 'pipe', 'ignore'],
    env: { ...process.env, TMPDIR: join(bench, 'tmp') },
  });
  const end = (): void => {
    if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, 'SIGKILL');
  };
  const timer = setTimeout(end, huntMs);
  let tap = '';
  let failure: string | null = null;
  child.stdout.setEncoding('utf8');
  child.stdout.on('data', (piece: string) => {
    tap += piece;
    failure ??= /^\s*not ok \d+ - (.*)$/m.exec(tap)?.[1] ?? null;
    if (failure !== null) end();
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => {
      clearTimeout(timer);
      if (failure !== null) resolve(failure);
      else if (code === 0 && /^# tests [1-9]/m.test(tap)) resolve(null);
      else reject(new RangeError(`the tests did not run to their end: status ${code}`));
    });
  });
};

const huntBySuite = async (bench: string, { suite }: SuiteMutant): Promise<Verdict> => {
  await mkdir(join(bench, 'tmp'));
  try {
    const failure = await firstFailure(bench, suite);
    return failure === null ? { isKilled: false, sentence: 'survived' } : { isKilled: true, sentence: failure };
  } finally {
    await rm(join(bench, 'tmp'), { recursive: true, maxRetries: 5 });
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

const wanted = process.argv.slice(2).flatMap((word) => tables[word]?.map(({ name }) => name) ?? [word]);
const unknown = wanted.filter((name) => !mutants.some((mutant) => mutant.name === name));
if (unknown.length > 0) {
  const names = [...Object.keys(tables), ...mutants.map(({ name }) => name)];
  for (const word of unknown) {
    const near = nearest(word, names);
    console.error(`There is no mutant or table '${word}'.${near === null ? '' : ` Did you mean '${near}'?`}`);
  }
  console.error(`Tables: ${Object.keys(tables).join(', ')}. The names of the mutants stand in test/mutants/.`);
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
