// Which slot runs, by those who were there: the kernel's command line, the device that the root file system stands on, the
// firmware's device tree. Pure. Labels are no witness: two disks may carry the same ones. Who is silent counts for nothing;
// who speaks must agree with everybody else who does.

import { OtadError } from '../agent/core/errors.ts';
import type { BootWitness, SlotName } from '../agent/core/types.ts';

/** `kernel command line` as a key of an error's details. */
const keyOf = (name: string): string => name.replace(/ ([a-z])/g, (_, letter: string) => letter.toUpperCase());

/** Throws BOOT_EVIDENCE_MISSING when all are silent, BOOT_EVIDENCE_CONFLICT naming the first two that contradict each other. */
export const agreedSlot = (witnesses: readonly BootWitness[]): SlotName => {
  const speaking = witnesses.filter((witness) => witness.slot !== null);
  const [first] = speaking;
  if (first === undefined || first.slot === null) {
    throw new OtadError('BOOT_EVIDENCE_MISSING', {
      ...Object.fromEntries(witnesses.map(({ name, says }) => [keyOf(name), says])),
    });
  }
  const other = speaking.find(({ slot }) => slot !== first.slot);
  if (other === undefined) return first.slot;
  throw new OtadError('BOOT_EVIDENCE_CONFLICT', {
    [keyOf(first.name)]: `slot ${first.slot} by ${first.says}`,
    [keyOf(other.name)]: `slot ${other.slot} by ${other.says}`,
  });
};

/** Sentences for a technician. */
export const tellWitnesses = (witnesses: readonly BootWitness[]): readonly string[] =>
  witnesses.map(({ name, says, slot }) => `${name}: ${says}${slot === null ? '' : ` (slot ${slot})`}`);
