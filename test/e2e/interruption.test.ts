// SIGKILL and power cuts at many moments of an update. The gateway always ends on the release it was offered, and what
// was verified once is not fetched again.

import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import type { StatusBody } from '../../agent/api/schema.ts';
import { rememberVerifications } from '../support/remembered-verifications.ts';
import { flipBit } from './flipped-bit.ts';
import type { Gateway } from './gateway.ts';
import { publishedImage } from './publisher.ts';
import { checkSlots, createStage, isAtRest, type Stage } from './stage.ts';

rememberVerifications();

const mebibyte = 1024 * 1024;
const linkBytesPerS = 4 * mebibyte;
/** What the network's buffers may hold when the daemon dies. */
const inFlightBytes = mebibyte / 4;
/** What differs from one release to the next. */
const applicationBytes = 3 * mebibyte;
/** Metadata, headers and the like over the whole test. */
const overheadBytes = mebibyte / 4;

describe('an interrupted update', { concurrency: 2 }, () => {
  let stage: Stage;
  before(async () => {
    stage = await createStage({ baseBytes: 4 * mebibyte, applicationBytes });
  });
  after(() => stage.close());

  test('goes on after SIGKILL of the daemon at many moments, fetching less than 1 MiB again each time', async (context) => {
    const { gateway, vendor, served } = await stage.world(context, { settings: { triesMax: 9 } });
    await gateway.powerOn();
    await gateway.waitUntil(isAtRest('1.0'));
    // Slow beside the pace of the status, so that each life ends not long after it has fetched enough.
    served.link.setRate(mebibyte);
    const received = served.link.receivedBytes();
    await vendor.offer('1.1');
    let kills = 0;
    while (kills < 6) {
      const reached = await gateway.waitUntil(
        ({ phase, progress }) =>
          phase !== 'idle' &&
          phase !== 'checking' &&
          (phase !== 'fetching' || (progress?.step === 'fetching' && progress.fetchedBytes > mebibyte / 2)),
      );
      if (reached.phase !== 'fetching') break;
      await gateway.killAgent();
      kills += 1;
    }
    await gateway.waitUntil(isAtRest('1.1'));
    assert.ok(kills >= 3, `only ${kills} kills`);
    const fetched = served.link.receivedBytes() - received;
    const bound = applicationBytes + kills * (mebibyte + inFlightBytes) + overheadBytes;
    context.diagnostic(`${kills} kills, ${fetched} bytes fetched for an application of ${applicationBytes}`);
    assert.ok(fetched <= bound, `${fetched} bytes for an application of ${applicationBytes} with ${kills} kills`);
    await checkSlots(gateway);
  });

  const blows = [
    ['SIGKILL of the daemon', (gateway: Gateway) => gateway.killAgent()],
    ['a power cut', (gateway: Gateway) => gateway.cutPower().then(() => gateway.powerOn())],
  ] as const;
  for (const [name, strike] of blows) {
    test(`goes on after ${name} in the phases that it passes`, async (context) => {
      const { gateway, vendor, served } = await stage.world(context, { settings: { triesMax: 9 } });
      await gateway.powerOn();
      await gateway.waitUntil(isAtRest('1.0'));
      served.link.setRate(linkBytesPerS * 4);
      await vendor.offer('1.1');
      const struck = new Set<string>();
      const isNew = ({ phase, progress }: StatusBody): boolean =>
        phase !== 'idle' && !struck.has(phase) && (phase !== 'fetching' || (progress?.doneBytes ?? 0) > 0);
      for (;;) {
        const status = await gateway.waitUntil((next) => isNew(next) || isAtRest('1.1')(next));
        if (status.phase === 'idle') break;
        struck.add(status.phase);
        await strike(gateway);
      }
      context.diagnostic(`phases: ${[...struck].join(' ')}`);
      assert.ok(struck.has('fetching') && struck.size >= 3, [...struck].join(' '));
      await checkSlots(gateway);
    });
  }

  test('goes on where the line broke, without asking for the same bytes', async (context) => {
    const { gateway, vendor, served } = await stage.world(context);
    const { facts } = await publishedImage(vendor, '1.1');
    await gateway.powerOn();
    await gateway.waitUntil(isAtRest('1.0'));
    await vendor.offer('1.1');
    served.link.cutAfter(mebibyte / 2);
    // The next check fails as well, perhaps before the install's own failure was seen.
    const isBroken = (code: string): boolean => code === 'install-failed' || code === 'check-failed';
    await gateway.waitUntil(({ lastCheck }) => lastCheck?.reasons.some(({ code }) => isBroken(code)) === true);
    await served.link.mend();
    await gateway.waitUntil(isAtRest('1.1'));
    const parts = served.requests.filter(({ path }) => path.endsWith('.squashfs'));
    const sentBytes = parts.reduce((sum, { bytes }) => sum + bytes, 0);
    const asked = new Set(parts.map(({ range }) => range));
    const askedBytes = [...asked].reduce((sum, range) => {
      const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(range ?? '') ?? [];
      return sum + Number(to) + 1 - Number(from);
    }, 0);
    assert.ok(askedBytes < facts.lengthBytes, [...asked].join(' '));
    assert.ok(sentBytes <= askedBytes + mebibyte, `${sentBytes} bytes sent for ${askedBytes}`);
    await checkSlots(gateway);
  });

  test('is denied when the new system never comes up within its tries', async (context) => {
    const { gateway, vendor } = await stage.world(context, { settings: { triesMax: 2 } });
    await gateway.powerOn();
    await vendor.offer('1.1');
    // The trial is cut each time before it can be judged.
    for (let trial = 0; trial < 2; trial++) {
      await gateway.waitUntil(({ version, confirmed }) => version === '1.1' && !confirmed);
      await gateway.cutPower();
      await gateway.powerOn();
    }
    const status = await gateway.waitUntil((next) => isAtRest('1.0')(next) && next.denylist.includes('1.1'));
    assert.equal(status.booted, 'a');
  });

  test('falls back when the new slot rots between verification and its first boot', async (context) => {
    const { gateway, vendor } = await stage.world(context, { settings: { autoReboot: false } });
    const { facts } = await publishedImage(vendor, '1.1');
    await gateway.powerOn();
    await vendor.offer('1.1');
    await gateway.waitUntil(({ phase }) => phase === 'staged');
    await flipBit(gateway.paths.slots.b, facts.lengthBytes >> 1);
    await gateway.otactl('reboot', '--yes');
    const status = await gateway.waitUntil((next) => isAtRest('1.0')(next) && next.denylist.includes('1.1'));
    assert.equal(status.booted, 'a');
    assert.match(gateway.consoleText(), /slot b: dm-verity: /);
  });

  test('starts, runs and updates after each copy of the boot environment was torn in turn', async (context) => {
    const { gateway, vendor } = await stage.world(context);
    await gateway.powerOn();
    await gateway.waitUntil(isAtRest('1.0'));
    await gateway.cutPower();
    for (const copy of gateway.paths.envCopies) {
      await flipBit(copy, 20);
      await gateway.powerOn();
      await gateway.waitUntil(isAtRest('1.0'));
      await gateway.cutPower();
    }
    await vendor.offer('1.1');
    await gateway.powerOn();
    await gateway.waitUntil(isAtRest('1.1'));
  });

  test('starts, runs and updates after both copies of the boot environment were lost', async (context) => {
    const { gateway, vendor } = await stage.world(context);
    await gateway.powerOn();
    await gateway.waitUntil(isAtRest('1.0'));
    await gateway.cutPower();
    for (const copy of gateway.paths.envCopies) await writeFile(copy, Buffer.alloc(0x4000, 0xff));
    await gateway.powerOn();
    await gateway.waitUntil(isAtRest('1.0'));
    await vendor.offer('1.1');
    await gateway.waitUntil(isAtRest('1.1'));
    await checkSlots(gateway);
  });
});
