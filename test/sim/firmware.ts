// What happens between power-on and the start of otad: the bootloader model chooses and counts, the initramfs refuses what is not
// whole, the kernel may panic and the power may go again.

import { otherSlot } from '../../agent/core/types.ts';
import { boot, lostModel, slotState } from '../../bootctl/model.ts';
import type { Checkers } from './checkers.ts';
import type { Gate } from './gate.ts';
import { contentOf, type Ground, isBootable, wallStart } from './ground.ts';
import type { Timeline } from './timeline.ts';
import type { Verdict } from './verdict.ts';

export interface FirmwareContext {
  readonly ground: Ground;
  readonly gate: Gate;
  readonly timeline: Timeline;
  readonly checkers: Checkers;
  readonly verdict: Verdict;
}

/** No gateway is left to look at. */
export class LifeEnded extends Error {}

const rotBytes = 5 * 4096;
const powerOnMs = 20_000;
/** Power-ons in a row after which nothing boots any more. One that an injected power cycle ended proves nothing and does not count. */
const powerOnsMax = 16;
const tenYearsMs = 10 * 365 * 24 * 3_600_000;

/** Boots until a system is up; leaves it in `ground.running`. Throws LifeEnded when injection took both. */
export const powerOn = ({ ground, gate, timeline, checkers, verdict }: FirmwareContext): void => {
  let cyclesLeft = 0;
  for (let failed = 0; failed < powerOnsMax; failed += 1) {
    const fault = gate.strike('firmware.boot', '');
    timeline.advance(powerOnMs);
    const before = ground.env ?? lostModel;
    const result = boot(before, (slot) => isBootable(ground, before, slot));
    ground.env = result.model;
    const { slot } = result;
    gate.note(`bootloader starts ${slot ?? 'nothing'}`);
    checkers.onPowerOn(before, result);
    if (slot === null) continue;
    const content = contentOf(ground, slot);
    if (fault === 'rot-other') {
      const other = ground.media[otherSlot(slot)];
      // Somewhere in the part that images use.
      other.rot(gate.chance(gate.points().length).below(rotBytes));
      ground.broken.add(otherSlot(slot));
    }
    if (fault === 'shared-data-fault') ground.isDataFaulty = true;
    if (fault === 'panic-always' && slotState(before, slot) === 'pending') ground.panicking = content;
    if (fault === 'power-cycles') cyclesLeft = 3;
    cyclesLeft -= 1;
    if (cyclesLeft >= 0) failed -= 1;
    const isUp = fault !== 'panic' && cyclesLeft < 0 && (ground.panicking === null || content !== ground.panicking);
    if (fault === 'panic' && slotState(before, slot) !== 'good') ground.spoiltTrialBoots += 1;
    if (!isUp) continue;
    ground.running = slot;
    ground.bootCount += 1;
    ground.bootStartMs = timeline.nowMs();
    ground.wallAtBootMs = wallStart + timeline.nowMs();
    if (fault === 'wall-1970') ground.wallAtBootMs = 0;
    if (fault === 'wall-ahead') ground.wallAtBootMs += tenYearsMs;
    ground.isClockTrusted = fault !== 'wall-1970';
    return;
  }
  if (ground.broken.size + (ground.panicking === null ? 0 : 1) < 2) {
    verdict.violate('I8', `${powerOnsMax} power-ons in a row started nothing`);
  } else if (ground.panicking === null) {
    // Injection took both slots: nobody could help it.
    throw new LifeEnded('nothing is left that boots');
  } else {
    gate.note('the panics end');
    ground.panicking = null;
    powerOn({ ground, gate, timeline, checkers, verdict });
  }
};
