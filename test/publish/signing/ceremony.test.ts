import assert from 'node:assert/strict';
import { cp, readdir, readFile, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { publisherPaths } from '../../../publish/repository/publisher-folder.ts';
import { applyRequest } from '../../../publish/signing/application.ts';
import {
  type CeremonyOptions,
  type CeremonyResult,
  renewRoot,
  renewTargets,
  revokeKeys,
  rotateKeys,
} from '../../../publish/signing/rotation.ts';
import { parseMetadata } from '../../../verity/tuf-metadata.ts';
import { aDevice, checkWithTufJs } from '../device-fixture.ts';
import { aFolder, aPublisherWithRelease, type Publisher, withCode } from '../publisher-fixture.ts';

// tuf-js asks the local clock.
const nowMs = Date.now();

interface Ceremony {
  readonly name: string;
  /** Private keys that are lost before it. */
  readonly lost?: readonly string[];
  readonly run: (options: CeremonyOptions) => Promise<CeremonyResult>;
  /** Root version that it ends on, from 1. */
  readonly root: number;
}

const rotate =
  (roles: Parameters<typeof rotateKeys>[0]['wish']['roles'], keys: readonly string[] = [], threshold?: number) =>
  (options: CeremonyOptions) =>
    rotateKeys({ ...options, wish: { roles, keys, added: 0 }, threshold });

const ceremonies: readonly Ceremony[] = [
  { name: 'rotating timestamp', run: rotate(['timestamp']), root: 2 },
  { name: 'rotating snapshot and timestamp at once', run: rotate(['snapshot', 'timestamp']), root: 2 },
  { name: 'rotating targets', run: rotate(['targets']), root: 2 },
  { name: 'rotating one of the root keys', run: rotate(['root'], ['root-1']), root: 2 },
  { name: 'rotating a lost timestamp key', lost: ['timestamp-1'], run: rotate(['timestamp']), root: 3 },
  {
    name: 'rotating everything online after all of it is lost',
    lost: ['targets-1', 'snapshot-1', 'timestamp-1'],
    run: rotate(['targets', 'snapshot', 'timestamp']),
    root: 3,
  },
  { name: 'rotating a lost root key', lost: ['root-2'], run: rotate(['root'], ['root-2']), root: 2 },
  { name: 'revoking a root key', run: (options) => revokeKeys(options, ['root-3']), root: 2 },
  {
    name: 'adding a second targets key and a threshold of two',
    run: (options) => rotateKeys({ ...options, wish: { roles: ['targets'], keys: [], added: 1 }, threshold: 2 }),
    root: 2,
  },
  { name: 'renewing root', run: (options) => renewRoot(options), root: 2 },
  { name: 'renewing targets', run: (options) => renewTargets(options), root: 1 },
];

class Cut extends Error {}

const aReleasedPublisher = (t: TestContext): Promise<Publisher> => aPublisherWithRelease(t, nowMs);

const lose = async (folder: string, names: readonly string[] = []): Promise<void> => {
  for (const name of names) await rm(join(publisherPaths(folder).keys, `${name}.json`));
};

/** Keys and image take most of the time: each ceremony gets a copy. */
const aCopy = async (t: TestContext, original: Publisher, lost?: readonly string[]): Promise<string> => {
  const folder = join(await aFolder(t), 'publisher');
  await cp(original.folder, folder, { recursive: true });
  await lose(folder, lost);
  return folder;
};

test('after every single write of a ceremony every device accepts the repository', async (t) => {
  const original = await aReleasedPublisher(t);
  const root = await readFile(publisherPaths(original.folder).root);
  for (const ceremony of ceremonies) {
    await t.test(ceremony.name, async (t) => {
      const folder = await aCopy(t, original, ceremony.lost);
      const old = await aDevice(t, folder, root);
      await old.check(nowMs);
      const writes: string[] = [];
      const afterWrite = async (path: string): Promise<void> => {
        writes.push(basename(path));
        // What a cut here would leave is what lies there now.
        const moment = `after ${path}`;
        assert.equal((await old.check(nowMs)).version, '1.0', `${moment}, a device that polls all the time`);
        const fresh = await aDevice(t, folder, root);
        assert.equal((await fresh.check(nowMs)).version, '1.0', `${moment}, a device that wakes up`);
      };
      const { settlement } = await ceremony.run({ folder, nowMs, afterWrite });
      assert.equal(settlement.kind, 'published');
      assert.ok(writes.length >= 3, `${writes}`);
      // A device asks for a new root when the timestamp has changed.
      assert.equal(writes.filter((name) => name !== 'root.json').at(-1), 'timestamp.json');
      assert.equal(await checkWithTufJs(t, folder, root), '1.0', 'another client');
      const baked = await readFile(publisherPaths(folder).root);
      assert.equal(parseMetadata('root', baked).signed.version, ceremony.root);
      const image = await aDevice(t, folder);
      assert.equal((await image.check(nowMs)).version, '1.0', 'an image with the new root');
    });
  }
});

test('a ceremony that was cut is finished by running it again', async (t) => {
  const original = await aReleasedPublisher(t);
  const root = await readFile(publisherPaths(original.folder).root);
  for (const cutAfter of [1, 3, 5]) {
    const folder = await aCopy(t, original, ['timestamp-1']);
    let left = cutAfter;
    const afterWrite = (): void => {
      left -= 1;
      if (left === 0) throw new Cut();
    };
    await assert.rejects(rotate(['timestamp'])({ folder, nowMs, afterWrite }), Cut);
    const [request = ''] = await readdir(publisherPaths(folder).requests);
    // Its signatures were complete: what was begun is taken up where it stopped.
    const path = join(publisherPaths(folder).requests, request);
    const again = await applyRequest({ folder, path, nowMs }).catch((error: unknown) => {
      if (withCode('NOTHING_TO_DO')(error)) return null;
      throw error;
    });
    assert.ok(again === null || again.kind === 'published');
    const device = await aDevice(t, folder, root);
    assert.equal((await device.check(nowMs)).version, '1.0');
    assert.equal(await device.rootVersion(nowMs), 3);
  }
});

test('several ceremonies and releases later a device with the first root ends on the newest release', async (t) => {
  const publisher = await aReleasedPublisher(t);
  const { folder } = publisher;
  const root = await readFile(publisherPaths(folder).root);
  const options = { folder, nowMs };
  await rotate(['timestamp'])(options);
  await publisher.release({ nowMs, version: '1.1' });
  await rotate(['root'], ['root-1'])(options);
  await rotate(['targets', 'snapshot'])(options);
  await rotateKeys({ ...options, wish: { roles: ['root'], keys: [], added: 1 }, threshold: 3 });
  await revokeKeys(options, ['root-3']);
  await publisher.release({ nowMs, version: '1.2' });
  assert.equal((await (await aDevice(t, folder, root)).check(nowMs)).version, '1.2');
  assert.equal(await checkWithTufJs(t, folder, root), '1.2');
});

test('rotating snapshot and timestamp keys recovers devices from fast-forward', async (t) => {
  const original = await aReleasedPublisher(t);
  const folder = await aCopy(t, original);
  const thief = await aCopy(t, original);
  const root = await readFile(publisherPaths(folder).root);
  const device = await aDevice(t, folder, root);
  // The thief has both keys, signs far ahead, and gets the device to see it once.
  for (let run = 0; run < 3; run += 1) await renewTargets({ folder: thief, nowMs });
  const metadata = publisherPaths(folder).metadata;
  const genuine = await aCopy(t, original);
  await cp(publisherPaths(thief).metadata, metadata, { recursive: true, force: true });
  await device.check(nowMs);
  await rm(metadata, { recursive: true });
  await cp(publisherPaths(genuine).metadata, metadata, { recursive: true });
  await assert.rejects(device.check(nowMs), withCode('METADATA_ROLLBACK'));
  await rotate(['snapshot', 'timestamp'])({ folder, nowMs });
  assert.equal((await device.check(nowMs)).version, '1.0');
});

test('root allows a floor epoch, and then a release may go back', async (t) => {
  const publisher = await aReleasedPublisher(t);
  const { folder } = publisher;
  const device = await aDevice(t, folder);
  await publisher.release({ nowMs, version: '2.0', sequence: 20 });
  const back = { nowMs, version: '1.0', image: undefined, floorEpoch: 1 };
  await assert.rejects(publisher.release(back), withCode('RELEASE_REFUSED', /does not allow this floor epoch/));
  await renewRoot({ folder, nowMs }, 1);
  await publisher.release(back);
  assert.equal((await device.check(nowMs)).floorEpoch, 1);
  await rotate(['timestamp'])({ folder, nowMs });
  assert.equal((await device.check(nowMs)).version, '1.0', 'the epoch outlives the next root');
});

test('a revocation that would leave too few keys is refused, names the way out and changes nothing', async (t) => {
  const original = await aReleasedPublisher(t);
  const folder = await aCopy(t, original);
  const before = await readdir(publisherPaths(folder).metadata);
  const revoke = (...words: string[]) => revokeKeys({ folder, nowMs }, words);
  await assert.rejects(revoke('timestamp-1'), withCode('ROTATION_REFUSED', /otapub rotate DIR timestamp timestamp-1/));
  await assert.rejects(revoke('root-1', 'root-2'), withCode('ROTATION_REFUSED', /root needs 2 signatures/));
  await assert.rejects(revoke('nobody'), withCode('BAD_REQUEST', /no key is called 'nobody'; there are root-1/));
  assert.deepEqual(await readdir(publisherPaths(folder).metadata), before);
});

test('which key makes way is never guessed, and a refusal leaves no new key behind', async (t) => {
  const original = await aReleasedPublisher(t);
  const folder = await aCopy(t, original);
  const keys = await readdir(publisherPaths(folder).keys);
  const refused = async (wish: Parameters<typeof rotateKeys>[0]['wish'], pattern: RegExp, threshold?: number) =>
    await assert.rejects(rotateKeys({ folder, nowMs, wish, threshold }), withCode('BAD_REQUEST', pattern));
  await refused({ roles: ['root'], keys: [], added: 0 }, /root has 3 keys: root-1, root-2, root-3; say which/);
  await refused({ roles: ['root'], keys: ['timestamp-1'], added: 0 }, /does not serve root but timestamp/);
  await refused({ roles: ['root'], keys: ['root-1'], added: 0 }, /--threshold is 1 to 3/, 4);
  assert.deepEqual(await readdir(publisherPaths(folder).keys), keys);
});
