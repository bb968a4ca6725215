// The figures of many lives: how many, what struck, what was violated, and the command that shows each violation again.

import { type FaultKind, formatLife, type Life } from './faults.ts';
import type { Outcome } from './life.ts';
import type { Violation } from './verdict.ts';

/** Violations listed at most; all are counted. */
const listedMax = 20;

export interface Finding {
  readonly life: string;
  readonly violation: Violation;
}

export interface Tally {
  lives: number;
  boots: number;
  points: number;
  violations: number;
  readonly findings: Finding[];
  readonly injected: Partial<Record<FaultKind, number>>;
}

export const createTally = (): Tally => ({
  lives: 0,
  boots: 0,
  points: 0,
  violations: 0,
  findings: [],
  injected: {},
});

/** The life as a list of what struck, so that it can be cut down by hand. */
const written = (outcome: Outcome): Life => ({ ...outcome.life, faults: outcome.struck });

export const count = (tally: Tally, outcome: Outcome): void => {
  tally.lives += 1;
  tally.boots += outcome.boots;
  tally.points += outcome.points.length;
  for (const { fault } of outcome.struck) tally.injected[fault] = (tally.injected[fault] ?? 0) + 1;
  if (outcome.violation === null) return;
  tally.violations += 1;
  if (tally.findings.length < listedMax) {
    tally.findings.push({ life: formatLife(written(outcome)), violation: outcome.violation });
  }
};

export const addTally = (sum: Tally, part: Tally): void => {
  sum.lives += part.lives;
  sum.boots += part.boots;
  sum.points += part.points;
  sum.violations += part.violations;
  sum.findings.push(...part.findings.slice(0, listedMax - sum.findings.length));
  for (const [fault, times] of Object.entries(part.injected) as [FaultKind, number][]) {
    sum.injected[fault] = (sum.injected[fault] ?? 0) + times;
  }
};
