// What otad makes of 10,000 random, torn and rotten environments and configurations, beside what fw_printenv and
// fw_setenv make of the same bytes. Where they disagree on purpose the disagreement has a name, a narrow condition and a count.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';
import { OtadError } from '../../../agent/core/errors.ts';
import {
  chooseByFlag,
  chooseBySequence,
  decodeCopy,
  type EnvCopy,
  encodeCopy,
  type Variables,
} from '../../../bootctl/uboot/environment.ts';
import { parseFwEnvConfig } from '../../../bootctl/uboot/fw-env-config.ts';
import { readCopies } from '../../../bootctl/uboot/medium.ts';
import { createRandom, type Random } from '../random.ts';
import { type EnvImages, imageBytes, randomImages } from './images.ts';

const readImages = 7_000;
const writtenImages = 1_500;
const configurations = 1_500;
/** Images in one file, read by one shell: starting the tool is what costs. */
const batchImages = 500;

interface Answer {
  readonly status: number;
  readonly text: string;
}

/** Runs the tool on configurations 0 to count - 1 of the folder, one after the other. */
const runTool = async (folder: string, count: number, tool: string, args = ''): Promise<readonly Answer[]> => {
  const mark = '\n==== otad TEST mark ====\n';
  const loop = `cd "$1" && i=0; while [ $i -lt ${count} ]; do ${tool} -c "$1/$i" -f /nonexistent ${args} 2>/dev/null; printf '%s%s\\0' "$2" $?; i=$((i+1)); done`;
  const { stdout } = await promisify(execFile)('sh', ['-c', loop, 'sh', folder, mark], {
    encoding: 'latin1',
    maxBuffer: 1 << 28,
    timeout: 240_000,
  });
  const answers = stdout.split(mark);
  return answers.slice(0, -1).map((text, index) => ({
    text: index === 0 ? text : text.slice(text.indexOf('\0') + 1),
    status: Number.parseInt(answers[index + 1] ?? '', 10),
  }));
};

const strideBytes = 2 * imageBytes;

const configText = (path: string, index: number, copies: number): string =>
  [`${path} ${index * strideBytes} ${imageBytes.toString(16)}`]
    .concat(
      copies === 2 ? [`${path} 0x${(index * strideBytes + imageBytes).toString(16)} 0x${imageBytes.toString(16)}`] : [],
    )
    .join('\n');

interface Batch {
  readonly folder: string;
  readonly disk: string;
  readonly images: readonly EnvImages[];
}

/** All images of the batch in one file, and a configuration for each; the file ends inside the last image. */
const layOut = async (folder: string, images: readonly EnvImages[], cutBytes: number): Promise<Batch> => {
  const disk = join(folder, 'disk');
  const bytes = Buffer.alloc(images.length * strideBytes);
  for (const [index, { copies }] of images.entries()) {
    for (const [copy, image] of copies.entries()) image.copy(bytes, index * strideBytes + copy * imageBytes);
    await writeFile(join(folder, String(index)), configText(disk, index, copies.length));
  }
  await writeFile(disk, bytes.subarray(0, bytes.length - cutBytes));
  return { folder, disk, images };
};

