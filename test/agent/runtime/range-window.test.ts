import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OtadError } from '../../../agent/core/errors.ts';
import type { ByteRange, ReleaseSource } from '../../../agent/core/ports.ts';
import { createLinkPace } from '../../../agent/runtime/link-pace.ts';
import { aheadBytesMax, createRangeWindow, requestsInFlightMax } from '../../../agent/runtime/range-window.ts';
import { fetchFar } from '../../support/far-link.ts';
import { anArtifact, isCode, streamOnly } from '../../support/slot-bench.ts';

interface Asked {
  readonly range: ByteRange;
  readonly sink: (bytes: Uint8Array, server?: string) => void;
  readonly end: (error?: Error) => void;
}

/** A source whose answers the test gives piece by piece, at the end of a link that has just brought so much. */
const aBench = (broughtBytes = 2 * aheadBytesMax) => {
  const clock = { ms: 0 };
  const pace = createLinkPace(() => clock.ms);
  pace.note(broughtBytes);
  const asked: Asked[] = [];
  const source: ReleaseSource = {
    ...streamOnly,
    check: () => Promise.reject(new OtadError('INTERNAL')),
    stream: () => Promise.reject(new OtadError('INTERNAL')),
    streamRange: (_artifact, range, sink, signal) =>
      new Promise((resolve, reject) => {
        const end = (error?: Error) => (error === undefined ? resolve() : reject(error));
        signal.addEventListener('abort', () => reject(new OtadError('CANCELLED')));
        asked.push({ range, sink: (bytes, server = 'server') => sink(bytes, server), end });
      }),
  };
  let fetchedBytes = 0;
  let droppedBytes = 0;
  const window = createRangeWindow({
    source,
    file: anArtifact(Buffer.alloc(4096)),
    pace,
    onFetched: (bytes) => {
      fetchedBytes += bytes;
    },
    onDropped: (bytes) => {
      droppedBytes += bytes;
    },
    signal: new AbortController().signal,
  });
  return { window, clock, pace, asked, fetched: () => fetchedBytes, dropped: () => droppedBytes };
};

test('as many requests as are allowed run at once, and no more', async () => {
  const { window } = aBench();
  for (let count = 0; count < requestsInFlightMax; count += 1) {
    assert.equal(window.hasRoom(10), true);
    window.start({ offsetBytes: count * 10, lengthBytes: 10 });
  }
  assert.equal(window.hasRoom(10), false);
  await window.close();
});

test('memory ahead is bounded, until it is taken; a single request always has room', async () => {
  const { window } = aBench();
  assert.equal(window.hasRoom(2 * aheadBytesMax), true);
  const pending = window.start({ offsetBytes: 0, lengthBytes: aheadBytesMax - 10 });
  assert.equal(window.hasRoom(10), true);
  assert.equal(window.hasRoom(11), false);
  for (const takenBytes of [100, 100, 50]) pending.taken(takenBytes);
  assert.equal(window.hasRoom(110), true);
  assert.equal(window.hasRoom(111), false);
  for (const takenBytes of [aheadBytesMax - 10, 50]) pending.taken(takenBytes);
  assert.equal(window.hasRoom(2 * aheadBytesMax), true);
  await window.close();
});

test('a slow link has one request under way, and the next one when the first will be here within half a second', async () => {
  const { window, clock, asked } = aBench(0);
  const pending = window.start({ offsetBytes: 0, lengthBytes: 190_000 });
  for (let second = 1; second <= 3; second += 1) {
    asked[0]?.sink(Buffer.alloc(50_000));
    clock.ms += 1000;
    pending.taken(second * 10_000);
    assert.equal(window.hasRoom(190_000), false, `after ${second} seconds`);
  }
  asked[0]?.sink(Buffer.alloc(14_999));
  assert.equal(window.hasRoom(190_000), false);
  asked[0]?.sink(Buffer.alloc(1));
  assert.equal(window.hasRoom(190_000), true);
  await window.close();
});

