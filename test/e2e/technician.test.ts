// A technician in front of a virtual gateway: looks at boot control, marks slots bad, goes back to a slot that is whole and to
// one that is not. Every claim is checked against fw_printenv, the slot's bytes and the daemon's answers.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { BootBody } from '../../agent/api/schema.ts';
import { flipBit } from './flipped-bit.ts';
import type { Gateway } from './gateway.ts';
import { createStage, isAtRest, readEnvironment, type Stage, slotDigest } from './stage.ts';

const inspect = async (gateway: Gateway): Promise<BootBody> => {
  const { exitCode, stdout, stderr } = await gateway.otactl('boot', 'status', '--json');
  assert.equal(exitCode, 0, stderr);
  return JSON.parse(stdout) as BootBody;
};

describe('a technician', { concurrency: 2 }, () => {
  let stage: Stage;
  before(async () => {
    stage = await createStage();
  });
  after(() => stage.close());

  /** 1.1 runs in slot b, confirmed; 1.0 is the way back in slot a. */
  const updated = async (context: Parameters<Stage['world']>[0]) => {
    const world = await stage.world(context);
    await world.gateway.powerOn();
    await world.vendor.offer('1.1');
    await world.gateway.waitUntil(isAtRest('1.1'));
    return world;
  };

  test('sees which bootloader, which slot, who says so, and what boots next', async (context) => {
    const { gateway } = await updated(context);
    const body = await inspect(gateway);
    const environment = await readEnvironment(gateway);
    assert.equal(body.bootloader, 'uboot');
    assert.deepEqual([body.booted, body.primary, body.wayBack, body.pending], ['b', 'b', 'a', null]);
    assert.deepEqual(body.problems, []);
    const [commandLine, root] = body.witnesses;
    assert.deepEqual(commandLine, { name: 'kernel command line', says: 'otad.slot=b', slot: 'b' });
    assert.equal(root?.slot, null, 'a file is no root device');
    for (const { name, bootloaderRoot, recordRoot } of body.slots) {
      assert.equal(bootloaderRoot, environment.get(`otad_${name}_root`));
      assert.equal(recordRoot, bootloaderRoot);
    }
    assert.equal(body.slots.find(({ name }) => name === 'b')?.lastGood?.what, 'confirmed');
    assert.equal(body.records.find(({ name }) => name === 'BOOT_ORDER')?.value, environment.get('BOOT_ORDER'));
    const { stdout } = await gateway.otactl('boot', 'status', '--verbose');
    for (const fact of [/1\.1 runs in slot b, confirmed\./, /^> b +good +- +1\.1 +confirmed/m, /^BOOT_ORDER=B A$/m]) {
      assert.match(stdout, fact);
    }
  });

  test('marks the other slot bad: it is not started, not returned to, and its release is denied', async (context) => {
    const { gateway } = await updated(context);
    const marked = await gateway.otactl('mark-bad', '--yes', '--reason', 'flash errors');
    assert.equal(marked.exitCode, 0, marked.stdout + marked.stderr);
    const environment = await readEnvironment(gateway);
    assert.deepEqual([environment.get('BOOT_ORDER'), environment.get('BOOT_A_LEFT')], ['B', '0']);
    const [denied] = await gateway.api.denylist();
    assert.deepEqual([denied?.version, denied?.reason], ['1.0', 'A technician marked it bad: flash errors']);
    assert.equal((await gateway.otactl('rollback', '--yes')).exitCode, 3);
    assert.equal((await gateway.otactl('mark-bad', '--yes')).exitCode, 2);
    assert.ok((await gateway.api.history()).some(({ type, slot }) => type === 'marked-bad' && slot === 'a'));
    await gateway.cutPower();
    await gateway.powerOn();
    await gateway.waitUntil(isAtRest('1.1'));
  });

  test('marks the running slot bad: it runs on, survives a restart of otad, and the next reboot leaves it', async (context) => {
    const { gateway } = await updated(context);
    const preview = await gateway.otactl('mark-bad', 'b', '--dry-run', '--reason', 'modem is dead');
    assert.equal(preview.exitCode, 0, preview.stderr);
    assert.match(preview.stdout, /slot b, 1\.1, which runs now.*next reboot, which starts 1\.0 in slot a/s);
    const { boots } = gateway;
    const marked = await gateway.otactl('mark-bad', 'b', '--yes', '--reason', 'modem is dead');
    assert.equal(marked.exitCode, 0, marked.stdout + marked.stderr);
    assert.match(marked.stdout, /Slot b is marked bad\. The next reboot starts 1\.0\./);
    await gateway.killAgent();
    const left = await gateway.waitUntil(({ phase }) => phase === 'leaving');
    assert.deepEqual([left.booted, left.primary, left.confirmed], ['b', 'a', false]);
    assert.equal((await inspect(gateway)).pending?.includes('The next reboot starts 1.0.'), true);
    assert.equal((await gateway.otactl('check')).exitCode, 3);
    assert.equal(gateway.boots, boots, 'it never reboots by itself');
    assert.equal((await gateway.otactl('reboot', '--yes')).exitCode, 0);
    await gateway.waitUntil(isAtRest('1.0'));
    const [denied] = await gateway.api.denylist();
    assert.deepEqual([denied?.version, denied?.reason], ['1.1', 'A technician marked it bad: modem is dead']);
  });

  test('takes a mark on the running slot back with confirm', async (context) => {
    const { gateway } = await updated(context);
    assert.equal((await gateway.otactl('mark-bad', 'b', '--yes')).exitCode, 0);
    assert.equal((await gateway.otactl('confirm')).exitCode, 0);
    await gateway.waitUntil(isAtRest('1.1'));
    assert.deepEqual(await gateway.api.denylist(), []);
    assert.equal((await readEnvironment(gateway)).get('BOOT_ORDER')?.split(' ')[0], 'B');
  });

  test('cannot mark the running slot bad when nothing good would be left', async (context) => {
    const { gateway } = await stage.world(context);
    await gateway.powerOn();
    await gateway.waitUntil(isAtRest('1.0'));
    const before = await readEnvironment(gateway);
    const { exitCode, stderr } = await gateway.otactl('mark-bad', 'a', '--yes');
    assert.equal(exitCode, 3);
    assert.match(stderr, /other slot holds no verified system.*slot: b, state: bad.*\[NO_ROLLBACK_TARGET\]/);
    assert.deepEqual(await readEnvironment(gateway), before);
    assert.deepEqual(await gateway.api.denylist(), []);
  });

  test('goes back only to what verifies: one flipped bit, and nothing is changed', async (context) => {
    const { gateway } = await updated(context);
    await flipBit(gateway.paths.slots.a, 300_000);
    const before = [await readEnvironment(gateway), await slotDigest(gateway, 'a'), await slotDigest(gateway, 'b')];
    const { boots } = gateway;
    const { exitCode, stderr, stdout } = await gateway.otactl('rollback', '--yes', 'modem', 'is', 'dead');
    assert.equal(exitCode, 5, stdout + stderr);
    assert.match(stderr, /returned other bytes than were written/);
    assert.deepEqual(
      [await readEnvironment(gateway), await slotDigest(gateway, 'a'), await slotDigest(gateway, 'b')],
      before,
    );
    const status = await gateway.waitUntil(({ phase }) => phase === 'idle');
    assert.deepEqual([status.version, status.confirmed, gateway.boots], ['1.1', true, boots]);
    assert.equal(status.attention?.code, 'SLOT_READBACK_MISMATCH');
    assert.deepEqual(await gateway.api.denylist(), []);
    // Put right by hand, the way back is open again: the look left no trace.
    await flipBit(gateway.paths.slots.a, 300_000);
    const again = await gateway.otactl('rollback', '--yes', 'modem is dead');
    assert.equal(again.exitCode, 0, again.stdout + again.stderr);
    await gateway.waitUntil(isAtRest('1.0'));
    const [denied] = await gateway.api.denylist();
    assert.deepEqual([denied?.version, denied?.reason], ['1.1', 'A technician rolled back: modem is dead']);
  });
});
