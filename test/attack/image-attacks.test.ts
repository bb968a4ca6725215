// Attacks on image and slot, each in two forms: refused with its code, no slot called verified; refused, and the next good
// update is installed.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { type TestContext, test } from 'node:test';
import { toFailure } from '../../agent/core/errors.ts';
import type { Release, Verified } from '../../agent/core/types.ts';
import { aServer, serveFiles } from '../support/loopback-server.ts';
import { rememberVerifications } from '../support/remembered-verifications.ts';
import { aGateway, assertInstalled, changesBetween, type Gateway } from './gateway.ts';
import { actDuring, type ImageAttack, type ImageScene, imageAttacks } from './image-attacks.ts';
import { addRealRelease, aTrustedRepository, imageBytes, imageOf } from './vendor.ts';

rememberVerifications();

const never = new AbortController().signal;
const quiet = (): void => {};

interface Stage {
  readonly gateway: Gateway;
  readonly scene: ImageScene;
  readonly release: Verified<Release>;
  endAttack(): Promise<void>;
}

const setUp = async (t: TestContext, attack: ImageAttack): Promise<Stage> => {
  const repository = aTrustedRepository();
  addRealRelease(repository, 3);
  (attack.publish ?? ((r) => r.publish()))(repository);
  const server = await aServer(t, (request, response) => serveFiles(repository.files)(request, response));
  const undo: (() => unknown)[] = [];
  let act = async (): Promise<void> => {};
  const gateway = await aGateway(t, {
    baseUrls: [server.url],
    initialRoot: repository.initialRoot,
    wrap: actDuring(() => act()),
  });
  const scene = { repository, slots: gateway.slots, onEnd: (step: () => unknown) => void undo.push(step) };
  if (attack.during !== undefined) act = () => attack.during?.(scene) ?? Promise.resolve();
  const endAttack = async (): Promise<void> => {
    act = async () => {};
    for (const step of undo.splice(0)) await step();
  };
  t.after(endAttack);
  const found = await gateway.source.check(never);
  assert.ok(found.kind === 'release', JSON.stringify(found));
  return { gateway, scene, release: found.release, endAttack };
};

const attempt = async ({ gateway, scene, release }: Stage, attack: ImageAttack): Promise<string> => {
  const rootHex = release.artifacts.find(({ role }) => role === 'rootfs')?.verity?.rootHex ?? '';
  try {
    await attack.before?.(scene);
    await gateway.install.write({ slot: 'b', release, isReadBackNext: true }, never, quiet);
    await attack.between?.(scene);
    await gateway.install.verify({ slot: 'b', rootHex }, never, quiet);
    return 'taken';
  } catch (error) {
    return toFailure(error).code;
  }
};

for (const attack of imageAttacks) {
  const { claim, code } = attack;
  test(`${attack.attack}: ${claim}: ${code}, and no slot is called verified`, async (t) => {
    const stage = await setUp(t, attack);
    const { gateway } = stage;
    const before = await gateway.evidence();
    assert.equal(await attempt(stage, attack), code);
    await stage.endAttack();
    const changes = changesBetween(before, await gateway.evidence());
    assert.deepEqual(
      changes.filter((name) => attack.isUntouched || name !== 'slot b'),
      [],
    );
    assert.notEqual((await gateway.slots.devices.readRecord('b', never))?.status, 'verified');
    // Nor can it be handed to the bootloader.
    await assert.rejects(async () => {
      if ((await gateway.install.markActivated('b', never)) === null) throw new RangeError('nothing to activate');
    });
  });

  test(`${attack.attack}: ${claim}: the next good update is installed`, async (t) => {
    const stage = await setUp(t, attack);
    const { gateway, scene } = stage;
    assert.equal(await attempt(stage, attack), code);
    await stage.endAttack();
    addRealRelease(scene.repository, 4);
    scene.repository.publish();
    assert.deepEqual(await gateway.update(), { outcome: 'taken', version: '1.3' });
    await assertInstalled(gateway, '1.3');
    const written = await readFile(gateway.slots.paths.b);
    assert.ok(written.subarray(0, imageBytes).equals(imageOf('1.3')));
  });
}
