// The reference model of an A/B bootloader: what it remembers, what each operation changes, what a power-on chooses.
// Pure. Every adapter in this folder must behave like it; test/contract holds them to that.
// It never counts a confirmed slot (I7) and always leaves something to boot (I8).

import { OtadError } from '../agent/core/errors.ts';
import {
  type BootStatus,
  type BootWitness,
  otherSlot,
  type SlotName,
  type SlotState,
  slotNames,
} from '../agent/core/types.ts';

/** What the bootloader hands to the kernel so that it opens exactly the signed bytes. */
export interface SlotVerity {
  /** Lower-case hex. */
  readonly rootHex: string;
  readonly hashOffsetBytes: number | null;
}

export interface SlotModel {
  /** 0 to 9. For a slot on trial each boot takes one; for a good one only a failure to open it does. */
  readonly triesLeft: number;
  /** Activated, or put back after exhaustion, and not confirmed since. */
  readonly isTrial: boolean;
  /** null: nothing vouches for the slot's bytes (never activated, or invalidated). */
  readonly verity: SlotVerity | null;
}

export interface BootModel {
  /** Slots that may be tried, the primary first. Empty when it was lost. */
  readonly order: readonly SlotName[];
  readonly slots: Readonly<Record<SlotName, SlotModel>>;
}

/** Which slot runs, as the kernel was told. Facts from outside the bootloader's own records. */
export interface BootEvidence {
  readonly slot: SlotName;
  /** dm-verity root that the kernel was started with, lower-case hex. */
  readonly root: string | null;
  /** Sentences for a technician. */
  readonly evidence: readonly string[];
  readonly witnesses?: readonly BootWitness[];
}

export interface BootResult {
  readonly model: BootModel;
  /** null: nothing could be opened; the next power-on goes on from `model`. */
  readonly slot: SlotName | null;
}

/** Tries that a good slot keeps and that a reset gives back. */
export const triesDefault = 3;
/** Some boot scripts read the counter as hex, others as decimal: one digit is the same in both. */
export const triesMax = 9;

/** A bootloader that remembers nothing: both slots selectable, neither proven. */
export const lostModel: BootModel = {
  order: ['a', 'b'],
  slots: {
    a: { triesLeft: triesDefault, isTrial: true, verity: null },
    b: { triesLeft: triesDefault, isTrial: true, verity: null },
  },
};

const withSlot = (model: BootModel, slot: SlotName, change: Partial<SlotModel>): BootModel => ({
  ...model,
  slots: { ...model.slots, [slot]: { ...model.slots[slot], ...change } },
});

const withoutSlot = (order: readonly SlotName[], slot: SlotName): readonly SlotName[] =>
  order.filter((name) => name !== slot);

/** Slots that may be chosen when nothing selectable is left: those with a root, or both when none has one. */
const lastResort = (model: BootModel): readonly SlotName[] => {
  const rooted = slotNames.filter((slot) => model.slots[slot].verity !== null);
  return rooted.length > 0 ? rooted : slotNames;
};

/** Who stays behind `slot` in the order. Of a lost order only what still has tries: else a slot marked bad would be back. */
const others = (model: BootModel, slot: SlotName): readonly SlotName[] =>
  withoutSlot(effectiveOrder(model), slot).filter((name) => model.order.length > 0 || model.slots[name].triesLeft > 0);

/** The order that a power-on goes by: a lost one is made anew and leaves invalidated slots out. */
const effectiveOrder = (model: BootModel): readonly SlotName[] =>
  model.order.length > 0 ? model.order : lastResort(model);

export const slotState = (model: BootModel, slot: SlotName): SlotState => {
  if (model.slots[slot].triesLeft === 0 || !effectiveOrder(model).includes(slot)) return 'bad';
  return model.slots[slot].isTrial ? 'pending' : 'good';
};

/** Clears the root as well, so that not even a reset of all counters brings the slot back. */
export const invalidate = (model: BootModel, slot: SlotName, booted: SlotName): BootModel => {
  if (slot === booted) throw new OtadError('SLOT_RUNNING', { slot });
  return {
    ...withSlot(model, slot, { triesLeft: 0, isTrial: false, verity: null }),
    order: others(model, slot),
  };
};

export const activate = (model: BootModel, slot: SlotName, tries: number, verity: SlotVerity): BootModel => {
  if (!Number.isInteger(tries) || tries < 1 || tries > triesMax) {
    throw new OtadError('CONFIG_INVALID', { key: 'tries', value: tries, expected: `1 to ${triesMax}` });
  }
  return {
    ...withSlot(model, slot, {
      triesLeft: tries,
      isTrial: true,
      verity: { rootHex: verity.rootHex, hashOffsetBytes: verity.hashOffsetBytes },
    }),
    order: [slot, ...others(model, slot)],
  };
};

