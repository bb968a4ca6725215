// `npm run sim`: lives gateways by the thousand and reports what broke. See docs/internals/simulator.md.

import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { type Batch, runBatch } from './batch.ts';
import { createCatalogue } from './catalogue.ts';
import { formatLife, parseLife, scenarioNames } from './faults.ts';
import { live } from './life.ts';
import type { Tally } from './tally.ts';

const usage = `npm run sim -- [--seed N] [--runs K] [--workers W] [--json]     random lives, seeds N to N+K-1
npm run sim -- --singles SCENARIO | --pairs SCENARIO                every life with one fault, or two
npm run sim -- --replay SEED[:SCENARIO:FAULTS]                      the trace of one life
scenarios: ${scenarioNames.join(', ')}`;

const wholeNumber = (text: string, name: string): number => {
  if (!/^\d{1,9}$/.test(text)) throw new RangeError(`--${name} takes a whole number, not ${text}`);
  return Number(text);
};

const scenarioOf = (text: string) => {
  const name = scenarioNames.find((candidate) => candidate === text);
  if (name === undefined) throw new RangeError(`no scenario ${text}; there are ${scenarioNames.join(', ')}`);
  return name;
};

const replay = async (text: string): Promise<number> => {
  const outcome = await live(parseLife(text), createCatalogue(), true);
  console.log(outcome.lines.join('\n'));
  console.log(`life ${formatLife({ ...outcome.life, faults: outcome.struck })}`);
  console.log(`hash ${outcome.hash.toString(16)}, ${outcome.points.length} calls, ends on ${outcome.confirmed}`);
  if (outcome.violation === null) return 0;
  console.log(`VIOLATION of ${outcome.violation.invariant}: ${outcome.violation.text}`);
  return 1;
};

const report = (tally: Tally, seconds: number, workers: number): string => {
  const injected = Object.entries(tally.injected).sort(([a], [b]) => (a < b ? -1 : 1));
  return [
    `${tally.lives} lives, ${tally.boots} boots, ${tally.points} calls in ${seconds.toFixed(1)} s`,
    `${(tally.lives / seconds).toFixed(0)} lives a second on ${workers} workers`,
    'faults injected:',
    ...injected.map(([fault, times]) => `  ${fault.padEnd(20)} ${times}`),
    `violations: ${tally.violations}`,
    ...tally.findings.flatMap(({ life, violation }) => [
      `  ${violation.invariant}: ${violation.text}`,
      `    npm run sim -- --replay ${life}`,
    ]),
  ].join('\n');
};

const main = async (): Promise<number> => {
  const { values } = parseArgs({
    options: {
      seed: { type: 'string', default: '1' },
      runs: { type: 'string', default: '2000' },
      workers: { type: 'string' },
      singles: { type: 'string' },
      pairs: { type: 'string' },
      replay: { type: 'string' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    console.log(usage);
    return 0;
  }
  if (values.replay !== undefined) return replay(values.replay);
  const seed = wholeNumber(values.seed, 'seed');
  const workers = wholeNumber(values.workers ?? `${Math.min(2, availableParallelism())}`, 'workers');
  const batch: Batch =
    values.pairs !== undefined
      ? { kind: 'pairs', scenario: scenarioOf(values.pairs), seed, isEveryFault: true }
      : values.singles !== undefined
        ? { kind: 'singles', scenario: scenarioOf(values.singles), seed }
        : { kind: 'random', seed, runs: wholeNumber(values.runs, 'runs') };
  const startMs = performance.now();
  const tally = await runBatch(batch, Math.max(1, workers));
  const seconds = (performance.now() - startMs) / 1000;
  const livesPerSecondAndWorker = tally.lives / seconds / workers;
  if (values.json) console.log(JSON.stringify({ ...tally, seconds, workers, livesPerSecondAndWorker }, null, 2));
  else console.log(report(tally, seconds, workers));
  return tally.violations === 0 ? 0 : 1;
};

try {
  process.exitCode = await main();
} catch (error) {
  if (!(error instanceof RangeError || error instanceof TypeError)) throw error;
  console.error(`${error.message}\n${usage}`);
  process.exitCode = 64;
}
