// The index of a large image over a link that breaks: what of it comes twice. Counted is what leaves the server.

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { OtadError } from '../../../agent/core/errors.ts';
import type { InstallPorts, ReleaseSource, ServedSink } from '../../../agent/core/ports.ts';
import { indexOffsetBytes } from '../../../agent/core/slot-layout.ts';
import { indexKeepBytes } from '../../../agent/runtime/index-fetch.ts';
import { treeLengthBytes } from '../../../verity/dm-verity.ts';
import {
  aDeltaBench,
  aMirrorSource,
  aTarget,
  dyingAt,
  imagePath,
  indexOf,
  indexPath,
  type Pieces,
} from '../../support/delta-bench.ts';
import { noise } from '../../support/noise.ts';
import { cutAtWrite } from '../../support/power-cut.ts';
import { aRangeServer } from '../../support/range-server.ts';

const chunkBytes = 64;
const image = Buffer.from(noise(2 * 1024 * 1024));
const cut = (bytes: Buffer): Pieces =>
  Array.from({ length: bytes.length / chunkBytes }, (_, at) => bytes.subarray(at * chunkBytes, (at + 1) * chunkBytes));
const index = indexOf(cut(image));
const old = Buffer.concat([noise(chunkBytes, 'other'), image.subarray(chunkBytes)]);
const running = { image: old, index: indexOf(cut(old)) };
const { artifact, files } = aTarget(image, index);
const block = 4096;
/** What is kept at once, and a piece of the socket: 384 KiB. */
const costBytesMax = indexKeepBytes + 128 * 1024;
const indexAt = indexOffsetBytes(image.length, treeLengthBytes(image.length));

const aScene = async (t: TestContext, options: { readonly slotBytes?: number; readonly mirrors?: number } = {}) => {
  const servers = [];
  for (let count = 0; count <= (options.mirrors ?? 0); count += 1) servers.push(await aRangeServer(t, files));
  const [server = assert.fail()] = servers;
  const source = aMirrorSource(
    t,
    servers.map(({ url }) => url),
  );
  const { slotBytes = 8 * 1024 * 1024 } = options;
  const before = options.slotBytes === undefined ? running : { image: old, index: null };
  const bench = aDeltaBench({ slotBytes, running: before, artifact, source });
  // What was in the slot before says nothing, and is not zero either.
  writeFileSync(bench.slots.paths.b, Buffer.alloc(slotBytes, 0xaa));
  const attempt = (over?: Partial<InstallPorts>): Promise<string> =>
    bench
      .start(over)
      .write()
      .then(
        () => 'done',
        (error: unknown) => (error instanceof OtadError ? error.code : String(error)),
      );
  const isWhole = async (): Promise<void> => {
    assert.equal((await bench.start().verify()).status, 'verified');
    assert.ok(readFileSync(bench.slots.paths.b).subarray(0, image.length).equals(image));
  };
  return { server, servers, source, bench, attempt, isWhole };
};

test('an index that never comes in one go comes in many, and each cut costs less than a block of it', async (t) => {
  const { server, bench, isWhole } = await aScene(t);
  // One process: it remembers how often the index broke.
  const install = bench.start();
  let cuts = 0;
  for (let isDone = false; !isDone; cuts += isDone ? 0 : 1) {
    server.behave({ cutAfterBytes: 40_000 });
    isDone = await install.write().then(
      () => true,
      () => false,
    );
    assert.ok(cuts < 40, 'it never ends');
  }
  await isWhole();
  assert.ok(cuts >= 16, String(cuts));
  const twice = server.sentBytes(indexPath) - index.length;
  assert.ok(twice >= 0 && twice <= cuts * block, `${twice} bytes in ${cuts} cuts`);
  // It was worth it: of the image one chunk came, with the gap behind it at the most.
  assert.ok(server.sentBytes(imagePath) <= 2 * chunkBytes, String(server.sentBytes(imagePath)));
  assert.deepEqual(bench.reasons(), []);
});

