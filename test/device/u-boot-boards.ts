// What the labs put into a board's environment and read off its console: slots that start by turning the power off, or
// cannot be opened.

import assert from 'node:assert/strict';
import { type SlotName, slotNames } from '../../agent/core/types.ts';
import { scriptName } from '../../bootctl/uboot/boot-script.ts';
import { sequenceName, type Variables } from '../../bootctl/uboot/environment.ts';
import type { UbootBuild } from './u-boot-build.ts';

export const slotHooks = (bootable: readonly SlotName[] = slotNames): Variables =>
  new Map([
    ['otad_boot', 'run try_${otad_slot}'],
    ...slotNames.map(
      (slot) =>
        [`try_${slot}`, bootable.includes(slot) ? `echo "@start ${slot}|\${bootargs}|"; poweroff` : 'false'] as const,
    ),
  ]);

/** The same as a command to give to U-Boot, for environments that do not hold them. */
export const hookCommand = (bootable: readonly SlotName[] = slotNames): string =>
  `${[...slotHooks(bootable)].map(([name, value]) => `setenv ${name} '${value}'`).join('; ')}; run bootcmd`;

/** What a board has in its environment beside the boot logic, once U-Boot has stored it. */
export const boardVariables = ({ compiledIn }: UbootBuild): Variables =>
  new Map([
    ['bootcmd', compiledIn.get('bootcmd') ?? ''],
    [scriptName, compiledIn.get(scriptName) ?? ''],
    ['serial#', '0042'],
  ]);

export const rootOf = { a: 'aa'.repeat(32), b: 'bb'.repeat(32) } as const;

/** A board in the field: slot A confirmed, slot B just activated, all slots openable. */
export const trialOfB = (build: UbootBuild): Variables =>
  new Map([
    ...boardVariables(build),
    ...slotHooks(),
    ['BOOT_ORDER', 'B A'],
    ['BOOT_A_LEFT', '3'],
    ['BOOT_B_LEFT', '3'],
    ['otad_trial', 'B'],
    ['otad_a_root', rootOf.a],
    ['otad_b_root', rootOf.b],
    [sequenceName, '7'],
  ]);

export interface Outcome {
  readonly slot: SlotName | null;
  readonly cmdline: string;
}

export const outcomeOf = (console: string): Outcome => {
  const started = /^@start ([ab])\|\s*(.*?)\|$/ms.exec(console);
  if (started !== null) return { slot: started[1] as SlotName, cmdline: started[2] ?? '' };
  assert.match(console, /^resetting/m, `neither started nor reset:\n${console}`);
  return { slot: null, cmdline: '' };
};

/** The value that `printenv NAME` printed; null: it is not set. */
export const printedValue = (console: string, name: string): string | null =>
  new RegExp(`^${name}=(.*)$`, 'm').exec(console)?.[1] ?? null;
