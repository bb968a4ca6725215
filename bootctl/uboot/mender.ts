// Mender's variables in a U-Boot environment: read where a device ran Mender, and kept in step afterwards, so that a board
// whose boot script is still Mender's boots what otad says. Pure.
// Never guesses which partition number belongs to a slot: where it is not known, that slot cannot be made primary.

import { OtadError } from '../../agent/core/errors.ts';
import { otherSlot, type SlotName, slotNames } from '../../agent/core/types.ts';
import { type BootModel, boot, triesDefault, triesMax } from '../model.ts';
import { sequenceName, type Variables } from './environment.ts';
import { applyModel, decodeModel, orderName } from './variables.ts';

const menderPartName = 'mender_boot_part';
const partHexName = 'mender_boot_part_hex';
const trialName = 'upgrade_available';
const countName = 'bootcount';
const limitName = 'bootlimit';
/**
 * Ours: the partition numbers of slot a and slot b, decimal. Written with every change, so it also says that Mender's
 * variables are in step; and a technician's way to tell otad what it cannot find out.
 */
const menderPartsName = 'otad_mender_parts';

/** null: not known. */
export type MenderParts = Readonly<Record<SlotName, number | null>>;

const numberOf = (text: string | undefined): number | null => (/^[0-9]{1,3}$/.test(text ?? '') ? Number(text) : null);

const isTrial = (variables: Variables): boolean => variables.get(trialName) === '1';

const bootsLeft = (variables: Variables): number => {
  const left = (numberOf(variables.get(limitName)) ?? 1) - (numberOf(variables.get(countName)) ?? 0);
  return Math.min(Math.max(left, 0), triesMax);
};

/** Mender's names are there and none of BOOT_ORDER's: a Mender boot script runs this board. */
const isMenderAlone = (variables: Variables): boolean =>
  numberOf(variables.get(menderPartName)) !== null && !variables.has(sequenceName) && !variables.has(orderName);

const isInStep = (variables: Variables): boolean => variables.has(menderPartsName) && variables.has(sequenceName);

/** `known`: what the slots' devices say, which counts more than what was written once. null: no Mender here. */
const menderParts = (variables: Variables, known: MenderParts): MenderParts | null => {
  if (numberOf(variables.get(menderPartName)) === null) return null;
  const [a = null, b = null] = (variables.get(menderPartsName) ?? '').split(' ').map(numberOf);
  return { a: known.a ?? a, b: known.b ?? b };
};

const namedSlot = (variables: Variables, parts: MenderParts): SlotName | null => {
  const named = numberOf(variables.get(menderPartName));
  return slotNames.find((slot) => parts[slot] === named) ?? null;
};

/**
 * What a device boots by that knows Mender's names only; null when they name no known slot. The slot that Mender would
 * not boot is not selectable.
 */
const decodeMender = (variables: Variables, parts: MenderParts): BootModel | null => {
  const primary = namedSlot(variables, parts);
  if (primary === null) return null;
  const other = otherSlot(primary);
  const good = { triesLeft: triesDefault, isTrial: false, verity: null };
  const none = { triesLeft: 0, isTrial: false, verity: null };
  const model = (one: BootModel['slots'][SlotName], two: BootModel['slots'][SlotName]): BootModel['slots'] =>
    primary === 'a' ? { a: one, b: two } : { a: two, b: one };
  if (!isTrial(variables)) return { order: [primary], slots: model(good, none) };
  return {
    order: [primary, other],
    slots: model({ ...good, isTrial: true, triesLeft: bootsLeft(variables) }, good),
  };
};

/** What Mender's script counted and decided since otad's last write, in our terms. The same object: nothing. */
const witnessMender = (model: BootModel, variables: Variables, parts: MenderParts): BootModel => {
  if (!isInStep(variables)) return model;
  const trial = model.order.find((slot) => model.slots[slot].isTrial && model.slots[slot].triesLeft > 0);
  if (trial === undefined || trial !== model.order[0]) return model;
  const named = namedSlot(variables, parts);
  const isGivenUp = !isTrial(variables) && named !== null && named !== trial;
  const left = isGivenUp ? 0 : isTrial(variables) && named === trial ? bootsLeft(variables) : triesMax;
  if (left >= model.slots[trial].triesLeft) return model;
  return { ...model, slots: { ...model.slots, [trial]: { ...model.slots[trial], triesLeft: left } } };
};

/**
 * `after` with Mender's variables for `model`; `before` is what stood there. Throws BOOT_ENV_UNSUPPORTED when Mender's
 * script may be what boots and the primary slot's number is not known.
 */
const applyMender = (before: Variables, after: Variables, model: BootModel, parts: MenderParts): Variables => {
  const primary = boot(model).slot ?? model.order[0] ?? 'a';
  const part = parts[primary];
  if (part === null) {
    // Beside a BOOT_ORDER that otad never wrote for Mender, its variables are remains that nothing boots by.
    if (!isMenderAlone(before) && !isInStep(before)) return after;
    throw new OtadError('BOOT_ENV_UNSUPPORTED', {
      slot: primary,
      reason: `Mender's boot script may run here and its partition number for this slot is not known: fw_setenv ${menderPartsName} "<number of a> <number of b>", or fw_setenv ${menderPartName} when the script is replaced`,
    });
  }
  const { isTrial: isOnTrial, triesLeft } = model.slots[primary];
  const result = new Map(after);
  result.set(menderPartName, String(part)).set(partHexName, part.toString(16));
  result.set(trialName, isOnTrial ? '1' : '0').set(countName, '0');
  if (isOnTrial) result.set(limitName, String(triesLeft));
  return result.set(menderPartsName, `${parts.a ?? '-'} ${parts.b ?? '-'}`);
};

/** What `variables` mean for the next boot, whichever names the board's script goes by. */
export const readModel = (variables: Variables, known: MenderParts): BootModel => {
  const parts = menderParts(variables, known);
  if (parts === null) return decodeModel(variables);
  return isMenderAlone(variables)
    ? (decodeMender(variables, parts) ?? decodeModel(variables))
    : witnessMender(decodeModel(variables), variables, parts);
};

/** `variables` with the model in them, in our names and, where a Mender script may read them, in Mender's. */
export const withModel = (variables: Variables, model: BootModel, known: MenderParts): Variables => {
  const parts = menderParts(variables, known);
  const ours = applyModel(variables, model);
  return parts === null ? ours : applyMender(variables, ours, model, parts);
};
