// The power goes at any moment of an update: the emulator is killed. The gateway comes back on a slot that is whole, and ends
// up with the release, confirmed, whatever it takes.

import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import type { LabCase } from '../case.ts';
import { placeCut } from '../cut-plan.ts';
import { expectBootSet, expectSlotOnDisk, follow, hearRestart, untilSettled, versionOf } from '../journey.ts';
import { legsFromReboot, legsToReboot } from '../update-legs.ts';

export interface CutOptions {
  readonly seed: number;
  /** A boot path. */
  readonly count: number;
}

const powerCutCase = (number: number, { seed, count }: CutOptions): LabCase => ({
  name: `power-cut-${number + 1}`,
  claim: `comes back and ends up confirmed after a power cut in part ${number + 1} of ${count} of an update`,
  from: ({ legs }) => (placeCut(legs, seed, number, count).leg < legsToReboot.length ? 'factory' : 'activated'),
  isSmoke: true,
  run: async (context) => {
    const { machine, guest, board } = context;
    const place = placeCut((await context.update()).legs, seed, number, count);
    const legs = [...legsToReboot, ...legsFromReboot(board)];
    const mark = machine.console.mark();
    const isActivated = place.leg >= legsToReboot.length;
    if (isActivated) await hearRestart(context);
    else await follow(context, 'good');
    const before = place.leg === legsToReboot.length ? undefined : legs[place.leg - 1];
    if (before !== undefined) await machine.said(before.until, mark, before.name);
    const here = legs[place.leg];
    if (here === undefined) throw new Error(`no leg ${place.leg}`);
    // Never later than the end of the leg, however fast it is today.
    await Promise.race([delay(place.afterMs), machine.said(here.until, mark, here.name)]);
    await machine.powerCut(`${here.name}, ${Math.round(place.afterMs)} ms from its beginning`);
    const cut = machine.console.mark();
    await machine.powerOn();
    await machine.nextBoot(null);
    const { version } = await guest.status();
    assert.ok(version === versionOf('factory') || version === versionOf('good'), `${version} runs after the cut`);
    await untilSettled(context, versionOf('good'), 'b');
    assert.deepEqual((await guest.status()).denylist, [], 'a power cut is not the fault of the release');
    // Not one start was wasted on a slot that was half there.
    const wasted = machine.console.find(/otad-initramfs: cannot start|Kernel panic/, cut);
    assert.equal(wasted?.[0], undefined, 'a start failed after the cut');
    await expectBootSet(context, 'b', 'good');
    await expectBootSet(context, 'a', 'factory');
    await expectSlotOnDisk(context, 'b', 'good');
    await expectSlotOnDisk(context, 'a', 'factory');
  },
});

export const powerCutCases = (options: CutOptions): readonly LabCase[] =>
  Array.from({ length: options.count }, (_, number) => powerCutCase(number, options));
