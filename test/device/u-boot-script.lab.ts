// The boot script in the shell of a real U-Boot against its TypeScript twin: which slot starts, with which arguments, and
// what is in the environment afterwards, as U-Boot stored it, as we read it and as fw_printenv reads it.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { copyFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { encodeCopy, sequenceName, type Variables } from '../../bootctl/uboot/environment.ts';
import { chooseBoot } from '../../bootctl/uboot/firmware.ts';
import { createRandom, type Random } from '../bootctl/random.ts';
import { type BootCase, hostileOddities, randomCases, savedOf, showCase } from '../bootctl/uboot/boot-cases.ts';
import { fwPrintenv } from '../bootctl/uboot/fw-tools.ts';
import { boardVariables, outcomeOf, slotHooks } from './u-boot-boards.ts';
import { buildUboot } from './u-boot-build.ts';
import { createSandbox, envBytes, type Sandbox, type SandboxVariant } from './u-boot-sandbox.ts';

const scriptPath = fileURLToPath(new URL('../../../bootctl/uboot/boot.cmd', import.meta.url));
const build = await buildUboot('sandbox');
const board = boardVariables(build);
/** The script as mkimage packs it, comments and all. */
const imageFolder = await mkdtemp(join(tmpdir(), 'otad-script-'));
const imagePath = join(imageFolder, 'boot.scr');
await promisify(execFile)(join(build.folder, 'mkimage'), ['-T', 'script', '-d', scriptPath, imagePath]);
after(() => rm(imageFolder, { recursive: true }));
console.log(`U-Boot: ${build.version}`);

/** Both copies, the one that counts holding `variables`; the other older, torn, erased or absent. */
const makeCopies = (variables: Variables, isRedundant: boolean, isWritable: boolean, random: Random) => {
  if (!isRedundant) return [encodeCopy(variables, envBytes, null)];
  const [flag, older] = random.pick([
    [1, 0],
    [2, 1],
    [0, 255],
    [255, 254],
    [128, 127],
    [90, 3],
  ] as const);
  const current = encodeCopy(variables, envBytes, flag);
  const stale = encodeCopy(new Map([...variables, ['BOOT_ORDER', 'B A'], ['serial#', 'old']]), envBytes, older);
  const torn = Uint8Array.from(stale);
  torn.fill(0xff, 512 * random.below(8));
  const other = random.pick([stale, torn, null]);
  // A card without room for the second copy can only hold the first.
  return !isWritable || random.below(2) === 0 ? [current, other] : [other, current];
};

interface Rig {
  readonly variant: SandboxVariant;
  /** How the script is started, if not by `bootcmd`. */
  readonly command?: string;
}

const checkCase = async (sandbox: Sandbox, one: BootCase, rig: Rig, random: Random): Promise<void> => {
  const variables = new Map([...board, ...slotHooks(one.bootable), ...one.variables]);
  await sandbox.insertCard(makeCopies(variables, rig.variant !== 'single', one.isWritable, random), !one.isWritable);
  const before = await sandbox.digest();
  const console = await sandbox.powerOn(rig);
  const shown = `${showCase(one)}\n${console}`;
  const choice = chooseBoot(variables, (slot) => one.bootable.includes(slot), one.isWritable);
  assert.deepEqual(outcomeOf(console), { slot: choice.slot, cmdline: choice.cmdline }, shown);
  if (choice.changes.size === 0) {
    assert.equal(await sandbox.digest(), before, `written without need\n${shown}`);
    return;
  }
  const saved = await sandbox.readEnvironment();
  assert.ok(saved !== null, shown);
  assert.deepEqual(savedOf(saved), savedOf(new Map([...variables, ...choice.changes])), shown);
  for (const [name, value] of board) assert.equal(saved.get(name), value, shown);
  const sequence = variables.get(sequenceName);
  if (sequence !== undefined) {
    assert.ok(Number.parseInt(saved.get(sequenceName) ?? '', 16) > Number.parseInt(sequence, 16), shown);
  }
  // Once more: another program on this machine may have held the tool's lock for longer than it waits.
  const printed = (await fwPrintenv(sandbox.configPath)) ?? (await fwPrintenv(sandbox.configPath));
  assert.deepEqual(printed, saved, shown);
};

/** Two boards at a time. */
const checkCases = async (rig: Rig, cases: readonly BootCase[], seed: number): Promise<void> => {
  const queue = [...cases.entries()];
  const work = async (): Promise<void> => {
    const sandbox = await createSandbox(build, rig.variant);
    try {
      await copyFile(imagePath, join(sandbox.folder, 'boot.scr'));
      for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
        const [index, one] = next;
        await checkCase(sandbox, one, rig, createRandom(seed * 100_000 + index));
      }
    } finally {
      await sandbox.close();
    }
  };
  await Promise.all([work(), work()]);
};

describe('boot script in a real U-Boot', () => {
  it('chooses, passes and saves what its twin does, on 1000 environments with two copies', async () => {
    await checkCases({ variant: 'redundant' }, randomCases(21, 1000, hostileOddities), 21);
  });

  it('does so in the newer of the two shells', async () => {
    await checkCases({ variant: 'modern' }, randomCases(22, 500, hostileOddities), 22);
  });

  it('does so with a single copy', async () => {
    const cases = randomCases(23, 300, hostileOddities).map((one) => ({ ...one, isWritable: true }));
    await checkCases({ variant: 'single' }, cases, 23);
  });

  it('does so as a script image that is loaded from a file system', async () => {
    const command = 'load hostfs - 1000 boot.scr; source 1000';
    await checkCases({ variant: 'redundant', command }, randomCases(24, 200, hostileOddities), 24);
  });
});
