// Records what each operation really writes, powers the device on after each write, and compares with the table of the docs.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';
import type { SlotName } from '../../../agent/core/types.ts';
import { createUbootControl } from '../../../bootctl/uboot/control.ts';
import { chooseByFlag, decodeCopy, sequenceName, type Variables } from '../../../bootctl/uboot/environment.ts';
import { formatEnvironment, readCopies } from '../../../bootctl/uboot/medium.ts';
import { powerOn } from '../../../bootctl/uboot/power-on.ts';
import { applyModel, decodeModel } from '../../../bootctl/uboot/variables.ts';
import { contractStart, contractVerity } from '../../contract/boot-control.ts';
import type { BootOperation, BootWrite, BootWrites } from '../../contract/boot-writes.ts';
import { ubootWrites } from './boot-writes.ts';
import { fwSetenv } from './fw-tools.ts';
import { createUbootFiles, factoryVariables, type UbootFiles } from './machine.ts';

const { signal } = new AbortController();
const child = new URL('./write-child.js', import.meta.url).pathname;

const controlOf = (files: UbootFiles, slot: SlotName) =>
  createUbootControl({
    config: files.config,
    evidence: { slot, root: null, evidence: [] },
    lockPath: join(files.folder, 'lock'),
  });

const currentVariables = async (files: UbootFiles): Promise<Variables> => {
  const copies = (await readCopies(files.config)).map(({ copy }) => copy);
  return copies[chooseByFlag(copies) ?? 0]?.variables ?? new Map();
};

/** `b` was activated and U-Boot has started it once. */
const onTrial = async (files: UbootFiles): Promise<void> => {
  await controlOf(files, 'a').activate('b', 3, contractVerity('b'), signal);
  assert.equal((await powerOn(files.config)).slot, 'b');
};

interface Scene {
  readonly operation: BootOperation;
  readonly when: string;
  readonly step: string;
  readonly booted: SlotName;
  prepare(files: UbootFiles): Promise<void>;
}

const flipStale = async (files: UbootFiles): Promise<void> => {
  await controlOf(files, 'a').activate('b', 3, contractVerity('b'), signal);
  await controlOf(files, 'a').invalidate('b', signal);
  const images = await Promise.all(files.envPaths.map((path) => readFile(path)));
  const stale = 1 - (chooseByFlag(images.map((image) => decodeCopy(image, true))) ?? 0);
  const image = images[stale] ?? Buffer.alloc(0);
  image[4] = (image[4] ?? 0) ^ 0x40;
  await writeFile(files.envPaths[stale] ?? '', image);
  assert.equal((await currentVariables(files)).get('BOOT_ORDER'), 'B A');
};

const scenes: readonly Scene[] = [
  {
    operation: 'status repair',
    when: 'the running slot has lost tries',
    step: 'status',
    booted: 'a',
    prepare: async (files) => {
      await fwSetenv(files.configPath, new Map([['BOOT_A_LEFT', '1']]));
      // The sequence is raised, as a boot script with setexpr does it.
      await fwSetenv(files.configPath, new Map([[sequenceName, '2']]));
    },
  },
  {
    operation: 'status repair',
    when: 'a flipped flag bit made a stale copy count',
    step: 'status',
    booted: 'a',
    prepare: flipStale,
  },
  {
    operation: 'status repair',
    when: 'fw_setenv changed it',
    step: 'status',
    booted: 'a',
    prepare: (files) => fwSetenv(files.configPath, new Map([['note', 'x']])),
  },
  { operation: 'invalidate', when: 'b is on trial', step: 'invalidate', booted: 'a', prepare: onTrial },
  { operation: 'activate', when: 'b holds nothing', step: 'activate', booted: 'a', prepare: async () => {} },
  { operation: 'mark good', when: 'b runs on trial', step: 'mark good', booted: 'b', prepare: onTrial },
  { operation: 'mark bad', when: 'b runs on trial', step: 'mark bad', booted: 'b', prepare: onTrial },
  { operation: 'prepareReboot', when: 'b is on trial', step: 'prepareReboot', booted: 'a', prepare: onTrial },
];

const quote = (value: string | undefined): string => (value === undefined ? 'nothing' : `\`${value}\``);

