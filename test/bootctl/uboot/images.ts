// Random images of a U-Boot environment: whole, torn, rotten, hand-made. A seed gives the same ones everywhere.

import { crc32 } from 'node:zlib';
import { encodeCopy, nextCopy, sequenceName, type Variables } from '../../../bootctl/uboot/environment.ts';
import { createRandom, type Random } from '../random.ts';

export const imageBytes = 0x600;
export const sectorBytes = 512;

export interface EnvImages {
  readonly kind: string;
  /** One, or two. All of `imageBytes`. */
  readonly copies: readonly Buffer[];
}

const flagEdges = [0, 1, 2, 63, 64, 127, 128, 129, 253, 254, 255];

const randomBytes = (random: Random, length: number, from = 0): string =>
  Array.from({ length }, () => String.fromCharCode(from + random.below(256 - from))).join('');

/** Values hold any byte but zero: line feeds, equals signs, bytes that are no UTF-8. */
const randomVariables = (random: Random): Variables => {
  const variables = new Map<string, string>();
  for (let count = 1 + random.below(8); count > 0; count -= 1) {
    const name = randomBytes(random, 1 + random.below(6), 1).replaceAll('=', '_');
    variables.set(random.below(3) === 0 ? `v${random.below(9)}` : name, randomBytes(random, random.below(30), 1));
  }
  if (random.below(3) > 0) variables.set('BOOT_ORDER', random.pick(['A', 'B', 'A B', 'B A', '', 'x']));
  if (random.below(8) === 0) variables.set('.flags', random.pick(['v1:so', 'v1:da,v2:sr', 'rubbish', ':', '']));
  return variables;
};

/** A copy whose checksum is right, whatever stands in it. */
const sealed = (text: string, flag: number | null): Buffer => {
  const header = flag === null ? 4 : 5;
  const bytes = Buffer.alloc(imageBytes);
  bytes.write(text.slice(0, imageBytes - header), header, 'latin1');
  bytes.writeUInt32LE(crc32(bytes.subarray(header)), 0);
  if (flag !== null) bytes.writeUInt8(flag, 4);
  return bytes;
};

/** What no tool of ours writes and U-Boot takes nevertheless. */
const oddText = (random: Random): string =>
  random.pick([
    () => '',
    () => 'a=1\0a=2\0b=3\0a=4\0',
    () => 'novalue\0b=1\0',
    () => `=nameless\0b=${random.below(9)}\0`,
    () => '=\0b=1\0',
    () => `b=1\0\0hidden=${random.below(9)}\0`,
    () => `b=1\0\0${randomBytes(random, 200)}`,
    () => randomBytes(random, 1 + random.below(300)),
    () => `b=${'x'.repeat(imageBytes)}`,
    () => `b=1\0${randomBytes(random, imageBytes, 1)}`,
    () => `${sequenceName}=${random.pick(['0', 'fff', 'FF', '0x1', '-1', 'ffffffffff', ''])}\0b=1\0`,
    () => 'b=1\0.flags=b:xa\0c=2\0',
  ])();

/** A history of writes as otad makes them, or as fw_setenv does (the sequence stays). */
const written = (random: Random, isSequenced: boolean): readonly [older: Buffer, newer: Buffer] => {
  const flag = random.pick(flagEdges);
  const sequence = random.below(3) === 0 ? 0xffff : 1 + random.below(300);
  const make = (step: number): Buffer => {
    const variables = new Map(randomVariables(random));
    if (isSequenced) variables.set(sequenceName, (sequence + step).toString(16));
    return Buffer.from(encodeCopy(variables, imageBytes, (flag + step) & 0xff));
  };
  return [make(0), make(1)];
};

const inOrder = (random: Random, one: Buffer, two: Buffer): readonly Buffer[] =>
  random.below(2) === 0 ? [one, two] : [two, one];

const flipBits = (random: Random, image: Buffer): Buffer => {
  const bytes = Buffer.from(image);
  for (let count = 1 + random.below(3); count > 0; count -= 1) {
    const bit = random.below(random.below(2) === 0 ? 40 : bytes.length * 8);
    bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
  }
  return bytes;
};

/** `next` as far as it got over `old`: a prefix, a subset of sectors, a tear inside a sector, a tail of zeros. */
export const tear = (random: Random, old: Buffer, next: Buffer): Buffer => {
  const bytes = Buffer.from(old);
  const cut = random.below(imageBytes + 1);
  const manner = random.below(4);
  if (manner === 0) next.copy(bytes, 0, 0, cut);
  if (manner === 1) {
    for (let start = 0; start < imageBytes; start += sectorBytes) {
      if (random.below(2) === 0) next.copy(bytes, start, start, start + sectorBytes);
    }
  }
  if (manner === 2) next.copy(bytes, cut, cut, Math.min(imageBytes, cut + 1 + random.below(sectorBytes)));
  if (manner === 3) {
    next.copy(bytes);
    bytes.fill(random.pick([0, 0xff]), cut);
  }
  return bytes;
};

const makers: Readonly<Record<string, (random: Random) => readonly Buffer[]>> = {
  whole: (random) => inOrder(random, ...written(random, random.below(2) === 0)),
  single: (random) => [Buffer.from(encodeCopy(randomVariables(random), imageBytes, null))],
  'any flags': (random) =>
    [0, 1].map(() => Buffer.from(encodeCopy(randomVariables(random), imageBytes, random.pick(flagEdges)))),
  'flipped bits': (random) => {
    const [older, newer] = written(random, random.below(2) === 0);
    return random.below(2) === 0
      ? inOrder(random, flipBits(random, older), newer)
      : inOrder(random, older, flipBits(random, newer));
  },
  torn: (random) => {
    const [older, newer] = written(random, true);
    const next = nextCopy([], null, randomVariables(random));
    const image = Buffer.from(encodeCopy(next.variables, imageBytes, ((newer[4] ?? 0) + 1) & 0xff));
    return inOrder(random, tear(random, older, image), newer);
  },
  odd: (random) =>
    random.below(3) === 0
      ? [sealed(oddText(random), null)]
      : inOrder(
          random,
          sealed(oddText(random), random.pick(flagEdges)),
          random.below(2) === 0 ? written(random, false)[0] : sealed(oddText(random), random.pick(flagEdges)),
        ),
  noise: (random) => [0, 1].map(() => Buffer.from(randomBytes(random, imageBytes), 'latin1')),
  blank: (random) => [0, 1].map(() => Buffer.alloc(imageBytes, random.pick([0, 0xff]))),
};

const weights = ['whole', 'whole', 'any flags', 'flipped bits', 'flipped bits', 'torn', 'torn', 'odd', 'odd', 'single'];

/** `count` images; a few of noise and of blank media among them. */
export function* randomImages(seed: number, count: number): Generator<EnvImages> {
  const random = createRandom(seed);
  for (let index = 0; index < count; index += 1) {
    const kind = random.below(25) === 0 ? random.pick(['noise', 'blank']) : random.pick(weights);
    yield { kind, copies: makers[kind]?.(random) ?? [] };
  }
}
