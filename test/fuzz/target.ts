// What a fuzz target is. It feeds bytes to production code and judges the answer by an oracle of its own: a typed error, or
// something that encodes back to itself and that an independent reading agrees with. Anything else is a finding.

import { type ErrorCode, OtadError } from '../../agent/core/errors.ts';
import type { Random } from '../bootctl/random.ts';

/** Production code did what it must not: crashed with an untyped error, or accepted something as what it is not. */
export class Finding extends Error {}

/**
 * Says what became of the input in a few words ('accepted', an error code and its reason): an outcome not seen before makes the
 * input worth mutating further. Throws {@link Finding}.
 */
export type Judge = (input: Uint8Array) => string | Promise<string>;

export interface FuzzTarget {
  readonly name: string;
  /** Valid inputs to start from. */
  readonly seeds: readonly Uint8Array[];
  /** Words that the format gives a meaning to. */
  readonly dictionary: readonly string[];
  /** Mends lengths and checksums, so that a mutant gets past them; most inputs go through it. */
  readonly mend?: (input: Uint8Array, random: Random) => Uint8Array;
  readonly judge: Judge;
  /** The same judge over code with a planted bug: one that the oracle must find, or it finds nothing. */
  readonly canary: { readonly bug: string; readonly judge: Judge };
  /** Frees what the target holds open. */
  readonly close?: () => Promise<void>;
}

/** Runs production code: null with its label when it refused with one of these codes. Everything else it throws is a finding. */
export const attempt = <T>(
  codes: readonly ErrorCode[],
  run: () => T,
): { readonly value: T; readonly label: null } | { readonly value: null; readonly label: string } => {
  try {
    return { value: run(), label: null };
  } catch (error) {
    if (!(error instanceof OtadError)) throw new Finding(`an untyped error: ${(error as Error).stack ?? error}`);
    if (!codes.includes(error.code)) throw new Finding(`${error.code} is no answer of this code: ${error.message}`);
    const { reason, member } = error.details;
    return { value: null, label: `${error.code} ${reason ?? ''} ${member ?? ''}`.replace(/\d+/g, '0') };
  }
};

/** Throws unless both are equal as text. */
export const mustEqual = (claim: string, actual: string, expected: string): void => {
  if (actual === expected) return;
  throw new Finding(`${claim}\n  is       ${actual.slice(0, 400)}\n  should be ${expected.slice(0, 400)}`);
};
