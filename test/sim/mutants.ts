// `npm run sim:mutants`: plants known bugs in a copy of the compiled production code and lets the simulator hunt each. Fails when
// one survives, is caught by another invariant than it should be, or cannot be planted because the code has moved on.

import { execFile } from 'node:child_process';
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { type Edit, type Mutant, mutants } from './mutant-table.ts';
import { invariants } from './verdict.ts';

const run = promisify(execFile);
const dist = fileURLToPath(new URL('../..', import.meta.url));
const project = join(dist, '..');
/** A hunt that takes longer than this has hung, which the simulator must not. */
const huntMs = 600_000;

interface Result {
  readonly name: string;
  readonly isKilled: boolean;
  readonly sentence: string;
}

/** The compiled code alone in a folder, with the packages it imports. */
const makeBench = async (): Promise<string> => {
  const bench = await mkdtemp(join(tmpdir(), 'otad-mutants-'));
  for (const folder of ['agent', 'bootctl', 'verity', 'test/sim']) {
    await cp(join(dist, folder), join(bench, folder), { recursive: true });
  }
  await symlink(join(project, 'node_modules'), join(bench, 'node_modules'));
  await writeFile(join(bench, 'package.json'), '{ "type": "module" }');
  return bench;
};

const plant = async (bench: string, edits: readonly Edit[]): Promise<void> => {
  for (const { file, find, replace } of edits) {
    const path = join(bench, file);
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
  for (const { file } of edits) await cp(join(dist, file), join(bench, file));
};

const hunt = async (bench: string, { name, edits, caughtBy, pairOf, scenario }: Mutant): Promise<Result> => {
  try {
    await plant(bench, edits);
    const hunter = join(bench, 'test/sim/hunt.js');
    const { stdout } = await run(process.execPath, [hunter, scenario ?? 'update,sick', ...(pairOf ?? [])], {
      timeout: huntMs,
    });
    const found = JSON.parse(stdout) as { invariant: string; text: string; life: string; lives: number } | null;
    if (found === null) return { name, isKilled: false, sentence: 'survived' };
    const isExpected = caughtBy.some((invariant) => invariant === found.invariant);
    const sentence = `${found.invariant} after ${found.lives} lives (${found.life}): ${found.text}`;
    return {
      name,
      isKilled: isExpected,
      sentence: isExpected ? sentence : `not by ${caughtBy.join(', ')} but ${sentence}`,
    };
  } catch (error) {
    return { name, isKilled: false, sentence: `could not be hunted: ${(error as Error).message}` };
  } finally {
    await restore(bench, edits);
  }
};

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !mutants.some((mutant) => mutant.name === name));
if (unknown.length > 0) {
  console.error(`There is no mutant ${unknown.join(', ')}. There are: ${mutants.map(({ name }) => name).join(', ')}`);
  process.exit(64);
}
const queue = mutants.filter(({ name }) => wanted.length === 0 || wanted.includes(name));
const results: Result[] = [];

const work = async (): Promise<void> => {
  const bench = await makeBench();
  try {
    for (let mutant = queue.shift(); mutant !== undefined; mutant = queue.shift()) {
      const result = await hunt(bench, mutant);
      results.push(result);
      console.log(`${result.isKilled ? 'killed  ' : 'SURVIVED'} ${result.name}: ${result.sentence}`);
    }
  } finally {
    await rm(bench, { recursive: true });
  }
};

await Promise.all(Array.from({ length: Math.min(2, availableParallelism()) }, work));
const survivors = results.filter(({ isKilled }) => !isKilled);
console.log(
  `${results.length - survivors.length} of ${results.length} mutants killed (invariants ${invariants.join(' ')})`,
);
process.exitCode = survivors.length === 0 && results.length > 0 ? 0 : 1;
