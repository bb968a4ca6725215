// The variables of the A/B logic in a U-Boot environment, and how they stand for the reference model. Pure.
// BOOT_ORDER and BOOT_x_LEFT are the names that RAUC and Home Assistant OS use; the ones with `otad_` are ours.

import { type SlotName, slotNames } from '../../agent/core/types.ts';
import { type BootModel, type SlotModel, triesDefault } from '../model.ts';
import { sequenceName, type Variables } from './environment.ts';

export const orderName = 'BOOT_ORDER';
/** Letters of the slots on trial, in the form of BOOT_ORDER; absent or empty: none. */
export const trialName = 'otad_trial';
export const leftName = { a: 'BOOT_A_LEFT', b: 'BOOT_B_LEFT' } as const;
export const rootName = { a: 'otad_a_root', b: 'otad_b_root' } as const;
export const hashOffsetName = { a: 'otad_a_hashoffset', b: 'otad_b_hashoffset' } as const;

/** What a board's compiled-in environment must say at least, beside its own `bootcmd`. */
export const lostVariables: Variables = new Map([
  [orderName, 'A B'],
  [leftName.a, String(triesDefault)],
  [leftName.b, String(triesDefault)],
]);

const letters = { a: 'A', b: 'B' } as const;

const parseSlots = (text: string | undefined): readonly SlotName[] => {
  const words = (text ?? '').split(/\s+/);
  const slots = words.flatMap((word) => slotNames.filter((slot) => letters[slot] === word));
  return [...new Set(slots)];
};

const formatSlots = (slots: readonly SlotName[]): string => slots.map((slot) => letters[slot]).join(' ');

/** An absent or unreadable counter is a full one: a technician's slip must not make a slot unselectable. */
const parseLeft = (text: string | undefined): number => (/^[0-9]$/.test(text ?? '') ? Number(text) : triesDefault);

const parseHashOffset = (text: string | undefined): number | null =>
  /^[0-9]{1,15}$/.test(text ?? '') ? Number(text) : null;

/** Never fails: whatever stands there means something to the boot script, and this is what. */
export const decodeModel = (variables: Variables): BootModel => {
  // Without our sequence nobody has confirmed anything here: a factory's or a compiled-in environment.
  const trial = variables.has(sequenceName) ? parseSlots(variables.get(trialName)) : slotNames;
  const decodeSlot = (slot: SlotName): SlotModel => {
    const rootHex = variables.get(rootName[slot]) ?? '';
    return {
      triesLeft: parseLeft(variables.get(leftName[slot])),
      isTrial: trial.includes(slot),
      verity:
        rootHex === '' ? null : { rootHex, hashOffsetBytes: parseHashOffset(variables.get(hashOffsetName[slot])) },
    };
  };
  return { order: parseSlots(variables.get(orderName)), slots: { a: decodeSlot('a'), b: decodeSlot('b') } };
};

/** `variables` with the model written into them; everything else in the environment stays as it is. */
export const applyModel = (variables: Variables, model: BootModel): Variables => {
  const result = new Map(variables);
  const put = (name: string, value: string): void => {
    if (value === '') result.delete(name);
    else result.set(name, value);
  };
  put(orderName, formatSlots(model.order));
  put(trialName, formatSlots(slotNames.filter((slot) => model.slots[slot].isTrial)));
  for (const slot of slotNames) {
    const { triesLeft, verity } = model.slots[slot];
    put(leftName[slot], String(triesLeft));
    put(rootName[slot], verity?.rootHex ?? '');
    put(hashOffsetName[slot], verity?.hashOffsetBytes?.toString() ?? '');
  }
  return result;
};

const ustateMeanings: Readonly<Record<string, string>> = { '0': 'ok', '1': 'installed', '2': 'testing', '3': 'failed' };
const menderNames = ['mender_boot_part', 'upgrade_available', 'bootcount', 'bootlimit'] as const;

/** What other updaters left in the environment: sentences for a technician, no more. */
export const describeOthers = (variables: Variables): readonly string[] => {
  const mender = menderNames.flatMap((name) => (variables.has(name) ? [`${name} ${variables.get(name)}`] : []));
  const ustate = variables.get('ustate');
  return [
    ...(variables.has('mender_boot_part') ? [`Mender's variables: ${mender.join(', ')}`] : []),
    ...(ustate === undefined ? [] : [`SWUpdate's ustate: ${ustate} (${ustateMeanings[ustate] ?? 'unknown'})`]),
  ];
};
