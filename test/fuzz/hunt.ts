// Drives one target: mutants of its seeds and of whatever showed a new outcome, each judged. The same seed gives the same run.

import { createRandom } from '../bootctl/random.ts';
import { mutate } from './mutation.ts';
import { Finding, type FuzzTarget, type Judge } from './target.ts';

/** Inputs with a new outcome that are kept to be mutated further. */
const poolMax = 512;
/** Attempts to make an input that shows a finding smaller. */
const shrinkStepsMax = 400;

export interface Catch {
  readonly sentence: string;
  readonly input: Uint8Array;
}

export interface Hunt {
  readonly executions: number;
  readonly accepted: number;
  /** How often each outcome was seen. */
  readonly outcomes: ReadonlyMap<string, number>;
  /** The first finding, as small as it could be made; null: none. */
  readonly found: Catch | null;
}

const findingOf = async (judge: Judge, input: Uint8Array): Promise<Finding | null> => {
  try {
    await judge(input);
    return null;
  } catch (error) {
    if (error instanceof Finding) return error;
    throw error;
  }
};

/** Leaves pieces out, halves first, as long as the input still shows a finding. */
const shrink = async (judge: Judge, input: Uint8Array, finding: Finding): Promise<Catch> => {
  let best = { sentence: finding.message, input };
  let steps = 0;
  for (let piece = input.length >> 1; piece >= 1; piece >>= 1) {
    for (let at = 0; at < best.input.length && steps < shrinkStepsMax; at += piece) {
      steps += 1;
      const smaller = Buffer.concat([best.input.subarray(0, at), best.input.subarray(at + piece)]);
      const same = await findingOf(judge, smaller);
      if (same !== null) best = { sentence: same.message, input: smaller };
    }
  }
  return best;
};

export interface HuntOptions {
  readonly executions: number;
  readonly seed: number;
  /** Kept inputs of earlier hunts; judged first, as they are. */
  readonly corpus?: readonly Uint8Array[];
  /** Default: the target's own. */
  readonly judge?: Judge;
}

/** Stops at the first finding. */
export const hunt = async (
  target: FuzzTarget,
  { executions, seed, corpus = [], judge = target.judge }: HuntOptions,
): Promise<Hunt> => {
  const random = createRandom(seed);
  const outcomes = new Map<string, number>();
  const pool: Uint8Array[] = [];
  let done = 0;
  let accepted = 0;
  const tryOne = async (input: Uint8Array): Promise<Catch | null> => {
    done += 1;
    try {
      const outcome = await judge(input);
      if (outcome.startsWith('accepted')) accepted += 1;
      const times = outcomes.get(outcome) ?? 0;
      outcomes.set(outcome, times + 1);
      if (times === 0 && pool.length < poolMax) pool.push(input);
      return null;
    } catch (error) {
      if (!(error instanceof Finding)) throw error;
      return shrink(judge, input, error);
    }
  };
  const own = [...target.seeds, ...corpus];
  for (const input of own) {
    const found = await tryOne(input);
    if (found !== null) return { executions: done, accepted, outcomes, found };
  }
  while (done < executions) {
    const parents = random.below(3) === 0 && pool.length > 0 ? pool : own;
    const mutant = mutate(random.pick(parents), random, own, target.dictionary);
    const input = target.mend !== undefined && random.below(8) > 0 ? target.mend(mutant, random) : mutant;
    const found = await tryOne(input);
    if (found !== null) return { executions: done, accepted, outcomes, found };
  }
  return { executions: done, accepted, outcomes, found: null };
};
