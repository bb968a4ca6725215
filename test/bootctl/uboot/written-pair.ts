// Two copies of an environment in memory and the writes that otad makes to them: what the tests of cuts and of flipped bits
// start from. Releases are named r1, r2, ... so that a choice shows which write it belongs to.

import {
  type CopyIndex,
  chooseByFlag as chooseByFlagOfOtad,
  chooseBySequence,
  decodeCopy,
  type EnvCopy,
  encodeCopy,
  nextCopy,
  type Variables,
} from '../../../bootctl/uboot/environment.ts';

export const sizeBytes = 0x1000;
export const sectorBytes = 512;

/** Long enough to reach into the third sector, so that tears fall inside the data as well. */
const padding = 'x'.repeat(900);

export const variablesWith = (release: string): Variables =>
  new Map([
    ['release', release],
    ['aaa', padding],
  ]);

export type Pair = readonly [Uint8Array, Uint8Array];
export type Choose = (copies: readonly (EnvCopy | null)[]) => CopyIndex | null;

/** The rule as U-Boot's env/common.c has it, written down a second time: equal flags mean the first copy. */
export const chooseAsUboot: Choose = ([one = null, two = null]) => {
  if (one === null || two === null) return one !== null ? 0 : two !== null ? 1 : null;
  const [first, second] = [one.flag ?? 0, two.flag ?? 0];
  if (first === 255 && second === 0) return 1;
  if (second === 255 && first === 0) return 0;
  return first >= second ? 0 : 1;
};

/** The rule of libubootenv for flags that count up: newer is greater, unless one has just wrapped. */
export const chooseAsLibubootenv: Choose = ([one = null, two = null]) => {
  if (one === null || two === null) return one !== null ? 0 : two !== null ? 1 : null;
  const [first, second] = [one.flag ?? 0, two.flag ?? 0];
  const greater = second > first ? 1 : 0;
  if (first === 255 && second === 0) return 1;
  return second === 255 && first === 0 ? 0 : greater;
};

export const chooseAsOtad: Choose = chooseBySequence;

/** Who may read the environment after a cut. */
export const readers: readonly (readonly [name: string, choose: Choose])[] = [
  ['U-Boot', chooseAsUboot],
  ['libubootenv', chooseAsLibubootenv],
  ['otad by the flag', chooseByFlagOfOtad],
  ['otad by the sequence', chooseBySequence],
];

export const decodePair = (pair: Pair): readonly (EnvCopy | null)[] => pair.map((image) => decodeCopy(image, true));

export const releaseOf = (pair: Pair, choose: Choose): string | null => {
  const copies = decodePair(pair);
  const index = choose(copies);
  return index === null ? null : (copies[index]?.variables.get('release') ?? null);
};

/** `image` in the place of one copy. */
export const withCopy = (pair: Pair, index: CopyIndex, image: Uint8Array): Pair =>
  index === 0 ? [image, pair[1]] : [pair[0], image];

/** One write as the adapter makes it, without the medium. */
export const write = (pair: Pair, release: string): { readonly pair: Pair; readonly index: CopyIndex } => {
  const copies = decodePair(pair);
  const next = nextCopy(copies, chooseBySequence(copies), variablesWith(release));
  return { pair: withCopy(pair, next.index, encodeCopy(next.variables, sizeBytes, next.flag)), index: next.index };
};

/** After `writes` writes; the flag has wrapped when there were more than 255. */
export const afterWrites = (writes: number): Pair => {
  let pair: Pair = [new Uint8Array(sizeBytes), new Uint8Array(sizeBytes)];
  for (let index = 1; index <= writes; index += 1) pair = write(pair, `r${index}`).pair;
  return pair;
};
