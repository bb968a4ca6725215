// I1: what the bootloader would choose after a power cut now is a whole signed release. I4: whatever fails to come up, at most
// tries + 1 boots end on a known-good system. I7: a boot of a confirmed slot consumes nothing. Confirmed is only what passed.

import { otherSlot, type SlotName, slotNames } from '../../agent/core/types.ts';
import { type BootModel, type BootResult, boot, lostModel, slotState } from '../../bootctl/model.ts';
import { contentOf, isBootable } from './ground.ts';
import type { People } from './people.ts';
import type { CheckContext } from './verdict.ts';

export interface BootRules {
  onPowerOn(before: BootModel, result: BootResult): void;
  beforeMarkGood(slot: SlotName): void;
  afterChange(): void;
}

export const createBootRules = ({ ground, policy, verdict }: CheckContext, people: People): BootRules => {
  let checkedEnv: BootModel | null | undefined;
  let checkedVersions = '';
  let doubtfulBoots = 0;

  const isKnownGood = (model: BootModel, slot: SlotName): boolean => {
    const content = contentOf(ground, slot);
    return slotState(model, slot) === 'good' && content !== null && (content.isHealthy || people.isAccepted(content));
  };
  const opens =
    (model: BootModel) =>
    (slot: SlotName): boolean =>
      isBootable(ground, model, slot);
  const boundOf = (model: BootModel): number =>
    // Without a confirmed slot (a lost environment) both are counted down before either is known good again.
    slotNames.some((slot) => slotState(model, slot) === 'good') ? policy.triesMax + 1 : 2 * policy.triesMax + 2;

  const checkChoice = (model: BootModel): void => {
    const { slot } = boot(model);
    // Where nothing vouches for a slot's bytes (a lost environment), the initramfs decides, not the bootloader.
    if (slot === null || model.slots[slot].verity === null || ground.broken.has(slot)) return;
    if (!isBootable(ground, model, slot)) {
      verdict.violate('I1', `the bootloader would choose slot ${slot}, whose bytes are not the signed ones`);
    }
    // What is not flushed must not matter either way.
    const content = ground.catalogue.identify(ground.media[slot].view());
    if (content !== contentOf(ground, slot)) verdict.violate('I1', `slot ${slot} is selectable and being written`);
  };

  const checkWayHome = (model: BootModel): void => {
    let next = model;
    const bound = boundOf(model);
    for (let boots = 1; boots <= bound; boots += 1) {
      const before = next;
      const result = boot(before, opens(before));
      if (result.slot !== null && isKnownGood(before, result.slot)) return;
      next = result.model;
    }
    const isExcused = ground.isEnvLostEver || ground.broken.size > 0;
    if (!isExcused) verdict.violate('I4', `${bound} boots from here do not end on a known-good system`);
  };

  return {
    onPowerOn: (before, result) => {
      if (result.slot === null) return;
      if (slotState(before, result.slot) === 'good') {
        const isSame = slotNames.every((slot) => before.slots[slot].triesLeft === result.model.slots[slot].triesLeft);
        const isOtherBroken = slotState(before, otherSlot(result.slot)) !== 'bad';
        if (!isSame && !isOtherBroken) verdict.violate('I7', `a boot of confirmed slot ${result.slot} took a try`);
      }
      doubtfulBoots = isKnownGood(before, result.slot) ? 0 : doubtfulBoots + 1;
      if (doubtfulBoots > boundOf(before) && !ground.isEnvLostEver && ground.broken.size === 0) {
        verdict.violate('I4', `${doubtfulBoots} boots in a row did not reach a known-good system`);
      }
    },
    beforeMarkGood: (slot) => {
      doubtfulBoots = 0;
      if (slot !== ground.running) verdict.violate('I4', `slot ${slot} is confirmed and does not run`);
      if (ground.env !== null && slotState(ground.env, slot) === 'good') return;
      if (people.mayConfirm()) people.onConfirmed();
      else verdict.violate('I4', `slot ${slot} is confirmed; no check passed in this boot`);
    },
    afterChange: () => {
      const versions = `${ground.media.a.version()} ${ground.media.b.version()}`;
      if (checkedEnv === ground.env && checkedVersions === versions) return;
      checkedEnv = ground.env;
      checkedVersions = versions;
      const model = ground.env ?? lostModel;
      checkChoice(model);
      checkWayHome(model);
    },
  };
};
