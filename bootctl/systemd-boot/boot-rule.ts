// What a power-on chooses by the reference model's state where systemd-boot decides: it gives no tries back and does not
// count a confirmed slot, but it never ends with nothing as long as one entry can be started. Pure.

import type { SlotName } from '../../agent/core/types.ts';
import { slotNames } from '../../agent/core/types.ts';
import type { BootModel, BootResult } from '../model.ts';

/** Parked entries are invisible to the loader. */
const isVisible = (model: BootModel, slot: SlotName): boolean =>
  model.order.includes(slot) || model.slots[slot].verity !== null;

/** Counted out entries come last in the loader's list, those marked bad before them. */
const rankOf = (model: BootModel, slot: SlotName): number => {
  const { triesLeft, isTrial } = model.slots[slot];
  if (triesLeft > 0) return 0;
  return isTrial ? 2 : 1;
};

const listSlots = (model: BootModel): readonly SlotName[] => {
  const place = (slot: SlotName): number => (model.order.includes(slot) ? model.order.indexOf(slot) : 9);
  return slotNames
    .filter((slot) => isVisible(model, slot))
    .sort((one, two) => rankOf(model, one) - rankOf(model, two) || place(one) - place(two));
};

const takeTry = (model: BootModel, slot: SlotName): BootModel => {
  const { triesLeft, isTrial } = model.slots[slot];
  if (!isTrial) return model;
  return {
    ...model,
    slots: { ...model.slots, [slot]: { ...model.slots[slot], triesLeft: Math.max(0, triesLeft - 1) } },
  };
};

/**
 * One power-on, up to the first slot that opens: the one that the loader chooses, and if its root cannot be opened the
 * other, which the initramfs asks for once.
 */
export const bootBySystemdBoot = (
  model: BootModel,
  isBootable: (slot: SlotName) => boolean = () => true,
): BootResult => {
  let next = model;
  for (const slot of listSlots(model)) {
    next = takeTry(next, slot);
    if (isBootable(slot)) return { model: next, slot };
  }
  return { model: next, slot: null };
};
