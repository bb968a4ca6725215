// The verity root of a slot whose entry starts a unified kernel image: it stands in the image's signed command line, which
// nobody but the publisher can change. So it is read there, and an image that carries another root is never activated.

import { join } from 'node:path';
import { OtadError } from '../../agent/core/errors.ts';
import { type SlotName, slotNames } from '../../agent/core/types.ts';
import type { BootModel, SlotVerity } from '../model.ts';
import type { Esp } from './esp.ts';
import { readPeTexts } from './pe-sections.ts';
import { verityInCommandLine } from './slot-entry.ts';
import type { SlotFile, SlotFiles } from './slot-files.ts';

const commandLineOf = async (esp: Esp, { entry }: SlotFile): Promise<string | null> => {
  try {
    const texts = await readPeTexts(join(esp.path, entry.boot.path), ['.cmdline']);
    return texts?.['.cmdline'] ?? null;
  } catch {
    return null;
  }
};

const isUki = (found: SlotFile | null): found is SlotFile => found !== null && found.entry.boot.key !== 'linux';

/** The model with the roots that the slots' images really carry, where they are unified ones. */
export const withUkiVerity = async (esp: Esp, files: SlotFiles, model: BootModel): Promise<BootModel> => {
  const slots = { ...model.slots };
  for (const slot of slotNames) {
    const found = files[slot];
    if (!isUki(found) || found.entry.state === 'parked') continue;
    const text = await commandLineOf(esp, found);
    slots[slot] = { ...slots[slot], verity: text === null ? null : verityInCommandLine(text) };
  }
  return { ...model, slots };
};

/** Throws BOOT_ENTRY_MISSING when the slot's image is not the one that opens `verity` in this slot. */
export const checkUki = async (esp: Esp, slot: SlotName, found: SlotFile, verity: SlotVerity | null): Promise<void> => {
  if (!isUki(found) || verity === null) return;
  const text = await commandLineOf(esp, found);
  const carried = text === null ? null : verityInCommandLine(text);
  const isOfSlot = text?.split(/\s+/).includes(`otad.slot=${slot}`) ?? false;
  const isSame =
    carried?.rootHex === verity.rootHex &&
    (carried.hashOffsetBytes === null || carried.hashOffsetBytes === verity.hashOffsetBytes);
  if (isOfSlot && isSame) return;
  throw new OtadError('BOOT_ENTRY_MISSING', {
    slot,
    image: join(esp.path, found.entry.boot.path),
    expected: `otad.slot=${slot} otad.root=${verity.rootHex}`,
    found: text === null ? 'no unified kernel image' : text.slice(0, 512),
  });
};