test('a fast link has all the requests that are allowed under way within a few requests', async () => {
  const { window, clock, asked } = aBench(0);
  const requestBytes = 192_000;
  const ahead: ReturnType<typeof window.start>[] = [];
  let widest = 0;
  for (let done = 0; done < 8; done += 1) {
    while (window.hasRoom(requestBytes)) ahead.push(window.start({ offsetBytes: 0, lengthBytes: requestBytes }));
    widest = Math.max(widest, ahead.length);
    clock.ms += 150; // 10 Mbit/s
    asked[done]?.sink(Buffer.alloc(requestBytes));
    asked[done]?.end(new OtadError('CANCELLED'));
    ahead.shift()?.taken(requestBytes);
    await new Promise(setImmediate);
  }
  assert.equal(widest, requestsInFlightMax);
  await window.close();
});

test('a link that was silent for long begins with one request again', async () => {
  const { window, clock, pace } = aBench();
  window.start({ offsetBytes: 0, lengthBytes: 100_000 });
  assert.equal(window.hasRoom(100_000), true);
  clock.ms += 60_000;
  assert.ok(pace.secondBytes() < 100_000);
  assert.equal(window.hasRoom(100_000), false);
  await window.close();
});

test('bytes are there as soon as they have arrived, and what arrived before an end stays', async () => {
  const { window, asked, fetched } = aBench();
  const pending = window.start({ offsetBytes: 100, lengthBytes: 10 });
  const first = pending.arrived(4);
  asked[0]?.sink(Buffer.from('abcd'));
  await first;
  assert.equal(Buffer.from(pending.bytes.subarray(0, 4)).toString(), 'abcd');
  asked[0]?.end(new OtadError('HTTP_TRUNCATED'));
  await assert.rejects(pending.arrived(5), isCode('HTTP_TRUNCATED'));
  await pending.arrived(4);
  assert.equal(fetched(), 4);
  await window.close();
});

test("the bytes of a request are one server's: from another one they come from the first byte again", async () => {
  const { window, asked, fetched, dropped } = aBench();
  const pending = window.start({ offsetBytes: 0, lengthBytes: 4 });
  asked[0]?.sink(Buffer.from('abc'), 'one');
  await pending.arrived(2);
  const taken = pending.bytes.subarray(0, 2);
  asked[0]?.sink(Buffer.from('AB'), 'two');
  assert.equal(Buffer.from(taken).toString(), 'ab', 'what was taken stays as it is');
  const rest = pending.arrived(3);
  asked[0]?.sink(Buffer.from('CD'), 'two');
  await rest;
  assert.equal(Buffer.from(pending.bytes).toString(), 'ABCD');
  assert.deepEqual([pending.server, fetched(), dropped()], ['two', 7, 3]);
  await window.close();
});

test('a source that sends more than was asked for is refused, one that ends early is noticed', async () => {
  const { window, asked } = aBench();
  const pending = window.start({ offsetBytes: 0, lengthBytes: 3 });
  assert.throws(() => asked[0]?.sink(Buffer.alloc(4)), isCode('FILE_TOO_LARGE'));
  asked[0]?.end();
  await assert.rejects(pending.arrived(3), isCode('HTTP_TRUNCATED'));
  await window.close();
});

for (const latencyMs of [600, 1000]) {
  for (const requestBytes of [40_000, 190_000]) {
    test(`latency does not keep a link idle: ${latencyMs} ms at 10 Mbit/s, by requests of ${requestBytes} bytes`, async (t) => {
      const requests = 60;
      const { seconds } = await fetchFar({ latencyMs, bytesPerSecond: 1.25e6, requestBytes, requests });
      // As many at once as are allowed, from the first one on.
      const roundMs = Math.max(latencyMs + requestBytes / 1250, (requestsInFlightMax * requestBytes) / 1250);
      const neededS = (requests / requestsInFlightMax) * (roundMs / 1000);
      t.diagnostic(`${seconds.toFixed(1)} s, of ${neededS.toFixed(1)} s`);
      assert.ok(seconds <= 1.5 * neededS, `${seconds} s instead of ${neededS}`);
    });
  }
}

for (const latencyMs of [50, 600, 1000]) {
  for (const bytesPerSecond of [50_000, 200_000]) {
    test(`on a slow link half a second of it is here early: ${bytesPerSecond / 1000} KB a second, ${latencyMs} ms`, async (t) => {
      const { earlyBytesMax } = await fetchFar({ latencyMs, bytesPerSecond, requestBytes: 190_000, requests: 20 });
      t.diagnostic(`${earlyBytesMax} bytes`);
      assert.ok(earlyBytesMax <= 0.6 * bytesPerSecond + 3 * 4096, `${earlyBytesMax} bytes`);
    });
  }
}
