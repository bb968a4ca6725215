// Kernel, device tree and root image as one set on the virtual board, whose firmware starts a slot only with the kernel that the
// slot's root was made for.

import assert from 'node:assert/strict';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { SlotName } from '../../agent/core/types.ts';
import { rememberVerifications } from '../support/remembered-verifications.ts';
import { flipBit } from './flipped-bit.ts';
import type { Gateway } from './gateway.ts';
import { goodBus } from './layers.ts';
import { checkSlots, createStage, digestOf, isAtRest, type Stage, slotDigest, smallVendor } from './stage.ts';
import { patientS } from './world.ts';

rememberVerifications();

const common = { fieldBus: goodBus, healthDeadlineS: patientS };
/** Each with a kernel of its own; the last one is sick. */
const releases = [
  { version: '1.0', sequence: 10, kernel: '6.1.0', ...common },
  { version: '1.1', sequence: 20, kernel: '6.6.0', ...common },
  { version: '1.2', sequence: 30, kernel: '6.12.0', ...common, fieldBus: 'can1', healthDeadlineS: 4 },
];

/** The first update brings the kernel that runs already, the second one another, the third one the same again. */
const quiet = [
  { version: '1.0', sequence: 10, kernel: '6.1.0', ...common },
  { version: '1.1', sequence: 20, kernel: '6.1.0', ...common },
  { version: '1.2', sequence: 30, kernel: '6.6.0', ...common },
  { version: '1.3', sequence: 40, kernel: '6.6.0', ...common },
];

/** The files of a slot's boot place, by digest. */
const placeOf = async ({ paths }: Gateway, slot: SlotName): Promise<Readonly<Record<string, string>>> => {
  const folder = paths.bootFolders[slot];
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const names = entries
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name).slice(folder.length + 1));
  return Object.fromEntries(
    await Promise.all(names.sort().map(async (name) => [name, await digestOf(join(folder, name))])),
  );
};

const kernelOf = async ({ paths }: Gateway, slot: SlotName): Promise<string | undefined> =>
  (await readFile(join(paths.bootFolders[slot], 'kernel'), 'latin1')).split('\n', 1)[0];

const stageOf = ({ paths }: Gateway): string => join(paths.stateDir, 'boot-set');

describe('a release with a kernel of its own', { concurrency: 2 }, () => {
  let stage: Stage;
  before(async () => {
    stage = await createStage({ ...smallVendor, releases });
  });
  after(() => stage.close());

  test('boots that kernel with that root, and a rollback boots the ones before', async (context) => {
    const { gateway, vendor } = await stage.world(context, { releases });
    await gateway.powerOn();
    await gateway.waitUntil(isAtRest('1.0'));
    const factory = await placeOf(gateway, 'a');
    await writeFile(join(gateway.paths.bootFolders.b, 'left-over'), 'of another life');

    const published = await vendor.offer('1.1');
    await gateway.waitUntil(isAtRest('1.1'));
    const boot = published.release.artifacts.filter(({ role }) => role === 'boot');
    const { 'otad-set': _, ...placed } = await placeOf(gateway, 'b');
    assert.deepEqual(placed, Object.fromEntries(boot.map(({ name, sha256Hex }) => [name, sha256Hex])));
    assert.deepEqual(await placeOf(gateway, 'a'), factory);
    assert.match(gateway.consoleText(), /slot b: kernel 6\.6\.0\nstarting slot b/);
    // The data partition is not filled with what is in use elsewhere.
    await assert.rejects(readdir(stageOf(gateway)), { code: 'ENOENT' });
    await checkSlots(gateway);

    assert.equal((await gateway.otactl('rollback', '--yes', 'modem', 'is', 'dead')).exitCode, 0);
    await gateway.waitUntil(isAtRest('1.0'));
    assert.match(gateway.consoleText(), /slot a: kernel 6\.1\.0\nstarting slot a\s*$/);
    assert.equal(await kernelOf(gateway, 'b'), '6.6.0');
  });

  test('that is sick falls back to root and kernel of before', async (context) => {
    const { gateway, vendor } = await stage.world(context, { releases });
    await gateway.powerOn();
    await vendor.offer('1.2');
    await gateway.waitUntil((status) => isAtRest('1.0')(status) && status.denylist.includes('1.2'));
    assert.match(gateway.consoleText(), /slot b: kernel 6\.12\.0\nstarting slot b/);
    assert.match(gateway.consoleText(), /slot a: kernel 6\.1\.0\nstarting slot a\s*$/);
    await assert.rejects(readdir(stageOf(gateway)), { code: 'ENOENT' });
  });

  test('is refused before anything is fetched where nothing says where boot files lie', async (context) => {
    const settings = { bootloader: { uboot: { bootFolders: null } } };
    const { gateway, vendor, served } = await stage.world(context, { releases, settings });
    await gateway.powerOn();
    const before = await slotDigest(gateway, 'b');
    await vendor.offer('1.1');
    const { lastCheck } = await gateway.waitUntil((status) => status.lastCheck?.version === '1.1');
    assert.match(
      lastCheck?.reasons.map(({ sentence }) => sentence).join() ?? '',
      /1\.1 brings a kernel .* bootFolders/,
    );
    assert.equal(
      served.requests.some(({ path }) => path.includes('images/')),
      false,
    );
    assert.equal(await slotDigest(gateway, 'b'), before);
  });

  test('is fetched again, and only what is missing, where its boot files are lost before it is started', async (context) => {
    const { gateway, vendor, served } = await stage.world(context, { releases, settings: { autoReboot: false } });
    await gateway.powerOn();
    await vendor.offer('1.1');
    await gateway.waitUntil(({ phase }) => phase === 'staged');
    const [lost] = (await readdir(stageOf(gateway))).filter((name) => /^[0-9a-f]{64}$/.test(name)).sort();
    await rm(join(stageOf(gateway), lost ?? ''));
    const asked = served.requests.length;
    // Another boot of the old system: what was verified is verified again.
    await gateway.cutPower();
    await gateway.configure({ ...(await settingsOf(gateway)), autoReboot: true });
    await gateway.powerOn();
    await gateway.waitUntil(isAtRest('1.1'));
    const codes = (await gateway.api.history()).map(({ code }) => code);
    assert.ok(codes.includes('BOOT_SET_INCOMPLETE'), String(codes));
    const again = served.requests.slice(asked).filter(({ path }) => path.includes('images/'));
    assert.deepEqual(
      again.map(({ path }) => path.includes(`/${lost}.`)),
      [true],
    );
    assert.equal(await kernelOf(gateway, 'b'), '6.6.0');
  });

  test('comes through power cuts at many moments, never with a kernel of another release', async (context) => {
    const { gateway, vendor, served } = await stage.world(context, { releases, settings: { triesMax: 9 } });
    await gateway.powerOn();
    await gateway.waitUntil(isAtRest('1.0'));
    served.link.setRate(1024 * 1024);
    await vendor.offer('1.1');
    for (const reached of [
      ({ progress }: { progress: { fetchedBytes: number } | null }) => (progress?.fetchedBytes ?? 0) > 64 * 1024,
      ({ phase }: { phase: string }) => phase === 'verifying',
      ({ phase }: { phase: string }) => phase === 'activating' || phase === 'rebooting',
    ]) {
      const status = await gateway.waitUntil((now) => reached(now) || isAtRest('1.1')(now));
      if (isAtRest('1.1')(status)) break;
      await gateway.cutPower();
      await gateway.powerOn();
    }
    await gateway.waitUntil(isAtRest('1.1'));
    assert.doesNotMatch(gateway.consoleText(), /the root is for kernel/);
    await checkSlots(gateway);
  });
});

