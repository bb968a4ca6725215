// Attacks through signed patches, each in two forms: refused with its code while the image comes by the index; and the next
// good update comes by patch again.

import assert from 'node:assert/strict';
import { copyFileSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { errorCodes } from '../../agent/core/errors.ts';
import { headBytesOf } from '../../delta/patch-format.ts';
import { imagePath, indexPath } from '../support/delta-bench.ts';
import { anArtifactPatch, aPatchPair, aPatchScene, patchPath } from '../support/patch-bench.ts';
import { sha256Of } from '../support/slot-bench.ts';
import { patchAttacks } from './patch-attacks.ts';

const pair = await aPatchPair();
const back = await aPatchPair('back');

/** What is no patch has no head; a publisher could sign anything. */
const headLengthOf = (patch: Uint8Array): number =>
  patch.subarray(0, 8).some((byte) => byte !== patch[0]) ? headBytesOf(patch).length : patch.length;

for (const { attack, claim, code, spoil } of patchAttacks) {
  test(`${attack}: ${claim}: ${code}, and the image comes by the index; the next update by patch`, async (t) => {
    const patch = spoil(pair);
    const named = anArtifactPatch(pair.patch, pair.old);
    const headLengthBytes = headLengthOf(patch);
    const parts = { headLengthBytes, headSha256Hex: sha256Of(patch.subarray(0, headLengthBytes)) };
    const files = { lengthBytes: patch.length, sha256Hex: sha256Of(patch) };
    const scene = await aPatchScene(t, pair, { patch, patches: [{ ...named, ...files, ...parts }] });
    const { bench, server } = scene;
    const running = readFileSync(bench.slots.paths.a);
    const install = bench.start();
    await install.write();
    assert.equal((await install.verify()).status, 'verified');
    assert.ok(readFileSync(bench.slots.paths.a).equals(running));
    const [reason = ''] = bench.reasons();
    assert.ok(reason.startsWith(errorCodes[code as keyof typeof errorCodes].sentence), reason);
    assert.ok(server.requests.every(({ path, range }) => path === indexPath || range !== null));
    assert.ok(server.sentBytes() <= pair.image.length + pair.index.length + patch.length);

    const next = await aPatchScene(t, back, { running: null });
    copyFileSync(bench.slots.paths.b, next.bench.slots.paths.a);
    await next.bench.start().write();
    assert.deepEqual(next.bench.reasons(), []);
    assert.deepEqual([next.server.sentBytes(imagePath), next.server.sentBytes(patchPath)], [0, back.patch.length]);
  });
}