/** `running`: the root of what runs in the slot, for a bootloader that has lost it; one that it has is kept. */
export const markGood = (model: BootModel, slot: SlotName, running: SlotVerity | null = null): BootModel => {
  const lost = running === null ? null : { rootHex: running.rootHex, hashOffsetBytes: running.hashOffsetBytes };
  const verity = model.slots[slot].verity ?? lost;
  return {
    ...withSlot(model, slot, { triesLeft: triesDefault, isTrial: false, verity }),
    order: [slot, ...others(model, slot)],
  };
};

/** Keeps the root: a slot that failed is still better than none when everything else is exhausted. */
export const markBad = (model: BootModel, slot: SlotName): BootModel => {
  const other = otherSlot(slot);
  if (slotState(model, other) !== 'good') {
    throw new OtadError('NO_ROLLBACK_TARGET', { slot: other, state: slotState(model, other) });
  }
  return { ...withSlot(model, slot, { triesLeft: 0, isTrial: false }), order: [other] };
};

/**
 * The running slot came up. Unless it is on trial it has all its tries again: failures to open it are forgiven, and a
 * boot script that counts every boot does not wear a confirmed slot out. The same object when there is nothing to do.
 */
export const restoreTries = (model: BootModel, booted: SlotName): BootModel => {
  const { isTrial, triesLeft } = model.slots[booted];
  if (isTrial || triesLeft >= triesDefault || !effectiveOrder(model).includes(booted)) return model;
  return withSlot(model, booted, { triesLeft: triesDefault });
};

/** Counters exhausted: the slots that may still hold a system get all tries back, unproven, so each is counted again. */
const revive = (model: BootModel): BootModel => {
  const order = effectiveOrder(model);
  if (order.some((slot) => model.slots[slot].triesLeft > 0)) return { ...model, order };
  const candidates = lastResort(model);
  const revived = (slot: SlotName): SlotModel => ({
    triesLeft: candidates.includes(slot) ? triesDefault : model.slots[slot].triesLeft,
    isTrial: candidates.includes(slot),
    verity: model.slots[slot].verity,
  });
  const kept = order.filter((slot) => candidates.includes(slot));
  return {
    order: [...kept, ...candidates.filter((slot) => !kept.includes(slot))],
    slots: { a: revived('a'), b: revived('b') },
  };
};

/**
 * One power-on. `isBootable` false: the slot could not be opened, which costs a try, and the next one is taken.
 * `isWritable` false: counters cannot be written. Then a slot on trial is only started when nothing confirmed starts,
 * because a trial that is not counted never ends.
 */
export const boot = (
  model: BootModel,
  isBootable: (slot: SlotName) => boolean = () => true,
  isWritable = true,
): BootResult => {
  const revived = revive(model);
  const tryable = revived.order.filter((slot) => revived.slots[slot].triesLeft > 0);
  if (!isWritable) {
    const proven = tryable.filter((slot) => !revived.slots[slot].isTrial);
    const slot = [...proven, ...tryable.filter((name) => !proven.includes(name))].find(isBootable) ?? null;
    return { model, slot };
  }
  let next = revived;
  for (const slot of tryable) {
    const { triesLeft, isTrial } = next.slots[slot];
    if (isTrial) next = withSlot(next, slot, { triesLeft: triesLeft - 1 });
    if (isBootable(slot)) return { model: next, slot };
    if (!isTrial) next = withSlot(next, slot, { triesLeft: triesLeft - 1 });
  }
  return { model: next, slot: null };
};

/** What a power-on chooses, where everything can be opened and written. */
export type BootRule = (model: BootModel) => BootResult;

/**
 * What the port reports, from the bootloader's records and the kernel's evidence. `rule`: for a bootloader whose own rules
 * differ from the reference in what they choose when nothing is left.
 */
export const statusOf = (
  model: BootModel,
  facts: BootEvidence,
  sentences: readonly string[] = [],
  rule: BootRule = boot,
): BootStatus => {
  const slotBoot = (slot: SlotName) => {
    const { triesLeft, isTrial } = model.slots[slot];
    // The running slot has taken its try: with none left this is its last one, and not yet a failure.
    const isLastTry = slot === facts.slot && triesLeft === 0 && model.order.includes(slot);
    const state = isLastTry ? (isTrial ? 'pending' : 'good') : slotState(model, slot);
    return { state, triesLeft: state === 'good' ? null : triesLeft };
  };
  return {
    booted: facts.slot,
    // With every slot openable `boot` always chooses one: `revive` leaves at least one slot with tries.
    primary: rule(model).slot ?? facts.slot,
    slots: { a: slotBoot('a'), b: slotBoot('b') },
    bootedRoot: facts.root,
    roots: { a: model.slots.a.verity?.rootHex ?? null, b: model.slots.b.verity?.rootHex ?? null },
    ...(facts.witnesses === undefined ? {} : { witnesses: facts.witnesses }),
    evidence: [...facts.evidence, ...sentences],
  };
};
