// Makes one picture of what the firmware will do, what runs, and what was meant. Pure.
// autoboot.txt and the running system win over the intent; a lost intent means that no trial is known, nothing else.

import type { SlotName } from '../../agent/core/types.ts';
import {
  type BootEvidence,
  type BootModel,
  boot,
  markGood,
  restoreTries,
  type SlotModel,
  slotState,
  triesDefault,
} from '../model.ts';
import { type Intent, isSameIntent } from './intent.ts';

export interface Witnesses {
  /** null: no copy is whole. */
  readonly intent: Intent | null;
  /** The slot that autoboot.txt starts by default; null: it does not say one of them. */
  readonly default: SlotName | null;
  readonly facts: BootEvidence;
  /** Changes with every boot. */
  readonly bootId: string;
}

export interface Recall {
  /** What the intent should be now. */
  readonly intent: Intent;
  /** The intent on the medium says something else. */
  readonly isNews: boolean;
  /** What happened since, for a technician. */
  readonly evidence: readonly string[];
}

type Step = readonly [Intent, readonly string[]];

const withSlot = (model: BootModel, slot: SlotName, change: Partial<SlotModel>): BootModel => ({
  ...model,
  slots: { ...model.slots, [slot]: { ...model.slots[slot], ...change } },
});

/**
 * Both copies lost: the default is what every reset starts, so it is good; what runs beside it can only be a trial, on its
 * last try. Nothing vouches for anything else.
 */
const lostIntent = (current: SlotName, { slot: booted, root }: BootEvidence, bootId: string): Intent => {
  const blank: SlotModel = { triesLeft: 0, isTrial: false, verity: null };
  const none: BootModel = { order: [current], slots: { a: blank, b: blank } };
  const based = withSlot(none, current, { triesLeft: triesDefault });
  const rooted = withSlot(based, booted, { verity: root === null ? null : { rootHex: root, hashOffsetBytes: null } });
  const model =
    booted === current ? rooted : { ...withSlot(rooted, booted, { isTrial: true }), order: [booted, current] };
  return { sequence: 0, default: current, model, armed: null, seenBootId: bootId, outcome: null };
};

/** Something else than otad, or an operation that was cut before its intent was written, set the default. */
const followDefault = (intent: Intent, current: SlotName): Step =>
  intent.default === current
    ? [intent, []]
    : [
        { ...intent, default: current, model: markGood(intent.model, current), armed: null, outcome: null },
        [`autoboot.txt: starts slot ${current} by default and not slot ${intent.default} as noted: that counts`],
      ];

/** A slot on trial that was started without being asked for has had a try all the same. */
const countStart = (model: BootModel, booted: SlotName): BootModel => {
  const { isTrial, triesLeft } = model.slots[booted];
  return isTrial && triesLeft > 0 ? withSlot(model, booted, { triesLeft: triesLeft - 1 }) : model;
};

/** The reboot that a try was taken for has happened, unless this is still the boot that asked for it. */
const settleArming = (intent: Intent, booted: SlotName, bootId: string): Step => {
  const { armed, model } = intent;
  if (armed === null || (armed.state === 'armed' && armed.bootId === bootId)) return [intent, []];
  const { slot } = armed;
  if (slot === booted) {
    const ran = { ...intent, armed: { slot, bootId, state: 'ran' as const }, seenBootId: bootId };
    return armed.state === 'armed' ? [ran, []] : [intent, []];
  }
  const ended = { ...intent, armed: null, seenBootId: bootId };
  if (armed.state === 'armed') {
    return [{ ...ended, model: countStart(model, booted), outcome: { slot, kind: 'no-trace' } }, []];
  }
  // It ran and did not stay: a crash, the watchdog, or a power cut, which must not cost a good release. The try is used; the
  // firmware grants no other by itself, so otad asks for it.
  return [{ ...ended, outcome: { slot, kind: 'fell-back' } }, []];
};

/** Another slot than the default runs, and no flag was asked for: the firmware walked past a default that did not open. */
const countWalk = (intent: Intent, booted: SlotName, bootId: string): Step => {
  const { armed, model } = intent;
  if (armed !== null || booted === intent.default || intent.seenBootId === bootId) return [intent, []];
  const counted = boot(model, (slot) => slot === booted);
  return [
    { ...intent, model: counted.slot === booted ? counted.model : model, seenBootId: bootId },
    [`firmware: slot ${intent.default} is the default and did not start; slot ${booted} runs instead`],
  ];
};

const describeOutcome = ({ outcome, model }: Intent): readonly string[] => {
  if (outcome === null) return [];
  const { slot, kind } = outcome;
  const { triesLeft } = model.slots[slot];
  return [
    kind === 'no-trace'
      ? `intent: slot ${slot} was armed and its system left no trace; that try is used, ${triesLeft} left`
      : `intent: slot ${slot} ran on trial and the device fell back before it was confirmed; ${triesLeft} tries left`,
  ];
};

const describeIntent = (intent: Intent, isLost: boolean): readonly string[] => {
  if (isLost) return ['intent: no whole copy; no trial is known'];
  const { armed, model, sequence } = intent;
  const pending = boot(model).slot;
  const isStaged = pending !== null && model.slots[pending].isTrial && armed === null;
  return [
    ...(isStaged
      ? [`intent: slot ${pending} is staged and not armed; ${model.slots[pending].triesLeft} tries left`]
      : []),
    ...(armed === null ? [] : [`intent: slot ${armed.slot} ${armed.state === 'ran' ? 'runs on trial' : 'is armed'}`]),
    `intent: sequence ${sequence}`,
  ];
};

export const recall = ({ intent, default: stated, facts, bootId }: Witnesses): Recall => {
  const current = stated ?? intent?.default ?? facts.slot;
  if (intent === null) {
    const lost = lostIntent(current, facts, bootId);
    return { intent: lost, isNews: false, evidence: describeIntent(lost, true) };
  }
  const [followed, first] = followDefault(intent, current);
  const [settled, second] = settleArming(followed, facts.slot, bootId);
  const [walked, third] = countWalk(settled, facts.slot, bootId);
  const now: Intent = { ...walked, model: restoreTries(walked.model, facts.slot) };
  return {
    intent: now,
    isNews: !isSameIntent(now, intent),
    evidence: [...first, ...second, ...third, ...describeOutcome(now), ...describeIntent(now, false)],
  };
};

/** What every reset should start: a good slot, the primary before the other; where none is, what it starts now. */
export const wantedDefault = (model: BootModel, current: SlotName): SlotName => {
  const good = model.order.find((slot) => slotState(model, slot) === 'good');
  if (good !== undefined) return good;
  return slotState(model, current) === 'bad' ? (boot(model).slot ?? current) : current;
};
