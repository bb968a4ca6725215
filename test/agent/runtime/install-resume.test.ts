// What a cut costs, in bytes that the server sends twice: for connections that break, and for processes that die, at many points.

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import type { SlotDevices } from '../../../agent/core/ports.ts';
import {
  aDeltaBench,
  aMirrorSource,
  aTarget,
  dyingAt,
  imagePath,
  indexOf,
  type Pieces,
  pieces,
} from '../../support/delta-bench.ts';
import { aRangeServer } from '../../support/range-server.ts';

const mebibyte = 1024 * 1024;
const slotBytes = 16 * mebibyte;
const chunkBytes = 120_000;

const names = (prefix: string, count: number) =>
  Array.from({ length: count }, (_, index) => [`${prefix}${index}`, chunkBytes - 100 * index] as const);
const held = pieces(...names('h', 30));
/** Stretches that are copied between stretches that are fetched, and one long one of each. */
const image: Pieces = [
  ...pieces(...names('n', 6)),
  ...held.slice(0, 10),
  ...pieces(...names('o', 24)),
  ...held.slice(20),
  ...pieces(...names('p', 3)),
];
const index = indexOf(image);
const whole = Buffer.concat(image);
const missingBytes =
  whole.length - [...held.slice(0, 10), ...held.slice(20)].reduce((sum, { length }) => sum + length, 0);

const aScene = async (t: Parameters<typeof aRangeServer>[0], devices?: (devices: SlotDevices) => SlotDevices) => {
  const { artifact, files } = aTarget(whole, index);
  const server = await aRangeServer(t, files);
  const bench = aDeltaBench({
    slotBytes,
    running: { image: Buffer.concat(held), index: indexOf(held) },
    artifact,
    source: aMirrorSource(t, [server.url]),
    ...(devices === undefined ? {} : { devices }),
  });
  return { server, bench };
};

const requireWhole = (path: string): void => {
  assert.ok(readFileSync(path).subarray(0, whole.length).equals(whole));
};

test('a connection that breaks costs at most a chunk for each request in flight, less than 1 MiB, wherever it breaks', async (t) => {
  for (let cut = 1; cut < missingBytes; cut += 411_111) {
    const { server, bench } = await aScene(t);
    server.behave({ cutAfterBytes: index.length + cut });
    await assert.rejects(bench.start().write());
    const before = server.sentBytes(imagePath);
    server.behave({});
    await bench.start().write();
    assert.equal((await bench.start().verify()).status, 'verified');
    requireWhole(bench.slots.paths.b);
    const twice = server.sentBytes(imagePath) - missingBytes;
    assert.ok(twice <= mebibyte, `${twice} bytes twice after a cut at ${cut} (${before} sent)`);
    assert.equal(server.requests.filter(({ path }) => path !== imagePath).length, 1, 'the index comes once');
  }
});

test('a process that dies costs less than 1 MiB, at whichever of its writes', async (t) => {
  for (let writes = 1; writes < 60; writes += 1) {
    let devices = dyingAt(writes);
    const { server, bench } = await aScene(t, (real) => devices(real));
    const died = await bench
      .start()
      .write()
      .then(
        () => false,
        () => true,
      );
    devices = (real) => real;
    await bench.start().write();
    assert.equal((await bench.start().verify()).status, 'verified');
    requireWhole(bench.slots.paths.b);
    const twice = server.sentBytes(imagePath) - missingBytes;
    assert.ok(twice <= mebibyte, `${twice} bytes twice after death at write ${writes}`);
    if (!died) break;
  }
});

test('a link that breaks every few hundred kilobytes gets there, and fetches little more than is missing', async (t) => {
  const { server, bench } = await aScene(t);
  let attempts = 0;
  for (let isDone = false; !isDone; attempts += 1) {
    assert.ok(attempts < 40);
    server.behave({ cutAfterBytes: 700_000 });
    isDone = await bench
      .start()
      .write()
      .then(
        () => true,
        () => false,
      );
  }
  requireWhole(bench.slots.paths.b);
  const twice = server.sentBytes(imagePath) - missingBytes;
  assert.ok(twice < attempts * 4 * chunkBytes, `${twice} bytes twice in ${attempts} attempts`);
});

test('a written part that rotted meanwhile is found, and only then fetched again', async (t) => {
  const { server, bench } = await aScene(t);
  server.behave({ cutAfterBytes: index.length + 2_000_000 });
  await assert.rejects(bench.start().write());
  const slot = readFileSync(bench.slots.paths.b);
  slot[300_000] = (slot[300_000] ?? 0) ^ 1;
  writeFileSync(bench.slots.paths.b, slot);
  server.behave({});
  await bench.start().write();
  assert.equal((await bench.start().verify()).status, 'verified');
  requireWhole(bench.slots.paths.b);
  const twice = server.sentBytes(imagePath) - missingBytes;
  // The chunks in flight when the link broke, and the one that rotted.
  assert.ok(twice <= mebibyte, `${twice} bytes twice`);
});
