// Whatever a server offers and whatever state the device is in: a code and a sentence, not one byte of the running slot
// changed, and the next good update works.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { appendFile, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type ErrorCode, errorCodes } from '../../agent/core/errors.ts';
import { reportNotRun } from '../support/not-run.ts';
import { rememberVerifications } from '../support/remembered-verifications.ts';
import type { Gateway } from './gateway.ts';
import { goodBus } from './layers.ts';
import * as spoiled from './spoiled-release.ts';
import { checkSlots, createStage, isAtRest, logOf, type Stage, slotDigest, smallVendor } from './stage.ts';
import { patientS, releases } from './world.ts';

rememberVerifications();

const mebibyte = 1024 * 1024;

/** The first failure that the daemon reports from now on, of a check or of an install. */
const nextFailure = async (gateway: Gateway, isWanted: (code: string) => boolean) => {
  let found: { readonly code: string; readonly message: string } | undefined;
  await gateway.waitUntil((status) => {
    const failure = status.lastCheck?.failure ?? null;
    if (failure !== null && isWanted(failure.code)) found = failure;
    return found !== undefined || status.lastCheck?.reasons.some(({ code }) => code === 'install-failed') === true;
  });
  const entry = (await gateway.api.history()).find(({ code }) => code !== null && isWanted(code));
  found ??= entry === undefined ? undefined : { code: entry.code ?? '', message: entry.reason ?? '' };
  return found;
};

const offers: readonly (readonly [name: string, code: ErrorCode, spoil: spoiled.Spoil])[] = [
  ['a truncated image', 'HTTP_TRUNCATED', spoiled.truncateImage],
  ['an image with more bytes than signed', 'FILE_TOO_LARGE', spoiled.lengthenImage],
  ['an image with flipped bits', 'IMAGE_DIGEST_MISMATCH', spoiled.flipImageBits],
  ['metadata with a forged signature', 'METADATA_SIGNATURE_INVALID', spoiled.forgeSignature],
  ['expired metadata', 'METADATA_EXPIRED', spoiled.letExpire],
  ['a release of another product', 'RELEASE_INCOMPATIBLE', spoiled.offerOtherProduct],
  ['the login page of a captive portal', 'CAPTIVE_PORTAL', spoiled.answerWithLoginPage],
  ['nothing, because the server is gone', 'HTTP_UNREACHABLE', spoiled.loseServer],
];

