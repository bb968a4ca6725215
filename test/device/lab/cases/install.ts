// The life of an update that goes well: over HTTP from the host, through interruptions of the network, and back by hand.

import assert from 'node:assert/strict';
import type { LabCase } from '../case.ts';
import { expectBootSet, expectConfirmed, expectGoodBoot, expectSlotOnDisk, sentences, versionOf } from '../journey.ts';

/** Beside the image: metadata, release document, headers of answers, one chunk twice. */
const overheadBytesMax = 1024 * 1024;

/** An update in the words of the history. */
const steps = ['install-started', 'installed', 'activated', 'reboot-requested', 'trial-started', 'confirmed'];

export const installCases: readonly LabCase[] = [
  {
    name: 'install-confirm',
    claim: 'a release comes over HTTP, is installed, booted, judged and confirmed',
    from: 'updated',
    isSmoke: true,
    run: async (context) => {
      // The stage is this update, and has waited for each of its steps.
      const { guest, releases } = context;
      await expectConfirmed(context, { version: versionOf('good'), slot: 'b' });
      const { lengthBytes, rootHex, bootBytes } = releases.images.good;
      const wantedBytes = lengthBytes + bootBytes;
      const { receivedBytes } = await context.update();
      // The factory squeezes harder, so that hardly a piece of its slot can be copied.
      assert.ok(receivedBytes > lengthBytes / 2, `${receivedBytes} bytes came for an image of ${lengthBytes}`);
      assert.ok(
        receivedBytes <= wantedBytes + overheadBytesMax,
        `${receivedBytes} bytes came, ${wantedBytes} are enough`,
      );
      const types = (await guest.history()).map(({ type }) => type).reverse();
      assert.deepEqual(
        types.filter((type) => steps.includes(type)),
        steps,
      );
      assert.match(await guest.ok('cat /proc/cmdline'), new RegExp(`otad.slot=b .*otad.root=${rootHex}`));
      await expectBootSet(context, 'b', 'good');
      await expectBootSet(context, 'a', 'factory');
      await expectGoodBoot(context);
      await expectSlotOnDisk(context, 'b', 'good');
      await expectSlotOnDisk(context, 'a', 'factory');
    },
  },
  {
    name: 'rollback',
    claim: 'otactl rollback returns to the release before, which stays',
    from: 'updated',
    isSmoke: true,
    run: async (context) => {
      const { machine, guest } = context;
      const mark = machine.console.mark();
      const before = machine.boot();
      await guest.ok('otactl rollback --yes --no-wait the customer asked for it');
      await machine.nextBoot(before);
      await machine.said(sentences.confirmed(versionOf('factory')), mark, `${versionOf('factory')} is confirmed`);
      await expectConfirmed(context, { version: versionOf('factory'), slot: 'a' });
      await expectBootSet(context, 'b', 'good');
      assert.deepEqual((await guest.status()).denylist, [versionOf('good')]);
      const history = await guest.history();
      assert.ok(
        history.some(({ reason }) => reason?.includes('the customer asked for it')),
        JSON.stringify(history),
      );
    },
  },
];
