// Where checkers report. A life ends at its first violation: what follows from one is of no use.

import type { Policy } from '../../agent/core/types.ts';
import type { FaultPlan } from './fault-plan.ts';
import type { Ground } from './ground.ts';
import type { Timeline } from './timeline.ts';

export const invariants = ['I1', 'I2', 'I3', 'I4', 'I5', 'I6', 'I7', 'I8', 'I9', 'I10', 'I11', 'I12'] as const;
export type Invariant = (typeof invariants)[number];

export interface Violation {
  readonly invariant: Invariant;
  readonly text: string;
}

export interface Verdict {
  violate(invariant: Invariant, text: string): void;
  first(): Violation | null;
}

export const createVerdict = (note: (text: string) => void): Verdict => {
  let first: Violation | null = null;
  return {
    violate: (invariant, text) => {
      note(`VIOLATION of ${invariant}: ${text}`);
      first ??= { invariant, text };
    },
    first: () => first,
  };
};

/** What every checker is made with. */
export interface CheckContext {
  readonly ground: Ground;
  readonly plan: FaultPlan;
  readonly timeline: Timeline;
  readonly policy: Policy;
  readonly verdict: Verdict;
}
