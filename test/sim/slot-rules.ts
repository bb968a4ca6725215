// I2: never a write to the running slot, nor to the other one while the running one is unconfirmed. I3: a slot becomes selectable
// only when its bytes are durable, were all read back since they were written (in this boot), and are the signed ones; and it is
// unselectable before its first byte changes.

import { otherSlot, type SlotName, type VerityParameters } from '../../agent/core/types.ts';
import { lostModel, slotState } from '../../bootctl/model.ts';
import { slotSizeBytes } from './catalogue.ts';
import { contentOf } from './ground.ts';
import type { CheckContext } from './verdict.ts';

const blockBytes = 4096;
/** The last two blocks hold the slot's record of itself: written while the slot is selectable, and not part of what boots. */
const imageBlocks = slotSizeBytes / blockBytes - 2;

export interface SlotRules {
  onPowerOn(): void;
  beforeInvalidate(slot: SlotName): void;
  beforeActivate(slot: SlotName, tries: number, verity: VerityParameters): void;
  beforeWrite(slot: SlotName, offsetBytes: number, lengthBytes: number): void;
  afterRead(slot: SlotName, offsetBytes: number, lengthBytes: number): void;
}

export const createSlotRules = ({ ground, policy, verdict }: CheckContext): SlotRules => {
  const readBack: Record<SlotName, boolean[]> = { a: [], b: [] };
  const blocksOf = (offsetBytes: number, lengthBytes: number): readonly number[] => {
    const first = Math.floor(offsetBytes / blockBytes);
    return Array.from({ length: Math.ceil(lengthBytes / blockBytes) }, (_, index) => first + index);
  };
  const stateOf = (slot: SlotName) => slotState(ground.env ?? lostModel, slot);
  /** A process cannot know that the environment was lost under its feet, until it looks again. */
  const isEnvKnown = (): boolean => ground.envLostInBoot !== ground.bootCount || ground.isEnvLossSeen;

  const requireWayBack = (slot: SlotName, what: string): void => {
    if (slot === ground.running) verdict.violate('I2', `${what} of the running slot ${slot}`);
    else if (isEnvKnown() && stateOf(ground.running) !== 'good') {
      verdict.violate('I2', `${what} of slot ${slot} while running slot ${otherSlot(slot)} is unconfirmed`);
    }
  };

  return {
    onPowerOn: () => {
      readBack.a = [];
      readBack.b = [];
    },
    beforeInvalidate: (slot) => requireWayBack(slot, 'invalidation'),
    beforeActivate: (slot, tries, verity) => {
      requireWayBack(slot, 'activation');
      if (tries > policy.triesMax) verdict.violate('I4', `${tries} tries are granted, ${policy.triesMax} are allowed`);
      const content = contentOf(ground, slot);
      if (content === null || content.artifact.verity?.rootHex !== verity.rootHex) {
        if (!ground.broken.has(slot))
          verdict.violate('I3', `slot ${slot} is activated; its durable bytes are not signed`);
        return;
      }
      const missing = blocksOf(0, content.sealed.length).filter((block) => readBack[slot][block] !== true);
      if (missing.length > 0) verdict.violate('I3', `slot ${slot} is activated; blocks ${missing} were not read back`);
    },
    beforeWrite: (slot, offsetBytes, lengthBytes) => {
      requireWayBack(slot, 'write');
      for (const block of blocksOf(offsetBytes, lengthBytes)) {
        readBack[slot][block] = false;
        if (block < imageBlocks && isEnvKnown() && stateOf(slot) !== 'bad') {
          verdict.violate('I3', `block ${block} of slot ${slot} is written while the bootloader may choose the slot`);
        }
      }
    },
    afterRead: (slot, offsetBytes, lengthBytes) => {
      for (const block of blocksOf(offsetBytes, lengthBytes)) readBack[slot][block] = true;
    },
  };
};
