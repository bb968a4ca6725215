// A power-on of U-Boot on a real environment: chooses the copy as U-Boot does, runs the boot logic, saves before the
// slot starts. The virtual gateway's firmware; no part of the agent.

import type { SlotName } from '../../agent/core/types.ts';
import type { SlotVerity } from '../model.ts';
import { chooseByFlag, type Variables } from './environment.ts';
import { chooseBoot } from './firmware.ts';
import type { FwEnvConfig } from './fw-env-config.ts';
import { readCopies, writeCopy } from './medium.ts';
import { decodeModel, lostVariables } from './variables.ts';

export interface PowerOn {
  readonly slot: SlotName | null;
  /** Arguments for the kernel command line; empty when there is no slot. */
  readonly cmdline: string;
  /** False: both copies were corrupt, or the import was refused, and the compiled-in environment was used. */
  readonly isEnvironmentValid: boolean;
}

/** `compiledIn` stands for the environment built into U-Boot. `isBootable` is asked once a slot, and only when needed. */
export const powerOn = async (
  config: FwEnvConfig,
  isBootable: (slot: SlotName, verity: SlotVerity | null) => Promise<boolean> = async () => true,
  compiledIn: Variables = lostVariables,
): Promise<PowerOn> => {
  const copies = (await readCopies(config)).map(({ copy }) => copy);
  const current = chooseByFlag(copies);
  const chosen = current === null ? null : (copies[current] ?? null);
  // No `bootcmd`: the board stops at its prompt. What otad must never cause.
  if (chosen?.fault === 'empty') return { slot: null, cmdline: '', isEnvironmentValid: false };
  const copy = chosen?.fault === 'nameless' ? null : chosen;
  const variables = copy?.variables ?? compiledIn;
  const known = new Map<SlotName, boolean>();
  const choose = () => chooseBoot(variables, (slot) => known.get(slot) ?? true);
  let choice = choose();
  // At most one round a slot: each either ends here or learns about one more slot.
  while (choice.slot !== null && known.get(choice.slot) !== true) {
    known.set(choice.slot, await isBootable(choice.slot, decodeModel(variables).slots[choice.slot].verity));
    choice = choose();
  }
  if (choice.changes.size > 0) {
    const isRedundant = config.copies.length === 2;
    const flag = isRedundant ? ((chosen?.flag ?? 0) + 1) & 0xff : null;
    await writeCopy(config, isRedundant && current === 0 ? 1 : 0, new Map([...variables, ...choice.changes]), flag);
  }
  return { slot: choice.slot, cmdline: choice.cmdline, isEnvironmentValid: copy !== null };
};
