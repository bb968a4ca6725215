// Where power cuts strike: spread evenly over the time that an update takes, each at a random place of its own share. Pure;
// seed, count and number give the same place, whatever the other cuts do.

import { createHash } from 'node:crypto';
import type { Leg } from './machine.ts';

export interface CutPlace {
  /** Number of the leg. */
  readonly leg: number;
  /** From the beginning of the leg. */
  readonly afterMs: number;
}

/** 0 to 1, without 1. */
const chance = (seed: number, number: number): number =>
  createHash('sha256').update(`power cut ${seed} ${number}`).digest().readUInt32BE(0) / 2 ** 32;

/** `number` counts from 0. */
export const placeCut = (legs: readonly Leg[], seed: number, number: number, count: number): CutPlace => {
  const wholeMs = legs.reduce((sum, { ms }) => sum + ms, 0);
  let afterMs = (wholeMs * (number + chance(seed, number))) / count;
  for (const [leg, { ms }] of legs.entries()) {
    if (afterMs < ms) return { leg, afterMs };
    afterMs -= ms;
  }
  return { leg: legs.length - 1, afterMs: legs.at(-1)?.ms ?? 0 };
};
