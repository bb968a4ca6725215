// The virtual gateway updates by a patch that otapub made of two real images: the daemon, the bundle with its library, the
// repository and the server are those of every day.

import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { PublishedRelease } from '../../publish/releases/release.ts';
import { targetFilePath } from '../../publish/repository/publication.ts';
import { rememberVerifications } from '../support/remembered-verifications.ts';
import { goodBus } from './layers.ts';
import { checkSlots, createStage, isAtRest, logOf, type Stage, slotDigest, smallVendor } from './stage.ts';
import { patientS, type World } from './world.ts';

rememberVerifications();

const programBytes = 1024 * 1024;

const patchOf = (released: PublishedRelease) => {
  const artifact = released.release.artifacts[0];
  const patch = artifact?.patches?.[0];
  assert.ok(artifact !== undefined && patch !== undefined, JSON.stringify(released.patches));
  return { artifact, patch };
};

/** Bytes of bodies that left the server for files of this name. */
const sentBytes = ({ served }: World, end: string): number =>
  served.requests.filter(({ path }) => path.endsWith(end)).reduce((sum, request) => sum + request.bytes, 0);

describe('a gateway whose vendor makes patches', { concurrency: 2 }, () => {
  let stage: Stage;
  before(async () => {
    const common = { fieldBus: goodBus, healthDeadlineS: patientS, programBytes };
    stage = await createStage({
      ...smallVendor,
      applicationBytes: 64 * 1024,
      // A level at which all releases of libzstd make the same bytes, whichever mksquashfs has.
      compression: 'zstd',
      zstdLevel: 1,
      releases: [
        { ...common, version: '1.0', sequence: 10 },
        { ...common, version: '1.1', sequence: 20 },
      ],
    });
  });
  after(() => stage.close());

  test('updates by patch, and history and journal say how much came by it', async (context) => {
    const world = await stage.world(context);
    const { gateway, vendor } = world;
    await gateway.powerOn();
    await gateway.waitUntil(isAtRest('1.0'));
    const before = await slotDigest(gateway, 'a');
    const { artifact, patch } = patchOf(await vendor.offer('1.1', undefined, ['1.0']));
    await gateway.waitUntil(isAtRest('1.1'));
    await checkSlots(gateway);
    assert.equal(await slotDigest(gateway, 'a'), before);
    assert.equal(sentBytes(world, '.squashfs'), 0);
    assert.ok(patch.lengthBytes < artifact.lengthBytes / 8, `${patch.lengthBytes} of ${artifact.lengthBytes} bytes`);
    const sent = sentBytes(world, '.patch');
    assert.equal(sent, patch.lengthBytes);
    const history = (await gateway.otactl('history')).stdout.replace(/\s+/g, ' ');
    assert.match(history, /KiB came over the network, .* were rebuilt by a patch, .* copied from this gateway's slots/);
    assert.match(await logOf(gateway), / rebuiltBytes=[1-9]/);
  });

  test('goes by the index when the server has another patch than the signed one, and says so', async (context) => {
    const world = await stage.world(context);
    const { gateway, vendor, served } = world;
    await gateway.powerOn();
    await gateway.waitUntil(isAtRest('1.0'));
    served.link.cut();
    const { patch } = patchOf(await vendor.offer('1.1', undefined, ['1.0']));
    const file = join(vendor.paths.targets, targetFilePath(patch.path, patch.sha256Hex));
    const bytes = await readFile(file);
    bytes.writeUInt8(bytes.readUInt8(patch.headLengthBytes + 10) ^ 1, patch.headLengthBytes + 10);
    await writeFile(file, bytes);
    await served.link.mend();
    await gateway.waitUntil(isAtRest('1.1'));
    await checkSlots(gateway);
    const [installed] = (await gateway.api.history()).filter(
      ({ type, version }) => type === 'installed' && version === '1.1',
    );
    assert.match(
      installed?.reason ?? '',
      /Left on the way: patch: the server sends another patch than the signed one\./,
    );
    assert.match(await logOf(gateway), /The image comes by the next way/);
  });
});
