// `npm run fuzz`: every target with its corpus, its canary and many mutants. Fails on a finding, and when a canary lives.

import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { keepInput, readCorpus } from './corpus.ts';
import { hunt } from './hunt.ts';
import { type TargetName, targetNames, targets } from './targets.ts';

const usage = `npm run fuzz [-- [--target NAME] [--executions N] [--seed S]]     every target, or one
npm run fuzz -- --target NAME --input FILE                      judges one input
targets: ${targetNames.join(', ')}`;

const executionsDefault = '100000';
/** Mutants within which a canary must be found. */
const canaryExecutions = 5000;
/** A target that takes longer has hung. */
const targetMs = 1_800_000;

const wholeNumber = (text: string, name: string): number => {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new RangeError(`--${name} takes a whole number above 0, not ${text}`);
  return Number(text);
};

const targetOf = (text: string): TargetName => {
  const name = targetNames.find((candidate) => candidate === text);
  if (name === undefined) throw new RangeError(`no target ${text}; there are ${targetNames.join(', ')}`);
  return name;
};

/** One target in this process: true when nothing was found and the canary was. */
const fuzzOne = async (name: TargetName, executions: number, seed: number): Promise<boolean> => {
  const target = targets[name]();
  try {
    const canary = await hunt(target, { executions: canaryExecutions, seed, judge: target.canary.judge });
    if (canary.found === null) {
      console.log(`${name}: CANARY LIVES after ${canary.executions} executions: ${target.canary.bug}`);
      return false;
    }
    const result = await hunt(target, { executions, seed, corpus: await readCorpus(name) });
    const counts = `${result.executions} executions, ${result.accepted} accepted, ${result.outcomes.size} outcomes`;
    console.log(`${name}: ${counts}; canary found after ${canary.executions}`);
    if (result.found === null) return true;
    const path = await keepInput(name, result.found.input);
    console.log(`${name}: FINDING: ${result.found.sentence}\n  npm run fuzz -- --target ${name} --input ${path}`);
    return false;
  } finally {
    await target.close?.();
  }
};

const judgeOne = async (name: TargetName, file: string): Promise<boolean> => {
  const target = targets[name]();
  try {
    console.log(`${name}: ${await target.judge(await readFile(file))}`);
    return true;
  } catch (error) {
    console.log(`${name}: ${(error as Error).message}`);
    return false;
  } finally {
    await target.close?.();
  }
};

/** Each target in a process of its own, so that one that takes the process down is seen as that. */
const fuzzAll = async (executions: number, seed: number): Promise<boolean> => {
  const queue = [...targetNames];
  let failed = 0;
  const work = async (): Promise<void> => {
    for (let name = queue.shift(); name !== undefined; name = queue.shift()) {
      const args = [
        fileURLToPath(import.meta.url),
        '--target',
        name,
        '--executions',
        `${executions}`,
        '--seed',
        `${seed}`,
      ];
      const ran = await new Promise<{ readonly isGood: boolean; readonly output: string }>((resolve) => {
        execFile(process.execPath, args, { timeout: targetMs, maxBuffer: 1 << 24 }, (error, stdout, stderr) => {
          resolve({ isGood: error === null, output: `${stdout}${stderr}`.trim() });
        });
      });
      console.log(ran.output === '' ? `${name}: ended without a word` : ran.output);
      if (!ran.isGood) failed += 1;
    }
  };
  await Promise.all(Array.from({ length: Math.min(2, availableParallelism()) }, work));
  console.log(`${targetNames.length - failed} of ${targetNames.length} targets without a finding`);
  return failed === 0;
};

const main = async (): Promise<boolean> => {
  const { values } = parseArgs({
    options: {
      target: { type: 'string' },
      executions: { type: 'string', default: executionsDefault },
      seed: { type: 'string', default: '1' },
      input: { type: 'string' },
    },
  });
  const executions = wholeNumber(values.executions, 'executions');
  const seed = wholeNumber(values.seed, 'seed');
  if (values.target === undefined) {
    if (values.input !== undefined) throw new RangeError('--input needs --target');
    return fuzzAll(executions, seed);
  }
  const name = targetOf(values.target);
  return values.input === undefined ? fuzzOne(name, executions, seed) : judgeOne(name, values.input);
};

try {
  process.exitCode = (await main()) ? 0 : 1;
} catch (error) {
  const isUsage = error instanceof RangeError || `${(error as { code?: unknown }).code}`.startsWith('ERR_PARSE_ARGS');
  console.error(isUsage ? `${(error as Error).message}\n${usage}` : error);
  process.exitCode = isUsage ? 64 : 1;
}
