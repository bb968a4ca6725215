// Runs many lives, spread over worker threads. Each share is fixed by its index, so a run has the same lives however many
// workers live them. Never in the thread of a test: node:test follows each promise there, which costs a third of the time.

import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { type Catalogue, createCatalogue } from './catalogue.ts';
import { baseLife, type FaultFilter, isPaired, successors } from './enumeration.ts';
import type { Life, ScenarioName } from './faults.ts';
import { live } from './life.ts';
import { addTally, count, createTally, type Tally } from './tally.ts';

export type Batch =
  | { readonly kind: 'random'; readonly seed: number; readonly runs: number }
  | { readonly kind: 'singles'; readonly scenario: ScenarioName; readonly seed: number }
  | { readonly kind: 'pairs'; readonly scenario: ScenarioName; readonly seed: number; readonly isEveryFault: boolean };

interface Share {
  readonly batch: Batch;
  readonly index: number;
  readonly of: number;
}

/** A violation is news once; after this many a batch has made its point. */
const violationsMax = 50;

const runRandom = async (seed: number, runs: number, share: Share, catalogue: Catalogue, tally: Tally) => {
  for (let run = share.index; run < runs && tally.violations < violationsMax; run += share.of) {
    count(tally, await live({ seed: seed + run, scenario: 'mixed', faults: null }, catalogue));
  }
};

const runListed = async (base: Life, isDeep: boolean, isWanted: FaultFilter, share: Share, catalogue: Catalogue) => {
  const tally = createTally();
  const root = await live(base, catalogue);
  if (share.index === 0) count(tally, root);
  const firsts = successors(root, isWanted);
  for (let index = share.index; index < firsts.length && tally.violations < violationsMax; index += share.of) {
    const first = firsts[index];
    if (first === undefined) break;
    const outcome = await live(first, catalogue);
    count(tally, outcome);
    if (!isDeep || outcome.violation !== null) continue;
    for (const second of successors(outcome, isWanted)) count(tally, await live(second, catalogue));
  }
  return tally;
};

const runShare = async (share: Share): Promise<Tally> => {
  const { batch } = share;
  const catalogue = createCatalogue();
  switch (batch.kind) {
    case 'random': {
      const tally = createTally();
      await runRandom(batch.seed, batch.runs, share, catalogue, tally);
      return tally;
    }
    case 'singles':
      return runListed(baseLife(batch.scenario, batch.seed), false, () => true, share, catalogue);
    case 'pairs':
      return runListed(
        baseLife(batch.scenario, batch.seed),
        true,
        batch.isEveryFault ? () => true : isPaired,
        share,
        catalogue,
      );
  }
};

const inWorker = (share: Share): Promise<Tally> =>
  new Promise((resolve, reject) => {
    const worker = new Worker(new URL(import.meta.url), { workerData: share });
    worker.once('message', resolve);
    worker.once('error', reject);
  });

export const runBatch = async (batch: Batch, workers: number): Promise<Tally> => {
  const shares = Array.from({ length: workers }, (_, index) => ({ batch, index, of: workers }));
  const sum = createTally();
  for (const part of await Promise.all(shares.map(inWorker))) addTally(sum, part);
  return sum;
};

if (!isMainThread && parentPort !== null) parentPort.postMessage(await runShare(workerData as Share));
