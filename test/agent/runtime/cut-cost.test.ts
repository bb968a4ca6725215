// What a cut costs at most, as docs/internals/delta.md has it in a table: bytes that come twice, by way and by kind of cut. Patches are
// counted in install-patch.test.ts, the index file in index-fetch.test.ts, boot files in boot-stage.test.ts; slow links in slow-cut.test.ts.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { checkpointBytesOf } from '../../../agent/runtime/slot-fill.ts';
import { treeLengthBytes } from '../../../verity/dm-verity.ts';
import { aDeltaBench, aMirrorSource, aTarget, imagePath, indexOf, pieces } from '../../support/delta-bench.ts';
import { noise } from '../../support/noise.ts';
import { cutAtWrite } from '../../support/power-cut.ts';
import { aRangeServer } from '../../support/range-server.ts';
import {
  anArtifact,
  anInstall,
  aRelease,
  createFakeSource,
  createFileSlots,
  isCode,
} from '../../support/slot-bench.ts';

const root = mkdtempSync(join(tmpdir(), 'otad-cut-'));
after(() => rmSync(root, { recursive: true }));
const { signal } = new AbortController();
const mebibyte = 1024 * 1024;
const never = Number.POSITIVE_INFINITY;
const quiet = (): void => undefined;

const image = noise(8 * mebibyte + 5000);
const release = aRelease(anArtifact(image));
const newSlots = () => createFileSlots(mkdtempSync(join(root, 'slots-')), 10 * mebibyte);
const sum = (served: readonly { readonly sentBytes: number }[]): number =>
  served.reduce((all, { sentBytes }) => all + sentBytes, 0);

test('the whole image: a link that breaks costs less than a block, wherever it breaks', async () => {
  for (const cutAfterBytes of [1, 4095, 700_000, mebibyte + 1, 3_333_333, image.length - 1]) {
    const slots = newSlots();
    let isFirst = true;
    const { source, served } = createFakeSource(image, () => (isFirst ? { cutAfterBytes } : {}));
    const write = () => anInstall({ slots: slots.devices, source }).write({ slot: 'b', release }, signal, quiet);
    await assert.rejects(write(), isCode('HTTP_TRUNCATED'));
    isFirst = false;
    await write();
    const twice = sum(served) - image.length;
    assert.ok(twice >= 0 && twice < 4096, `${twice} bytes twice after ${cutAfterBytes}`);
  }
});

test('the whole image: a power cut at any write costs a mark and what is in memory, 3 MiB at the most', async () => {
  const bound = checkpointBytesOf(image.length) + 2 * mebibyte;
  assert.equal(bound, 3 * mebibyte);
  let costliest = 0;
  for (let at = 1; ; at += 1) {
    const slots = newSlots();
    const { source, served } = createFakeSource(image);
    const cut = cutAtWrite(slots.devices, at);
    const isDone = await anInstall({ slots: cut.devices, source })
      .write({ slot: 'b', release }, signal, quiet)
      .then(
        () => true,
        () => false,
      );
    await anInstall({ slots: slots.devices, source }).write({ slot: 'b', release }, signal, quiet);
    const twice = sum(served) - image.length;
    costliest = Math.max(costliest, twice);
    assert.ok(twice <= bound, `${twice} bytes twice after a cut at write ${at}`);
    for (const path of Object.values(slots.paths)) rmSync(path);
    if (isDone) {
      assert.ok(at > 16, `only ${at} writes were cut`);
      break;
    }
  }
  assert.ok(costliest > mebibyte, `the cuts cost ${costliest} bytes at the most: they did not cut`);
});

test('marks of 1 MiB cost two flushes and a block each, and not a hundredth more is written than image and tree', async () => {
  const slots = newSlots();
  const { source } = createFakeSource(image);
  const { devices, counts } = cutAtWrite(slots.devices, never);
  await anInstall({ slots: devices, source }).write({ slot: 'b', release }, signal, quiet);
  const neededBytes = image.length + treeLengthBytes(image.length);
  const marks = Math.ceil(image.length / checkpointBytesOf(image.length));
  // The record before the first byte, the one at the image's end and the one behind the tree besides.
  assert.ok(counts.flushes >= 2 * marks && counts.flushes <= 2 * (marks + 3), `${counts.flushes} flushes`);
  assert.ok(counts.writtenBytes <= 1.01 * neededBytes, `${counts.writtenBytes} bytes for ${neededBytes}`);
});

test('by index: a power cut at any write costs less than 2 MiB', async (t) => {
  const names = (prefix: string, count: number) =>
    Array.from({ length: count }, (_, at) => [`${prefix}${at}`, 120_000 - 100 * at] as const);
  const held = pieces(...names('h', 12));
  const wanted = [...held.slice(0, 4), ...pieces(...names('n', 30)), ...held.slice(4)];
  const whole = Buffer.concat(wanted);
  const { artifact, files } = aTarget(whole, indexOf(wanted));
  const missingBytes = whole.length - held.reduce((all, { length }) => all + length, 0);
  const running = { image: Buffer.concat(held), index: indexOf(held) };
  let costliest = 0;
  for (let at = 1; ; at += 4) {
    const server = await aRangeServer(t, files);
    const source = aMirrorSource(t, [server.url]);
    const bench = aDeltaBench({ slotBytes: 8 * mebibyte, running, artifact, source });
    const cut = cutAtWrite(bench.slots.devices, at);
    const isDone = await bench
      .start({ slots: cut.devices })
      .write()
      .then(
        () => true,
        () => false,
      );
    await bench.start().write();
    assert.ok(readFileSync(bench.slots.paths.b).subarray(0, whole.length).equals(whole));
    const twice = server.sentBytes(imagePath) - missingBytes;
    costliest = Math.max(costliest, twice);
    assert.ok(twice < 2 * mebibyte, `${twice} bytes twice after a cut at write ${at}`);
    if (isDone) break;
  }
  assert.ok(costliest > 0, 'no cut cost anything');
});
