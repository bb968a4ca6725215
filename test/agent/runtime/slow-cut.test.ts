// What a cut costs at most on a slow link: one chunk, or what the link brings in a second where that is more. The power goes, or the
// process dies, at any write and at any byte; and a fast link is told apart, which marks no more often than by its amount.

import assert from 'node:assert/strict';
import { readFileSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { test } from 'node:test';
import type { SlotDevices } from '../../../agent/core/ports.ts';
import { markBytesMin } from '../../../agent/runtime/mark-pace.ts';
import { aDeltaBench, aTarget, dyingAt, imagePath, indexOf, pieces } from '../../support/delta-bench.ts';
import { cutAtWrite } from '../../support/power-cut.ts';
import { aSlowLink } from '../../support/slow-link.ts';

const mebibyte = 1024 * 1024;
const never = Number.POSITIVE_INFINITY;
const blockBytes = 4096;
const byteStep = 53_001;

/** Chunks of very different lengths, as an image has them. */
const chunksOf = (prefix: string, count: number) =>
  pieces(
    ...Array.from(
      { length: count },
      (_, at) => [`${prefix}${at}`, [120_011, 30_007, 90_001, 131_072, 17_003][at % 5] ?? 0] as const,
    ),
  );
const held = chunksOf('h', 8);
const wanted = [...held.slice(0, 3), ...chunksOf('n', 9), ...held.slice(5)];
const others = chunksOf('o', 2);

interface Way {
  readonly running: typeof held;
  readonly wanted: typeof held;
  readonly hasIndex: boolean;
}

const ways = {
  'the whole image': { running: others, wanted: chunksOf('w', 9), hasIndex: false },
  'the whole image, checked by its index': { running: others, wanted: chunksOf('w', 9), hasIndex: true },
  'by index': { running: held, wanted, hasIndex: true },
} as const satisfies Readonly<Record<string, Way>>;

type Link = ReturnType<typeof aSlowLink>;
type Spoil = (devices: SlotDevices, link: Link) => SlotDevices;

/** A gateway at the end of such a link, whose every install is a process of its own. */
const aGateway = ({ running, wanted: chunks, hasIndex }: Way, bytesPerSecond: number, flushMs = 0) => {
  const whole = Buffer.concat(chunks);
  const { artifact, files } = aTarget(whole, hasIndex ? indexOf(chunks) : null);
  const own = { image: Buffer.concat(running), index: indexOf(running) };
  const bench = aDeltaBench({ slotBytes: 8 * mebibyte, running: own, artifact, source: aSlowLink(files, 1).source });
  const { paths, devices } = bench.slots;
  const install = async (spoil: Spoil = (slots) => slots) => {
    const link = aSlowLink(files, bytesPerSecond, flushMs);
    // Under every spoiled medium one that is quick to flush.
    const slots = link.watched(spoil(cutAtWrite(devices, never).devices, link));
    const ports = { source: link.source, monoMs: link.monoMs, slots };
    const isDone = await bench
      .start(ports)
      .write()
      .then(
        () => true,
        () => false,
      );
    return { isDone, sentBytes: link.sentBytes(imagePath), tookMs: link.monoMs() };
  };
  return {
    install,
    isWhole: () => readFileSync(paths.b).subarray(0, whole.length).equals(whole),
    remove: () => rmSync(dirname(paths.b), { recursive: true }),
  };
};

/** How the first process ends, at one of its writes or after so many bytes. */
const ends = {
  'the power goes at a write': (at) => (devices) => cutAtWrite(devices, at).devices,
  'the process dies at a write': (at) => (devices) => dyingAt(at)(devices),
  'the power goes at a byte': (at) => (devices, link) => {
    const cut = cutAtWrite(devices, never);
    link.endAfter(at * byteStep, cut.cut);
    return cut.devices;
  },
} as const satisfies Readonly<Record<string, (at: number) => Spoil>>;

/** The most that such ends cost, wherever they come. */
const costliest = async (way: Way, bytesPerSecond: number, end: (at: number) => Spoil): Promise<number> => {
  let most = 0;
  const sound = aGateway(way, bytesPerSecond);
  const { sentBytes: neededBytes } = await sound.install();
  sound.remove();
  for (let at = 1, isDone = false; !isDone; at += 1) {
    const gateway = aGateway(way, bytesPerSecond);
    const cut = await gateway.install(end(at));
    const after = await gateway.install();
    assert.ok(after.isDone && gateway.isWhole());
    most = Math.max(most, cut.sentBytes + after.sentBytes - neededBytes);
    gateway.remove();
    ({ isDone } = cut);
  }
  return most;
};

const cuts: readonly (readonly [keyof typeof ways, keyof typeof ends, readonly number[]])[] = [
  ['the whole image', 'the power goes at a write', [50_000, 200_000]],
  ['the whole image, checked by its index', 'the power goes at a write', [50_000, 200_000]],
  ['the whole image, checked by its index', 'the power goes at a byte', [50_000]],
  ['by index', 'the power goes at a write', [50_000, 200_000]],
  ['by index', 'the process dies at a write', [50_000]],
  ['by index', 'the power goes at a byte', [200_000]],
];
for (const [name, what, rates] of cuts) {
  for (const bytesPerSecond of rates) {
    test(`${name}, at ${bytesPerSecond / 1000} KB a second: ${what}, and a chunk and a second are lost`, async (t) => {
      const most = await costliest(ways[name], bytesPerSecond, ends[what]);
      t.diagnostic(`${most} bytes`);
      assert.ok(most <= markBytesMin + bytesPerSecond + blockBytes, `${most} bytes twice`);
      assert.ok(most > markBytesMin / 2, `${most} bytes twice: nothing was cut`);
    });
  }
}

const largeChunks = chunksOf('l', 80);
const largeWays: Readonly<Record<string, Way>> = {
  'the whole image': { running: others, wanted: largeChunks, hasIndex: false },
  'the whole image, checked by its index': { running: others, wanted: largeChunks, hasIndex: true },
  'by index': { running: held, wanted: [...held.slice(0, 3), ...largeChunks, ...held.slice(3)], hasIndex: true },
};

for (const [name, way] of Object.entries(largeWays)) {
  test(`${name}: a link that brings more than a mark in a second costs not a flush more than one that takes no time`, async () => {
    const flushes: number[] = [];
    for (const bytesPerSecond of [never, 100e6, 2e6]) {
      const gateway = aGateway(way, bytesPerSecond);
      let counts = { flushes: 0 };
      await gateway.install((devices) => {
        const counting = cutAtWrite(devices, never);
        ({ counts } = counting);
        return counting.devices;
      });
      assert.ok(gateway.isWhole());
      gateway.remove();
      flushes.push(counts.flushes);
    }
    assert.deepEqual(flushes, Array(3).fill(flushes[0]));
    // A mark for each MiB of the image, and one for each that was fetched; record and end besides.
    const marksMax = 2 * Math.ceil(Buffer.concat(way.wanted).length / mebibyte) + 3;
    assert.ok(Number(flushes[0]) <= 2 * marksMax, `${flushes[0]} flushes`);
  });
}

for (const [name, way] of Object.entries(largeWays)) {
  for (const bytesPerSecond of [200_000, 2_000_000]) {
    test(`${name}, at ${bytesPerSecond / 1000} KB a second: a medium whose mark takes more than a second costs marks by amount, and a fifth`, async (t) => {
      const flushMs = 600;
      const gateway = aGateway(way, bytesPerSecond, flushMs);
      const { isDone, sentBytes, tookMs } = await gateway.install();
      assert.ok(isDone && gateway.isWhole());
      gateway.remove();
      // One for each MiB of the image; record and end besides.
      const marks = Math.ceil(Buffer.concat(way.wanted).length / mebibyte) + 3;
      const neededMs = (sentBytes * 1000) / bytesPerSecond + 2 * flushMs * marks;
      t.diagnostic(`${Math.round(tookMs)} ms, of ${Math.round(neededMs)} ms without marks by time`);
      assert.ok(tookMs <= 1.25 * neededMs, `${tookMs} ms instead of ${neededMs}`);
    });
  }
}
