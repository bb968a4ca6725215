// The life of a gateway on the virtual board: updates, a sick release, a technician. Every claim is checked against the
// daemon's answers and against tools that know nothing of otad.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { rememberVerifications } from '../support/remembered-verifications.ts';
import { goodBus } from './layers.ts';
import { checkSlots, createStage, isAtRest, readEnvironment, type Stage, smallVendor } from './stage.ts';
import { patientS, releases } from './world.ts';

rememberVerifications();

const daemonless = {
  version: '1.3',
  sequence: 40,
  fieldBus: goodBus,
  healthDeadlineS: patientS,
  isWithoutAgent: true,
} as const;

describe('a gateway', { concurrency: 2 }, () => {
  let stage: Stage;
  before(async () => {
    stage = await createStage({ ...smallVendor, releases: [...releases, daemonless] });
  });
  after(() => stage.close());

  test('updates itself, survives a sick release and says why', async (context) => {
    const { gateway, vendor } = await stage.world(context);
    await gateway.powerOn();
    await gateway.waitUntil(isAtRest('1.0'));
    await checkSlots(gateway);

    await vendor.offer('1.1');
    await gateway.waitUntil(isAtRest('1.1'));
    await checkSlots(gateway);
    const environment = await readEnvironment(gateway);
    assert.equal(environment.get('BOOT_ORDER')?.split(' ')[0], 'B');
    assert.equal(
      environment.get('otad_b_root'),
      (await gateway.api.slots()).find(({ name }) => name === 'b')?.verityRoot,
    );

    await vendor.offer('1.2');
    const settled = await gateway.waitUntil((status) => isAtRest('1.1')(status) && status.denylist.includes('1.2'));
    assert.equal(settled.primary, 'b');
    const [denied, ...others] = await gateway.api.denylist();
    assert.equal(denied?.version, '1.2');
    assert.match(denied?.reason ?? '', /10-field-bus: .*field bus can1 does not answer/);
    assert.deepEqual(others, []);
    const types = (await gateway.api.history()).filter(({ version }) => version === '1.2').map(({ type }) => type);
    assert.deepEqual(types.includes('confirmed'), false);
    for (const type of ['installed', 'activated', 'trial-started', 'health-failed', 'denied', 'rolled-back']) {
      assert.ok(types.includes(type as (typeof types)[number]), `${type} is not among ${types}`);
    }
    await checkSlots(gateway);
  });

  test('comes back from a release in which no otad starts, and denies it', async (context) => {
    const { gateway, vendor } = await stage.world(context, { settings: { triesMax: 1 } });
    await gateway.powerOn();
    await vendor.offer('1.3');
    const settled = await gateway.waitUntil(
      (status) => isAtRest('1.0')(status) && status.denylist.includes('1.3'),
      120_000,
    );
    assert.equal(settled.booted, 'a');
    assert.match(gateway.consoleText(), /otad fails at each start, .* The dead man's timer ends the trial/);
    assert.match((await gateway.api.denylist())[0]?.reason ?? '', /did not come up within its boot attempts/);
  });

  test('does not fetch or try a denied release again', async (context) => {
    const { gateway, vendor, served } = await stage.world(context);
    await gateway.powerOn();
    await vendor.offer('1.2');
    await gateway.waitUntil((status) => isAtRest('1.0')(status) && status.denylist.includes('1.2'));
    const { boots } = gateway;
    const asked = served.requests.length;
    const images = () => served.requests.filter(({ path }) => path.endsWith('.squashfs')).length;
    const fetched = images();
    // Two more polls: each asks for the timestamp.
    await gateway.otactl('check');
    await gateway.otactl('check');
    assert.ok(served.requests.length >= asked + 2);
    assert.deepEqual([images(), gateway.boots], [fetched, boots]);
    const why = await gateway.api.why();
    assert.ok(
      why.reasons.some(({ code }) => code === 'denied'),
      JSON.stringify(why),
    );
  });

  test('goes back and forward on a technician’s word', async (context) => {
    const { gateway, vendor } = await stage.world(context);
    await gateway.powerOn();
    await vendor.offer('1.1');
    await gateway.waitUntil(isAtRest('1.1'));

    assert.equal((await gateway.otactl('rollback', '--yes', 'modem', 'is', 'dead')).exitCode, 0);
    await gateway.waitUntil(isAtRest('1.0'));
    assert.match((await gateway.otactl('history')).stdout, /modem is dead/);
    assert.deepEqual(
      (await gateway.api.denylist()).map(({ version }) => version),
      ['1.1'],
    );

    assert.equal((await gateway.otactl('undeny', '1.1')).exitCode, 0);
    await gateway.waitUntil(isAtRest('1.1'));
    await checkSlots(gateway);
  });

  test('refuses a rollback when the other slot holds nothing to return to', async (context) => {
    const { gateway } = await stage.world(context);
    await gateway.powerOn();
    await gateway.waitUntil(isAtRest('1.0'));
    const { exitCode, stderr } = await gateway.otactl('rollback', '--yes');
    assert.equal(exitCode, 3);
    assert.match(stderr, /other slot holds no verified system/);
    assert.equal(gateway.boots, 1);
  });

  test('waits while an operator holds updates, and goes on afterwards', async (context) => {
    const { gateway, vendor, served } = await stage.world(context);
    await gateway.powerOn();
    await gateway.waitUntil(isAtRest('1.0'));
    assert.equal((await gateway.otactl('hold', 'measuring')).exitCode, 0);
    await vendor.offer('1.1');
    const held = await gateway.waitUntil(({ lastCheck }) => lastCheck?.version === '1.1');
    assert.equal(held.hold?.reason, 'measuring');
    assert.equal(
      served.requests.some(({ path }) => path.endsWith('.squashfs')),
      false,
    );
    assert.equal((await gateway.otactl('release')).exitCode, 0);
    await gateway.waitUntil(isAtRest('1.1'));
  });

  test('installs without a reboot where a technician decides that', async (context) => {
    const { gateway, vendor } = await stage.world(context, { settings: { autoReboot: false, autoInstall: false } });
    await gateway.powerOn();
    await vendor.offer('1.1');
    await gateway.waitUntil(({ lastCheck }) => lastCheck?.version === '1.1');
    const installed = await gateway.otactl('install', '--yes');
    assert.ok([0, 4].includes(installed.exitCode ?? -1), installed.stderr + installed.stdout);
    const staged = await gateway.waitUntil(({ phase }) => phase === 'staged');
    assert.equal(staged.version, '1.0');
    assert.equal(gateway.boots, 1);
    assert.equal((await gateway.otactl('reboot', '--yes')).exitCode, 0);
    await gateway.waitUntil(isAtRest('1.1'));
  });
});
