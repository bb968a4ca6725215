// Every life with one fault, and with two, of a scenario. The second fault is placed in the trace that the first one leaves, so
// that no combination is missed: what happens after a fault is not what would have happened.

import type { Catalogue } from './catalogue.ts';
import { type FaultKind, faultsAt, type Life, type PlannedFault, type ScenarioName } from './faults.ts';
import { live, type Outcome } from './life.ts';

export interface EnumerationOptions {
  readonly scenario: ScenarioName;
  readonly seed: number;
  readonly catalogue: Catalogue;
  /** Faults to leave out, as the second one. */
  readonly isSecond: (fault: FaultKind) => boolean;
  readonly isFirst: (fault: FaultKind) => boolean;
}

/** The lives that put one more fault behind the last one of `outcome`. */
export function* successors(outcome: Outcome, isWanted: (fault: FaultKind) => boolean): Generator<Life> {
  const { life, points } = outcome;
  const before: readonly PlannedFault[] = life.faults ?? [];
  const last = before.at(-1)?.at ?? -1;
  for (let at = last + 1; at < points.length; at += 1) {
    const point = points[at]?.point;
    if (point === undefined) continue;
    for (const fault of faultsAt(point)) {
      if (isWanted(fault)) yield { ...life, faults: [...before, { at, fault }] };
    }
  }
}

export const baseLife = (scenario: ScenarioName, seed: number): Life => ({ seed, scenario, faults: [] });

/** Lives each single fault of a scenario. */
export async function* singles(
  scenario: ScenarioName,
  seed: number,
  catalogue: Catalogue,
  isWanted: (fault: FaultKind) => boolean = () => true,
): AsyncGenerator<Outcome> {
  const base = await live(baseLife(scenario, seed), catalogue);
  yield base;
  for (const life of successors(base, isWanted)) yield await live(life, catalogue);
}