const inBatches = async (
  seed: number,
  count: number,
  body: (batch: Batch, random: Random) => Promise<void>,
): Promise<void> => {
  const folder = await mkdtemp(join(tmpdir(), 'otad-differential-'));
  const random = createRandom(seed);
  try {
    const images = [...randomImages(seed, count)];
    for (let start = 0; start < count; start += batchImages) {
      const slice = images.slice(start, start + batchImages);
      await body(await layOut(folder, slice, random.below(strideBytes)), random);
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
};

const byName = ([one]: readonly [string, string], [two]: readonly [string, string]): number => (one < two ? -1 : 1);

/** As fw_printenv prints it: `.flags` is not shown. */
const printed = (variables: Variables): string =>
  [...variables]
    .filter(([name]) => name !== '.flags')
    .sort(byName)
    .map(([name, value]) => `${name}=${value}\n`)
    .join('');

/** The list of variables does not end inside its copy. */
const isUnterminated = (image: Buffer, isRedundant: boolean): boolean => {
  const data = image.subarray(isRedundant ? 5 : 4);
  return data[0] !== 0 && data.indexOf('\0\0', 0, 'latin1') < 0;
};

interface Reading {
  readonly copies: readonly (EnvCopy | null)[];
  readonly isShort: boolean;
  readonly images: readonly Buffer[];
}

/** Name of the documented disagreement, or what an undocumented one looks like. */
const nameDisagreement = ({ copies, isShort, images }: Reading, fw: Answer, ours: string | null): string => {
  const byFlag = chooseByFlag(copies);
  const flagged = byFlag === null ? null : copies[byFlag];
  if (isShort && fw.status !== 0 && ours !== null) return 'the other copy is used when one cannot be read';
  if (byFlag !== null && isUnterminated(images[byFlag] ?? Buffer.alloc(0), copies.length === 2))
    return 'a list without an end is read as U-Boot reads it';
  if (flagged?.fault === 'empty' && fw.status === 0 && fw.text === '') return 'an empty environment is not taken';
  const [one, two] = copies.map((copy) => copy?.sequence ?? null);
  const areNeighbours = one != null && two != null && Math.abs(one - two) === 1;
  if (areNeighbours && flagged && fw.text === printed(flagged.variables)) return 'the sequence overrules the flag';
  return `undocumented: fw_printenv ${fw.status} ${JSON.stringify(fw.text)}, otad ${JSON.stringify(ours)}`;
};

const readOurs = async (configPath: string): Promise<readonly (EnvCopy | null)[]> => {
  try {
    return (await readCopies(parseFwEnvConfig(await readFile(configPath, 'latin1'), configPath))).map(
      ({ copy }) => copy,
    );
  } catch (error) {
    if (error instanceof OtadError && error.code === 'BOOT_ENV_UNREADABLE') return [];
    throw error;
  }
};

const countUp = (counts: Map<string, number>, name: string): void => {
  counts.set(name, (counts.get(name) ?? 0) + 1);
};

/** Every so many images are read through the adapter's medium too; the others are decoded from the bytes laid out. */
const mediumEvery = 20;

/** The copies of image `index` as the file holds them; null where it ends before the copy does. */
const spansOf = (bytes: Buffer, index: number, copies: number): readonly (Buffer | null)[] =>
  Array.from({ length: copies }, (_, copy) => {
    const span = bytes.subarray(index * strideBytes + copy * imageBytes, index * strideBytes + (copy + 1) * imageBytes);
    return span.length < imageBytes ? null : span;
  });

const decodeSpans = (spans: readonly (Buffer | null)[]): readonly (EnvCopy | null)[] =>
  spans.map((span) => (span === null ? null : decodeCopy(span, spans.length === 2)));

/** What fw_setenv must have done, byte for byte up to the end of the list; the name of the case. */
const checkWritten = (before: readonly (Buffer | null)[], after: readonly (Buffer | null)[]): string => {
  const copies = decodeSpans(before);
  const chosen = before.includes(null) ? null : chooseByFlag(copies);
  const source = chosen === null ? null : (copies[chosen] ?? null);
  if (source === null || chosen === null) {
    assert.deepEqual(after, before);
    return 'nothing valid, nothing written';
  }
  const isRedundant = before.length === 2;
  if (source.variables.has('.flags') || isUnterminated(before[chosen] ?? Buffer.alloc(0), isRedundant)) {
    return 'not compared: fw_setenv rewrites .flags, and fails on a list without an end';
  }
  const variables = new Map([...source.variables, ['zz_test', 'a b=c']]);
  const actual = after[isRedundant ? 1 - chosen : 0] ?? Buffer.alloc(0);
  const list = actual.subarray(isRedundant ? 5 : 4);
  // Past the end of the list fw_setenv leaves whatever its memory held, and the checksum covers that; otad writes zeros.
  const sorted = [...variables].sort(byName).map(([name, value]) => `${name}=${value}\0`);
  assert.equal(list.toString('latin1', 0, list.indexOf('\0\0') + 2), `${sorted.join('')}\0`);
  assert.deepEqual(decodeCopy(actual, isRedundant)?.variables, new Map([...variables].sort(byName)));
  if (isRedundant) assert.equal(actual[4], ((source.flag ?? 0) + 1) & 0xff);
  if (isRedundant) assert.deepEqual(after[chosen], before[chosen]);
  return 'the same environment';
};

describe('U-Boot environment beside fw_printenv and fw_setenv', () => {
  it(`is read as fw_printenv reads it in ${readImages} random images, but for four documented disagreements`, async (context) => {
    const counts = new Map<string, number>();
    await inBatches(41, readImages, async ({ folder, disk, images }) => {
      const answers = await runTool(folder, images.length, 'fw_printenv');
      const bytes = await readFile(disk);
      for (const [index, { copies: written, kind }] of images.entries()) {
        const spans = spansOf(bytes, index, written.length);
        const isShort = spans.includes(null);
        const copies = decodeSpans(spans);
        if (isShort || index % mediumEvery === 0) {
          const read = await readOurs(join(folder, String(index)));
          if (read.length > 0) assert.deepEqual(read, copies);
        }
        const chosen = chooseBySequence(copies);
        const ours = chosen === null ? null : printed(copies[chosen]?.variables ?? new Map());
        const fw = answers[index] ?? { status: -1, text: 'no answer' };
        const isSame = fw.status === 0 ? ours === fw.text : ours === null;
        const name = isSame ? 'agreed' : nameDisagreement({ copies, isShort, images: written }, fw, ours);
        assert.doesNotMatch(name, /^undocumented/, `image ${index} (${kind}): ${name}`);
        countUp(counts, name);
      }
    });
    context.diagnostic(JSON.stringify(Object.fromEntries(counts)));
    assert.equal(
      [...counts.values()].reduce((sum, count) => sum + count),
      readImages,
    );
    // Each one really occurs; and they are the exception.
    assert.equal(counts.size, 5, [...counts.keys()].join('; '));
    assert.ok((counts.get('agreed') ?? 0) > readImages * 0.9, `${counts.get('agreed')}`);
  });

  it(`is written as fw_setenv writes it in ${writtenImages} random images`, async (context) => {
    const counts = new Map<string, number>();
    await inBatches(42, writtenImages, async ({ folder, disk, images }) => {
      const before = await readFile(disk);
      await runTool(folder, images.length, 'fw_setenv', 'zz_test "a b=c"');
      const after = await readFile(disk);
      for (const [index, { copies }] of images.entries()) {
        countUp(counts, checkWritten(spansOf(before, index, copies.length), spansOf(after, index, copies.length)));
      }
    });
    context.diagnostic(JSON.stringify(Object.fromEntries(counts)));
    assert.ok((counts.get('the same environment') ?? 0) > writtenImages * 0.6);
  });
});

const places = [0, 0x600, 0x1000, 0x2000, 0x3000, 0x8000] as const;
const sizes = [0x200, 0x400, 0x600] as const;

const randomConfig = (random: Random, disk: string): string => {
  const number = (value: number): string =>
    random.pick([
      `0x${value.toString(16)}`,
      `0X${value.toString(16).toUpperCase()}`,
      String(value),
      `+${value}`,
      `0${value.toString(8)}`,
      `0x${value.toString(16)}`,
    ]);
  const size = random.pick(sizes);
  const odd = (): string =>
    random.pick([
      '08',
      '0x',
      '',
      '0x1000O',
      '10k',
      '-0x600',
      '1e3',
      '0xg',
      '4096x',
      'here',
      '99999999999999999999',
      '0x600,',
    ]);
  const line = (): string => {
    const offset = random.below(12) === 0 ? odd() : number(random.pick(places));
    const length =
      random.below(12) === 0
        ? odd()
        : random.pick([`0x${size.toString(16)}`, size.toString(16), `0X${size.toString(16)}`]);
    const path =
      random.below(20) === 0
        ? random.pick([
            `${disk}x`,
            'disk',
            join(disk, '..', '.', 'disk').replace('/disk', '/./disk'),
            disk.replaceAll('/', '//'),
          ])
        : disk;
    const rest = random.pick(['', '', ' 0x200', ' 0x200 2', ' 0x200 2 1', ' # note', '\r', ' x']);
    const blank = random.pick([' ', '\t', '  ', '\t \t', '\v', ' \f']);
    return `${random.pick(['', '', '', ' ', '\t'])}${path}${blank}${offset}${blank}${length}${rest}`;
  };
  const filler = (): string => random.pick(['', '#', '# x 0x0 0x1000', '   ', '  # x', '\t']);
  return Array.from({ length: 1 + random.below(5) }, () => (random.below(3) === 0 ? filler() : line())).join('\n');
};

describe('fw_env.config beside fw_printenv', () => {
  it(`means the same place in ${configurations} random configurations, or is refused`, async (context) => {
    const folder = await mkdtemp(join(tmpdir(), 'otad-configurations-'));
    const counts = new Map<string, number>();
    try {
      const disk = join(folder, 'disk');
      const handle = await open(disk, 'w');
      await handle.truncate(0x10000);
      // The flag makes the list redundant; one without it is not valid to a single line, so either way one is told apart.
      for (const [index, place] of places.entries()) {
        const image = encodeCopy(
          new Map([['place', String(place)]]),
          index % 2 === 0 ? 0x600 : 0x400,
          index % 3 === 0 ? null : index,
        );
        await handle.write(image, 0, image.length, place);
      }
      await handle.close();
      const random = createRandom(43);
      const texts = Array.from({ length: configurations }, () => randomConfig(random, disk));
      for (const [index, text] of texts.entries()) await writeFile(join(folder, String(index)), text);
      const answers = await runTool(folder, configurations, 'fw_printenv');
      for (const [index, text] of texts.entries()) {
        const fw = answers[index] ?? { status: -1, text: '' };
        try {
          const copies = await readOurs(join(folder, String(index)));
          const chosen = chooseByFlag(copies);
          const ours = chosen === null ? '' : printed(copies[chosen]?.variables ?? new Map());
          const isMissing = text.includes(`${disk}x`);
          if (isMissing && fw.status !== 0) countUp(counts, 'a missing file leaves the other copy');
          else {
            assert.equal(ours, fw.status === 0 ? fw.text : '', JSON.stringify(text));
            countUp(counts, ours === '' ? 'no valid environment there, both say' : 'the same place');
          }
        } catch (error) {
          if (!(error instanceof OtadError)) throw error;
          assert.equal(error.code, 'BOOT_ENV_UNSUPPORTED');
          countUp(counts, fw.status === 0 ? 'refused where fw_printenv reads on' : 'refused by both');
        }
      }
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
    context.diagnostic(JSON.stringify(Object.fromEntries(counts)));
    assert.ok((counts.get('the same place') ?? 0) > configurations * 0.15);
  });
});
