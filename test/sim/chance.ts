// Seeded chance: the simulator's only source of randomness. Each use takes its own stream, derived from the life's seed and a
// label, so that dropping one fault from a life does not change what the others do. Not for secrets.

export interface Chance {
  /** Uniform in [0, 1). */
  next(): number;
  /** Uniform whole number in [0, below). */
  below(bound: number): number;
  /** True with this probability. */
  hit(probability: number): boolean;
  pick<T>(items: readonly T[]): T;
}

const mix = (value: number): number => {
  let mixed = value | 0;
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x45d9f3b);
  mixed = Math.imul(mixed ^ (mixed >>> 15), 0x119de1f3);
  return (mixed ^ (mixed >>> 16)) >>> 0;
};

/** Folds numbers into one 32-bit seed. */
export const foldSeed = (...parts: readonly number[]): number =>
  parts.reduce((folded, part) => mix(Math.imul(folded, 0x9e3779b1) + part + 0x7f4a7c15), 0x2545f491);

export const createChance = (seed: number): Chance => {
  let state = mix(seed ^ 0x5bd1e995);
  const next = (): number => {
    state = (state + 0x6d2b79f5) | 0;
    let word = Math.imul(state ^ (state >>> 15), 1 | state);
    word = (word + Math.imul(word ^ (word >>> 7), 61 | word)) ^ word;
    return ((word ^ (word >>> 14)) >>> 0) / 4294967296;
  };
  const below = (bound: number): number => Math.floor(next() * bound);
  return {
    next,
    below,
    hit: (probability) => next() < probability,
    pick: (items) => {
      const item = items[below(items.length)];
      if (item === undefined) throw new RangeError('cannot pick from an empty list');
      return item;
    },
  };
};
