// Turns one input into another: bits, bytes, ranges, words of the format, numbers at their limits, pieces of other inputs. Pure
// but for the random source it is given.

import type { Random } from '../bootctl/random.ts';

/** Inputs never grow past this. */
const inputBytesMax = 256 * 1024;
const rangeBytesMax = 256;
const stepsMax = 5;

const numbers = [
  '0',
  '-0',
  '1',
  '-1',
  '255',
  '256',
  '1e3',
  '1.0',
  '00',
  '4095',
  '4097',
  '2147483647',
  '2147483648',
  '4294967295',
  '4294967296',
  '9007199254740991',
  '9007199254740992',
  '18446744073709551616',
  '1e999',
  'null',
  'true',
  '""',
  '[]',
  '{}',
];
const characters = [
  '\0',
  '\u{feff}',
  '"',
  '\\',
  '\\u0000',
  '\\ud800',
  '__proto__',
  '../',
  '%2e',
  '\r\n',
  '\u{1f600}',
  ' ',
];

type Mutation = (input: Buffer, random: Random, pool: readonly Uint8Array[], words: readonly string[]) => Buffer;

const cut = (input: Buffer, random: Random): readonly [from: number, to: number] => {
  const from = random.below(input.length + 1);
  return [from, Math.min(input.length, from + 1 + random.below(rangeBytesMax))];
};
const replaceRange = (input: Buffer, from: number, to: number, piece: Uint8Array): Buffer =>
  Buffer.concat([input.subarray(0, from), piece, input.subarray(to)]);

/** A place of a pattern, chosen evenly; null: there is none. */
const findPlace = (input: Buffer, random: Random, pattern: RegExp): RegExpExecArray | null => {
  const places = [...input.toString('latin1').matchAll(pattern)];
  return places.length === 0 ? null : (random.pick(places) as RegExpExecArray);
};

/** A member of a JSON object, or an item of a list, as far as a pattern can tell. */
const memberPattern = /"[^"\\]*":(?:"[^"]*"|[0-9]+|true|false|null|\[[^[\]]*\]|\{[^{}]*\})/g;

const mutations: readonly Mutation[] = [
  (input, random) => {
    const copy = Buffer.from(input);
    const at = random.below(copy.length || 1);
    if (at < copy.length) copy[at] = (copy[at] ?? 0) ^ (1 << random.below(8));
    return copy;
  },
  (input, random) => {
    const copy = Buffer.from(input);
    const at = random.below(copy.length || 1);
    if (at < copy.length) copy[at] = random.below(256);
    return copy;
  },
  (input, random) => replaceRange(input, ...cut(input, random), Buffer.alloc(0)),
  (input, random) => {
    const [from, to] = cut(input, random);
    return replaceRange(input, to, to, input.subarray(from, to));
  },
  (input, random) => input.subarray(0, random.below(input.length + 1)),
  (input, random, pool) => {
    const other = random.pick(pool);
    const [from, to] = cut(Buffer.from(other), random);
    return replaceRange(input, ...cut(input, random), other.subarray(from, to));
  },
  (input, random, _pool, words) => {
    const at = random.below(input.length + 1);
    return replaceRange(input, at, at, Buffer.from(random.pick([...words, ...characters])));
  },
  (input, random) => {
    const place = findPlace(input, random, /[0-9]+/g);
    if (place === null) return input;
    return replaceRange(input, place.index, place.index + place[0].length, Buffer.from(random.pick(numbers)));
  },
  (input, random, _pool, words) => {
    const place = findPlace(input, random, /[A-Za-z_][A-Za-z0-9_.-]*/g);
    if (place === null || words.length === 0) return input;
    return replaceRange(input, place.index, place.index + place[0].length, Buffer.from(random.pick(words)));
  },
  // A member that stands twice, moves, or goes: where parsers disagree.
  (input, random) => {
    const from = findPlace(input, random, memberPattern);
    const to = findPlace(input, random, memberPattern);
    if (from === null || to === null) return input;
    return replaceRange(input, to.index, to.index, Buffer.from(`${from[0]},`, 'latin1'));
  },
  (input, random) => {
    const place = findPlace(input, random, /"[^"\\]*":(?:"[^"]*"|[0-9]+|true|false|null|\[[^[\]]*\]|\{[^{}]*\}),?/g);
    return place === null ? input : replaceRange(input, place.index, place.index + place[0].length, Buffer.alloc(0));
  },
  // A known digit of a digest or key, changed for another of the same kind.
  (input, random) => {
    const place = findPlace(input, random, /[0-9a-f]{32,}/g);
    if (place === null) return input;
    const at = place.index + random.below(place[0].length);
    return replaceRange(input, at, at + 1, Buffer.from(random.pick([...'0123456789abcdefAF'])));
  },
];

/** One to five mutations of `input`. `pool`: inputs to take pieces from. */
export const mutate = (
  input: Uint8Array,
  random: Random,
  pool: readonly Uint8Array[],
  words: readonly string[],
): Uint8Array => {
  let mutant = Buffer.from(input);
  for (let steps = 1 + random.below(stepsMax); steps > 0; steps -= 1) {
    mutant = Buffer.from(random.pick(mutations)(mutant, random, pool, words));
  }
  return mutant.subarray(0, inputBytesMax);
};
