// One random environment through a real U-Boot and through the twin of its script: which slot starts, with which
// arguments, and what is in the environment afterwards, as U-Boot stored it, as we read it and as fw_printenv reads it.

import assert from 'node:assert/strict';
import { scriptName } from '../../bootctl/uboot/boot-script.ts';
import { encodeCopy, sequenceName, type Variables } from '../../bootctl/uboot/environment.ts';
import { chooseBoot } from '../../bootctl/uboot/firmware.ts';
import type { Random } from '../bootctl/random.ts';
import { type BootCase, savedOf, showCase } from '../bootctl/uboot/boot-cases.ts';
import { fwPrintenv } from '../bootctl/uboot/fw-tools.ts';
import { boardVariables, outcomeOf, slotHooks } from './u-boot-boards.ts';
import type { UbootBuild } from './u-boot-build.ts';
import { envBytes, type Sandbox, type SandboxVariant } from './u-boot-sandbox.ts';

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

export interface Rig {
  readonly variant: SandboxVariant;
  /** How the script is started, if not by `bootcmd`. */
  readonly command?: string;
  /** Another script than the one that is compiled in. */
  readonly script?: string;
}

/** One power-on. Throws an AssertionError that shows the case and the console. */
export const checkCase = async (
  build: UbootBuild,
  sandbox: Sandbox,
  one: BootCase,
  rig: Rig,
  random: Random,
): Promise<void> => {
  const board = new Map([
    ...boardVariables(build),
    ...(rig.script === undefined ? [] : [[scriptName, rig.script] as const]),
  ]);
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
