// The life of an update that goes well: over HTTP from the host, through interruptions of the network, and back by hand.

import assert from 'node:assert/strict';
import type { LabCase } from '../case.ts';
import { expectConfirmed, expectSlotOnDisk, follow, sentences, untilConfirmed, versionOf } from '../journey.ts';

/** Beside the image: metadata, release document, headers of answers, one chunk twice. */
const overheadBytesMax = 1024 * 1024;

export const installCases: readonly LabCase[] = [
  {
    name: 'install-confirm',
    claim: 'a release comes over HTTP, is installed, booted, judged and confirmed',
    from: 'factory',
    isSmoke: true,
    run: async (context) => {
      const { machine, guest, site, releases } = context;
      const mark = machine.console.mark();
      await follow(context, 'good');
      await untilConfirmed(context, 'good', mark, 'b');
      const { lengthBytes, rootHex } = releases.images.good;
      const received = site.link.receivedBytes();
      assert.ok(received >= lengthBytes, `${received} bytes came for an image of ${lengthBytes}`);
      assert.ok(received <= lengthBytes + overheadBytesMax, `${received} bytes came for an image of ${lengthBytes}`);
      const types = (await guest.history()).map(({ type }) => type).reverse();
      for (const type of [
        'install-started',
        'installed',
        'activated',
        'reboot-requested',
        'trial-started',
        'confirmed',
      ])
        assert.ok(types.includes(type), `${type} is missing from the history: ${types}`);
      assert.match(await guest.ok('cat /proc/cmdline'), new RegExp(`otad.root=${rootHex}`));
      await expectSlotOnDisk(context, 'b', 'good');
      await machine.powerOn();
      await machine.nextBoot(null);
      await expectConfirmed(context, { version: versionOf('good'), slot: 'b' });
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
      assert.deepEqual(
        (await guest.denylist()).map(({ version }) => version),
        [versionOf('good')],
      );
      const history = await guest.history();
      assert.ok(
        history.some(({ reason }) => reason?.includes('the customer asked for it')),
        JSON.stringify(history),
      );
    },
  },
];