describe('bad input', { concurrency: 2 }, () => {
  let stage: Stage;
  before(async () => {
    const big = {
      version: '1.0.1',
      sequence: 15,
      fieldBus: goodBus,
      healthDeadlineS: patientS,
      extraBytes: 4 * mebibyte,
    };
    stage = await createStage({ ...smallVendor, releases: [...releases, big] });
  });
  after(() => stage.close());

  for (const [name, code, spoil] of offers) {
    test(`offered ${name}, it says ${code} and updates when the offer is good again`, async (context) => {
      const world = await stage.world(context, { settings: { backoff: { minMs: 500, maxMs: 1000 } } });
      const { gateway } = world;
      await gateway.powerOn();
      await gateway.waitUntil((status) => isAtRest('1.0')(status) && status.lastCheck !== null);
      const before = await slotDigest(gateway, 'a');
      const mend = await spoil(world);
      const failure = await nextFailure(gateway, (found) => found === code);
      assert.equal(failure?.code, code, await logOf(gateway));
      assert.ok(failure?.message.startsWith(errorCodes[code].sentence), failure?.message);
      assert.equal(await slotDigest(gateway, 'a'), before);
      assert.equal((await gateway.api.status()).version, '1.0');
      await mend();
      await gateway.waitUntil(isAtRest('1.1'));
      assert.equal(await slotDigest(gateway, 'a'), before);
      await checkSlots(gateway);
    });
  }

  test('offered a release that is too big for the slot, it says so without fetching it', async (context) => {
    const { gateway, vendor, served } = await stage.world(context, { slotSizeBytes: 5 * mebibyte });
    await gateway.powerOn();
    await gateway.waitUntil(isAtRest('1.0'));
    const before = await slotDigest(gateway, 'a');
    await vendor.offer('1.0.1');
    const status = await gateway.waitUntil(({ lastCheck }) => lastCheck?.version === '1.0.1');
    const reason = status.lastCheck?.reasons.find(({ code }) => code === 'slot-size');
    assert.match(reason?.sentence ?? '', /slot/i);
    const install = await gateway.otactl('install', '--yes');
    assert.equal(install.exitCode, 3, install.stdout + install.stderr);
    assert.equal(
      served.requests.some(({ path }) => path.endsWith('.squashfs')),
      false,
    );
    assert.equal(await slotDigest(gateway, 'a'), before);
    await vendor.offer('1.1');
    await gateway.waitUntil(isAtRest('1.1'));
  });

  test('with a corrupt database, it rebuilds its state from the device and updates', async (context) => {
    const { gateway, vendor } = await stage.world(context);
    await gateway.powerOn();
    await gateway.waitUntil((status) => isAtRest('1.0')(status) && status.lastCheck !== null);
    await gateway.cutPower();
    const before = await slotDigest(gateway, 'a');
    const names = await readdir(gateway.paths.stateDir);
    const databases = names.filter((name) => name.startsWith('state.db'));
    assert.notEqual(databases.length, 0, names.join(' '));
    for (const name of databases) await writeFile(join(gateway.paths.stateDir, name), Buffer.alloc(65_536, 0xa5));
    await gateway.powerOn();
    await gateway.waitUntil(isAtRest('1.0'));
    assert.ok((await gateway.api.history()).some(({ type }) => type === 'store-rebuilt'));
    assert.match(await logOf(gateway), /STORE_CORRUPT/);
    await vendor.offer('1.1');
    await gateway.waitUntil(isAtRest('1.1'));
    assert.equal(await slotDigest(gateway, 'a'), before);
  });

  test('with a bad setting, it names file, key and what was expected, and runs on without that file', async (context) => {
    const { gateway, vendor } = await stage.world(context);
    const before = await slotDigest(gateway, 'a');
    const typo = join(gateway.paths.configDir, '95-typo.json');
    await writeFile(typo, JSON.stringify({ poll: { intervalMs: 'soon' } }));
    await gateway.powerOn();
    const { attention } = await gateway.waitUntil((status) => status.attention !== null);
    assert.equal(attention?.code, 'CONFIG_INVALID');
    for (const fact of [/95-typo\.json/, /poll\.intervalMs/, /expected: .*whole number/, /found: "soon"/]) {
      assert.match(attention?.message ?? '', fact);
    }
    // A window may be among what was left out: the new system waits for a person.
    await vendor.offer('1.1');
    await gateway.waitUntil(({ phase }) => phase === 'staged');
    assert.equal(await slotDigest(gateway, 'a'), before);
    await rm(typo);
    await gateway.killAgent();
    await gateway.waitUntil(isAtRest('1.1'));
    assert.equal(await slotDigest(gateway, 'a'), before);
  });

  // A file system of the test's own needs a mount, which kernels grant without privilege where users may have namespaces.
  if (spawnSync('unshare', ['-Urm', 'true']).status === 0) {
    test('with a full disk, it says DISK_FULL, keeps what it accepts in memory, and updates', async (context) => {
      const { gateway, vendor } = await stage.world(context, { stateDiskBytes: 8 * mebibyte });
      await gateway.powerOn();
      await gateway.waitUntil((status) => isAtRest('1.0')(status) && status.lastCheck !== null);
      const before = await slotDigest(gateway, 'a');
      // Seen through the daemon's own mounts. Filled again and again, because the store gives its reserve away first.
      const filler = `/proc/${gateway.agentPid}/root${gateway.paths.stateDir}/filler`;
      const fill = () => assert.rejects(appendFile(filler, Buffer.alloc(9 * mebibyte)), { code: 'ENOSPC' });
      await fill();
      const said = await gateway.waitForLog(/DISK_FULL/, 10_000, fill);
      assert.ok(said.includes(errorCodes.DISK_FULL.sentence), said);
      await vendor.offer('1.1');
      await gateway.waitForLog(/metadata is kept in memory .*The disk is full/, 10_000, fill);
      await gateway.waitUntil(isAtRest('1.1'));
      assert.equal(await slotDigest(gateway, 'a'), before);
    });
  } else {
    reportNotRun('an update with a full disk', 'unshare -Urm (user namespaces)');
  }
});