describe('releases of which most bring no new kernel', () => {
  let stage: Stage;
  before(async () => {
    stage = await createStage({ ...smallVendor, releases: quiet });
  });
  after(() => stage.close());

  test('fetch a boot file only when it changed, or has rotted in the place of what runs', async (context) => {
    const { gateway, vendor, served } = await stage.world(context, { releases: quiet });
    /** Bytes of bodies that left for the boot files of a release, by their names in it. */
    const update = async (version: string): Promise<Readonly<Record<string, number>>> => {
      const asked = served.requests.length;
      const { release } = await vendor.offer(version);
      await gateway.waitUntil(isAtRest(version));
      const requests = served.requests.slice(asked);
      return Object.fromEntries(
        release.artifacts
          .filter(({ role }) => role === 'boot')
          .map(({ name, sha256Hex }) => {
            const mine = requests.filter(({ path }) => path.includes(`/${sha256Hex}.`));
            return [name, mine.reduce((sum, { bytes }) => sum + bytes, 0)];
          }),
      );
    };
    await gateway.powerOn();
    await gateway.waitUntil(isAtRest('1.0'));
    assert.deepEqual(await update('1.1'), { 'dtbs/board.dtb': 0, kernel: 0 });
    assert.deepEqual(
      await placeOf(gateway, 'b').then(({ 'otad-set': _, ...files }) => files),
      await placeOf(gateway, 'a'),
    );
    const kernelBytes = (await readFile(join(gateway.paths.bootFolders.b, 'kernel'))).length;
    const treeBytes = (await readFile(join(gateway.paths.bootFolders.b, 'dtbs/board.dtb'))).length;
    assert.deepEqual(await update('1.2'), { 'dtbs/board.dtb': treeBytes, kernel: kernelBytes });
    await flipBit(join(gateway.paths.bootFolders.a, 'kernel'), 200_000);
    assert.deepEqual(await update('1.3'), { 'dtbs/board.dtb': 0, kernel: kernelBytes });
    assert.match(gateway.consoleText(), /slot b: kernel 6\.6\.0\nstarting slot b\s*$/);
  });
});

/** What the test has set so far. */
const settingsOf = async ({ paths }: Gateway): Promise<Readonly<Record<string, unknown>>> =>
  JSON.parse(await readFile(join(paths.configDir, '90-test.json'), 'utf8'));
