// What a planted bug is: edits of the compiled production code, and who must notice. The text to replace must stand in the
// file exactly once, so a mutant that no longer means anything is noticed.

import type { FaultKind, ScenarioName } from '../sim/faults.ts';
import type { Invariant } from '../sim/verdict.ts';

export interface Edit {
  /** Under dist/, or from there: what a script of the image does is no compiled code. */
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

/** Hunted by the simulator, which must find one of the invariants violated. */
export interface SimulatorMutant {
  readonly name: string;
  readonly edits: readonly Edit[];
  /** One of these must be what is violated. */
  readonly caughtBy: readonly Invariant[];
  /** Looked for in all lives with two of these faults, where one alone does not show it. */
  readonly pairOf?: readonly FaultKind[];
  /** Where to begin, when an earlier scenario would show something else first. */
  readonly scenario?: ScenarioName;
}

/** Hunted by test files, one of which must fail. */
export interface SuiteMutant {
  readonly name: string;
  readonly edits: readonly Edit[];
  /** Compiled test files, under dist/test/. */
  readonly suite: readonly string[];
}

export type Mutant = SimulatorMutant | SuiteMutant;

/** One replacement in one file. */
export const one = (file: string, find: string, replace: string): readonly Edit[] => [{ file, find, replace }];
