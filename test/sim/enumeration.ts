// Every life with one fault, and with two, of a scenario. The second fault is placed in the trace that the first one leaves, so
// that no combination is missed: what happens after a fault is not what would have happened without it.

import { type FaultKind, faultsAt, type Life, type ScenarioName } from './faults.ts';
import type { Outcome } from './life.ts';

export type FaultFilter = (fault: FaultKind) => boolean;

export const baseLife = (scenario: ScenarioName, seed: number): Life => ({ seed, scenario, faults: [] });

/** The lives that put one more fault behind the last one of `outcome`. */
export const successors = (outcome: Outcome, isWanted: FaultFilter): readonly Life[] => {
  const { life, points, settledAt } = outcome;
  const before = life.faults ?? [];
  const first = (before.at(-1)?.at ?? -1) + 1;
  return points.slice(first, settledAt).flatMap(({ point }, index) =>
    faultsAt(point)
      .filter(isWanted)
      .map((fault) => ({ ...life, faults: [...before, { at: first + index, fault }] })),
  );
};

/**
 * Faults for lives with two: one of each way to lose something, so that all pairs fit into a test run.
 * `npm run sim -- --pairs SCENARIO` takes all of them.
 */
const pairedFaults: ReadonlySet<FaultKind> = new Set<FaultKind>([
  'cut-lost',
  'kill-with-database',
  'flush-lies',
  'env-lost',
  'piece-truncated',
  'panic',
  'panic-always',
  'health-fails',
  'reboot-ignored',
]);
export const isPaired: FaultFilter = (fault) => pairedFaults.has(fault);