const changeText = (name: string, before: string | undefined, after: string | undefined): string => {
  if (name === sequenceName) return `\`${name}\` raised`;
  if (after === undefined) return `\`${name}\` removed`;
  return after.length > 5 ? `\`${name}\` set` : `\`${name}\` from ${quote(before)} to ${quote(after)}`;
};

const describeChange = (before: Variables, after: Variables): string =>
  [...new Set([...before.keys(), ...after.keys()])]
    .sort()
    .filter((name) => before.get(name) !== after.get(name))
    .map((name) => changeText(name, before.get(name), after.get(name)))
    .join(', ');

const describeBoot = async (files: UbootFiles): Promise<string> => {
  const before = decodeModel(await currentVariables(files));
  const { slot } = await powerOn(files.config);
  if (slot === null) return 'U-Boot starts nothing.';
  const { triesLeft } = decodeModel(await currentVariables(files)).slots[slot];
  return before.slots[slot].isTrial
    ? `U-Boot starts ${slot} on trial, ${triesLeft} tries are left after it.`
    : `U-Boot starts ${slot}; nothing is counted.`;
};

/** The system calls that reach the copies, in order, as strace sees them. */
const traceOf = async (files: UbootFiles, { step, booted }: Scene, calls: string): Promise<readonly string[]> => {
  const trace = join(files.folder, 'trace');
  const paths = files.envPaths.flatMap((path) => ['-P', path]);
  await promisify(execFile)('strace', [
    ...['-f', '-qq', '-o', trace, ...paths, '-e', `trace=${calls}`],
    ...[process.execPath, child, files.configPath, join(files.folder, 'lock'), step, booted],
  ]);
  // A call that another thread interrupts stands on two lines; the second says `resumed` and has no parenthesis.
  return (await readFile(trace, 'utf8')).split('\n').filter((line) => /^[0-9]+ +[a-z0-9]+\(/.test(line));
};

const changingCalls = 'pwrite64,write,writev,pwritev,fsync,fdatasync,ftruncate,rename';

const recordScene = async (scene: Scene): Promise<BootWrites> => {
  const files = await createUbootFiles(2);
  try {
    await formatEnvironment(files.config, applyModel(factoryVariables, contractStart));
    await scene.prepare(files);
    const before = await currentVariables(files);
    const images = await Promise.all(files.envPaths.map((path) => readFile(path)));
    const calls = (await traceOf(files, scene, changingCalls)).map((line) => /([a-z0-9]+)\(/.exec(line)?.[1]);
    const changed = (await Promise.all(files.envPaths.map((path) => readFile(path)))).filter(
      (image, index) => !image.equals(images[index] ?? Buffer.alloc(0)),
    );
    const writes: BootWrite[] = [];
    if (calls.length > 0) {
      assert.deepEqual(calls, ['pwrite64', 'fsync'], 'one write in place, then the flush');
      assert.equal(changed.length, 1);
      const what = `when ${scene.when}: ${describeChange(before, await currentVariables(files))}`;
      writes.push({ what, ifPowerGoesAfter: await describeBoot(files) });
    }
    return { bootloader: 'U-Boot environment', operation: scene.operation, writes };
  } finally {
    await files.close();
  }
};

describe('docs/reference/boot-writes.md, U-Boot', () => {
  for (const [index, scene] of scenes.entries()) {
    it(`says what is written and what a power-on does after it: ${scene.operation}, ${scene.when}`, async () => {
      assert.deepEqual(await recordScene(scene), ubootWrites[index]);
    });
  }

  it('has a row for every recorded operation and no other', () => {
    assert.equal(ubootWrites.length, scenes.length);
  });

  it('reads back past the page cache, after the write and through a descriptor of its own', async () => {
    const files = await createUbootFiles(2);
    try {
      await formatEnvironment(files.config, applyModel(factoryVariables, contractStart));
      const scene: Scene = { operation: 'activate', when: '', step: 'activate', booted: 'a', prepare: async () => {} };
      const lines = await traceOf(files, scene, 'openat,pwrite64');
      const written = lines.findIndex((line) => line.includes('pwrite64('));
      assert.ok(written > 0);
      assert.match(lines[written + 1] ?? '', /openat\(.*O_RDONLY.*O_DIRECT/);
      assert.doesNotMatch(lines.join('\n'), /O_CREAT|O_TRUNC/);
    } finally {
      await files.close();
    }
  });
});
