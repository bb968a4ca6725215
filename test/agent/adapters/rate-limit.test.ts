// The bandwidth limit on a clock that only moves when somebody waits: what counts is how long all waits are together.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, test } from 'node:test';
import { createHttpClient, defaultHttpSettings } from '../../../agent/adapters/http.ts';
import { createRateLimit, type RateClock } from '../../../agent/adapters/rate-limit.ts';
import { aServer, serveFiles } from '../../support/loopback-server.ts';

const never = new AbortController().signal;

const aClock = () => {
  let nowMs = 0;
  const waits: number[] = [];
  const clock: RateClock = {
    nowMs: () => nowMs,
    wait: async (delayMs) => {
      waits.push(delayMs);
    },
  };
  const pass = (ms: number): void => {
    nowMs += ms;
  };
  return { clock, waits, pass };
};

describe('a bandwidth limit', () => {
  test('holds each piece back for as long as it takes at the allowed rate', () => {
    const { clock, waits, pass } = aClock();
    const limit = createRateLimit(1000, clock);
    for (let piece = 0; piece < 10; piece += 1) {
      assert.notEqual(limit.pay(100, never), null);
      pass(100);
    }
    assert.deepEqual(
      waits,
      Array.from({ length: 10 }, () => 100),
    );
  });

  test('is one for all streams: each waits behind what the others took', () => {
    const { clock, waits } = aClock();
    const limit = createRateLimit(1000, clock);
    for (let stream = 0; stream < 4; stream += 1) limit.pay(100, never);
    assert.deepEqual(waits, [100, 200, 300, 400]);
  });

  test('saves nothing up while the line is idle', () => {
    const { clock, waits, pass } = aClock();
    const limit = createRateLimit(1000, clock);
    pass(3_600_000);
    limit.pay(500, never);
    limit.pay(500, never);
    assert.deepEqual(waits, [500, 1000]);
  });

  test('adds up waits that no timer can make, and loses none', () => {
    const { clock, waits } = aClock();
    const limit = createRateLimit(1_000_000, clock);
    for (let piece = 0; piece < 100; piece += 1) limit.pay(100, never);
    assert.ok(waits.length > 0 && Math.abs((waits.at(-1) ?? 0) - 10) < 1e-9, String(waits.at(-1)));
  });

  test('lets go at once when the stream has ended', async () => {
    const ending = new AbortController();
    const paying = createRateLimit(1).pay(1_000_000, ending.signal);
    ending.abort();
    await paying;
  });

  test('spans the connections of a client, whose servers do not count as slow meanwhile', async (t) => {
    const bytes = randomBytes(40_000);
    const server = await aServer(t, serveFiles(new Map([['file', bytes]])));
    const bytesPerSMax = 200_000;
    const http = createHttpClient({
      ...defaultHttpSettings,
      bytesPerSMax,
      minRateBytesPerS: 190_000,
      rateWindowMs: 40,
    });
    t.after(() => http.close());
    const startMs = performance.now();
    let received = 0;
    const sink = (piece: Uint8Array): void => {
      received += piece.length;
    };
    const stream = () =>
      http.streamRange(`${server.url}/file`, { offset: 0, lengthTotal: bytes.length, sink, signal: never });
    await Promise.all([stream(), stream()]);
    assert.equal(received, 80_000);
    // A lower bound only: a busy machine takes longer, never less.
    const leastMs = (1000 * 80_000) / bytesPerSMax;
    assert.ok(performance.now() - startMs >= leastMs - 20, `${performance.now() - startMs} ms`);
  });
});
