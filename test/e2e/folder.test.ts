// Updates from a technician's stick: a copy of the published folder, handed to the real daemon by the real otactl. The network
// is gone, or was never configured.

import assert from 'node:assert/strict';
import { cp, mkdtemp, readdir, rename, rm, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import { rememberVerifications } from '../support/remembered-verifications.ts';
import { flipBit } from './flipped-bit.ts';
import { publishedImage, type Vendor } from './publisher.ts';
import { checkSlots, createStage, isAtRest, readEnvironment, type Stage, slotDigest } from './stage.ts';
import { patientS } from './world.ts';

rememberVerifications();

describe('an update from a folder', { concurrency: 2 }, () => {
  let stage: Stage;
  before(async () => {
    stage = await createStage();
  });
  after(() => stage.close());

  /** A gateway without servers, that runs 1.0. */
  const offline = async (context: TestContext, settings: object = {}) => {
    const world = await stage.world(context, {
      // No poll between an order and the look at its outcome, however busy the machine is.
      settings: { baseUrls: [], backoff: { minMs: 60_000, maxMs: 60_000 }, ...settings },
    });
    await world.gateway.powerOn();
    await world.gateway.waitUntil(isAtRest('1.0'));
    return world;
  };

  /** A stick with a copy of what the vendor has published. */
  const aStick = async (context: TestContext, vendor: Vendor): Promise<string> => {
    const folder = await mkdtemp(join(tmpdir(), 'otad-stick-'));
    context.after(() => rm(folder, { recursive: true, force: true }));
    const repository = join(folder, 'repository');
    await cp(vendor.paths.repository, repository, { recursive: true });
    return repository;
  };

  test('installs, starts and confirms the release, with no server configured, and says where it came from', async (context) => {
    const { gateway, vendor } = await offline(context);
    await vendor.offer('1.1');
    const stick = await aStick(context, vendor);
    const sources = new Set<string | null>();
    const watching = new AbortController();
    context.after(() => watching.abort());
    const watched = gateway.follow(({ folder }) => void sources.add(folder), watching.signal);
    const { exitCode, stdout, stderr } = await gateway.otactl('install', stick, '--yes');
    assert.equal(exitCode, 0, stdout + stderr);
    assert.match(stdout, /1\.1 is installed and verified in slot b/);
    await gateway.waitUntil(isAtRest('1.1'));
    watching.abort();
    await watched;
    assert.ok(sources.has(stick), [...sources].join(' '));
    const started = (await gateway.api.history()).find(({ type }) => type === 'install-started');
    assert.equal(started?.reason, `From the folder ${stick}.`);
    await checkSlots(gateway);
  });

  test('goes on where it stopped when the stick is pulled out and put in again', async (context) => {
    const { gateway, vendor } = await offline(context);
    await vendor.offer('1.1');
    const stick = await aStick(context, vendor);
    const { facts, file } = await publishedImage(vendor, '1.1');
    const image = join(stick, 'targets', file.slice(vendor.paths.targets.length));
    // The stick is gone in the middle of the image: what was read until then is all there is.
    await truncate(image, Math.floor(facts.lengthBytes * 0.7));
    const torn = await gateway.otactl('install', stick, '--yes');
    assert.equal(torn.exitCode, 1, torn.stdout);
    assert.match(torn.stderr, /not of the signed length/);
    await rename(stick, `${stick}-pulled`);
    const without = await gateway.otactl('install', stick, '--yes');
    assert.equal(without.exitCode, 1);
    assert.match(without.stderr, /is the stick mounted\?/);
    await rename(`${stick}-pulled`, stick);
    await cp(file, image);
    // What is in the slot already is not read from the stick again: there it may rot.
    await flipBit(image, Math.floor(facts.lengthBytes * 0.3));
    const again = await gateway.otactl('install', stick, '--yes');
    assert.equal(again.exitCode, 0, again.stdout + again.stderr);
    await gateway.waitUntil(isAtRest('1.1'));
    await checkSlots(gateway);
  });

  test('works on a gateway whose servers are out of reach, also with a copy that is older than its clock', async (context) => {
    const { gateway, vendor, served } = await stage.world(context, {
      settings: { timeSync: { markerPath: '/nowhere' } },
    });
    served.link.close();
    // Signed long ago; without a time that can be trusted, this is as good as the day it was made.
    await vendor.offer('1.1', Date.now() + 1000);
    await gateway.powerOn();
    await gateway.waitUntil(({ confirmed }) => confirmed);
    const stick = await aStick(context, vendor);
    const { exitCode, stdout, stderr } = await gateway.otactl('install', stick, '--yes', '--json');
    assert.equal(exitCode, 0, stdout + stderr);
    assert.equal(JSON.parse(stdout).result, 'installed');
    // The judgement waits for the servers until the deadline of the release, and shows no progress meanwhile.
    await gateway.waitUntil(isAtRest('1.1'), 3 * patientS * 1000);
  });

  test('says what is wrong with a folder, and changes nothing', async (context) => {
    const { gateway, vendor } = await offline(context, { autoReboot: false });
    await vendor.offer('1.1');
    const stick = await aStick(context, vendor);
    const slots = [await slotDigest(gateway, 'a'), await slotDigest(gateway, 'b'), await readEnvironment(gateway)];
    const fails = async (folder: string, code: number, pattern: RegExp): Promise<void> => {
      const { exitCode, stdout, stderr } = await gateway.otactl('install', folder, '--yes');
      assert.match(stdout + stderr, pattern);
      assert.equal(exitCode, code, stdout + stderr);
    };
    await fails('/nowhere/stick', 1, /there is no such folder; is the stick mounted\?/);
    await fails(join(stick, 'targets'), 1, /missing: metadata\/timestamp\.json/);
    await fails(join(stick, '..'), 1, /tryInstead: .*\/repository/);
    // A link out of the folder is no file of it.
    const snapshot = (await readdir(join(stick, 'metadata'))).find((name) => name.endsWith('.snapshot.json')) ?? '';
    assert.notEqual(snapshot, '');
    await rm(join(stick, 'metadata', snapshot));
    const gone = await readdir(join(stick, 'metadata'));
    for (const name of gone.filter((name) => name.endsWith('.snapshot.json'))) await rm(join(stick, 'metadata', name));
    await fails(stick, 1, /no whole copy.*missing: metadata\/\d+\.snapshot\.json/);
    assert.deepEqual(
      [await slotDigest(gateway, 'a'), await slotDigest(gateway, 'b'), await readEnvironment(gateway)],
      slots,
    );
    await cp(vendor.paths.repository, stick, { recursive: true });
    await fails(stick, 0, /is installed and verified/);
  });

  test('believes the same signatures as from a server, and no others', async (context) => {
    const { gateway, vendor } = await offline(context);
    await vendor.offer('1.1');
    const stick = await aStick(context, vendor);
    await flipBit(join(stick, 'metadata/timestamp.json'), 300);
    const { exitCode, stderr } = await gateway.otactl('install', stick, '--yes');
    assert.ok(exitCode === 5, stderr);
    assert.match(stderr, /\[METADATA_(SIGNATURE_INVALID|MALFORMED)\]/);
    assert.equal((await gateway.api.status()).version, '1.0');
  });

  test('an older copy is not taken after a newer one, nor a release that is older than what runs', async (context) => {
    const { gateway, vendor } = await offline(context);
    const old = await aStick(context, vendor);
    const same = await gateway.otactl('install', old, '--yes');
    assert.equal(same.exitCode, 2, same.stderr);
    assert.match(same.stdout, /1\.0 runs already/);
    await vendor.offer('1.1');
    assert.equal((await gateway.otactl('install', await aStick(context, vendor), '--yes')).exitCode, 0);
    await gateway.waitUntil(isAtRest('1.1'));
    const { exitCode, stderr } = await gateway.otactl('install', old, '--yes');
    assert.equal(exitCode, 5);
    assert.match(stderr, /newer metadata than the folder holds\. Copy the repository again/);
  });

  test('takes no --no-wait: who hands the files over has to stay', async (context) => {
    const { gateway, vendor } = await offline(context);
    const { exitCode, stderr } = await gateway.otactl('install', await aStick(context, vendor), '--no-wait');
    assert.equal(exitCode, 64);
    assert.match(stderr, /hands the files of a folder over itself/);
  });
});