test('a process that dies costs 384 KiB of the index at the most: what is kept at once, and a piece of the socket', async (t) => {
  for (const writes of [2, 3, 4]) {
    const { server, bench, attempt, isWhole } = await aScene(t);
    assert.equal(await attempt({ slots: dyingAt(writes)(bench.slots.devices) }), 'SLOT_IO');
    const before = server.sentBytes(indexPath);
    assert.equal(await attempt(), 'done');
    await isWhole();
    const twice = server.sentBytes(indexPath) - index.length;
    assert.ok(before > 0 && twice <= costBytesMax, `${twice} twice after write ${writes}`);
  }
});

test('a power cut costs 384 KiB of the index at the most, on a medium that keeps nothing before it is told to', async (t) => {
  let costliest = 0;
  for (let at = 1; ; at += 1) {
    const { source, bench, attempt, isWhole } = await aScene(t);
    const cut = cutAtWrite(bench.slots.devices, at);
    // Counted on arrival: what is still on the way when the power goes is the link's.
    let arrivedBytes = 0;
    const stream: ReleaseSource['stream'] = (file, offsetBytes, sink, ...rest) => {
      const count: ServedSink = (piece, from) => {
        arrivedBytes += piece.length;
        return sink(piece, from);
      };
      return source.stream(file, offsetBytes, file.path === indexPath ? count : sink, ...rest);
    };
    const outcome = await attempt({ slots: cut.devices, source: { ...source, stream } });
    if (arrivedBytes >= index.length) break;
    assert.notEqual(outcome, 'done');
    assert.equal(await attempt({ source: { ...source, stream } }), 'done');
    await isWhole();
    const twice = arrivedBytes - index.length;
    costliest = Math.max(costliest, twice);
    assert.ok(twice <= costBytesMax, `${twice} bytes twice after a cut at write ${at}`);
  }
  assert.ok(costliest >= indexKeepBytes, `the cuts cost ${costliest} bytes at the most: they did not cut`);
});

test('what a power cut made of a kept index costs the index once more, and nobody is blamed', async (t) => {
  const { server, servers, bench, attempt, isWhole } = await aScene(t, { mirrors: 1 });
  for (const one of servers) one.behave({ cutAfterBytes: 100_000 });
  assert.notEqual(await attempt(), 'done');
  const slot = readFileSync(bench.slots.paths.b);
  slot.fill(0x55, indexAt + 2 * block, indexAt + 3 * block);
  writeFileSync(bench.slots.paths.b, slot);
  for (const one of servers) one.behave({});
  const before = server.sentBytes(indexPath);
  assert.equal(await attempt(), 'done');
  await isWhole();
  const again = server.sentBytes(indexPath) - before;
  assert.ok(again > index.length && again < 2 * index.length, String(again));
  assert.ok(server.sentBytes(imagePath) <= 2 * chunkBytes, String(server.sentBytes(imagePath)));
  assert.equal(servers[1]?.sentBytes(imagePath), 0);
  assert.deepEqual(bench.reasons(), []);
});

test('a server that sends another index is asked last, and no byte of that index stays', async (t) => {
  const { server, servers, bench, attempt, isWhole } = await aScene(t, { mirrors: 1 });
  server.behave({
    spoil: (path, _offset, bytes) => (path === indexPath ? Buffer.from(bytes.map((byte) => byte ^ 1)) : bytes),
  });
  assert.equal(await attempt(), 'done');
  await isWhole();
  assert.deepEqual(
    servers.map((one) => one.sentBytes(indexPath)),
    [index.length, index.length],
  );
  assert.equal(server.sentBytes(imagePath), 0);
  assert.deepEqual(bench.reasons(), []);
});

test('where the slot has no room for an index it comes from its beginning, and after three cuts the image does without', async (t) => {
  const { server, bench, attempt } = await aScene(t, {
    slotBytes: indexAt + 2 * block + block,
  });
  const install = bench.start();
  for (let cuts = 1; cuts < 3; cuts += 1) {
    server.behave({ cutAfterBytes: 40_000 });
    await assert.rejects(install.write());
  }
  server.behave({ cutAfterBytes: 40_000 });
  await assert.rejects(install.write());
  server.behave({});
  assert.equal(await attempt(), 'done');
  assert.match(bench.reasons().join('; '), /chunk index cannot be had/);
});
