// Fault model: a body that goes on after pause(), a little or for ever.

import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { deliverBody } from '../../../agent/adapters/body-delivery.ts';
import { isCode } from '../../support/slot-bench.ts';

const mebibyte = 1024 * 1024;
const pace = { minRateBytesPerS: 0, rateWindowMs: 60_000, idleTimeoutMs: 60_000, limit: null };

/** A sink that takes a piece when the test says so, and a body that emits whatever was paused. */
const aDelivery = (t: TestContext) => {
  const body = new Readable({ read: () => undefined });
  const taken: number[] = [];
  const waiting: (() => void)[] = [];
  const sink = (bytes: Uint8Array): Promise<void> => {
    taken.push(bytes[0] ?? -1);
    return new Promise((resolve) => waiting.push(resolve));
  };
  t.after(async () => {
    body.destroy();
    await new Promise(setImmediate);
    for (const resolve of waiting) resolve();
  });
  const done = deliverBody(body, sink, pace, () => undefined);
  done.catch(() => undefined);
  const emit = (name: number, lengthBytes: number) => void body.emit('data', Buffer.alloc(lengthBytes, name));
  const take = async (): Promise<void> => {
    waiting.shift()?.();
    await new Promise(setImmediate);
  };
  return { body, taken, done, emit, take };
};

test('what comes after pause() waits for its turn, 8 MiB at once and more in all', async (t) => {
  const { body, taken, done, emit, take } = aDelivery(t);
  for (const name of [0, 1, 2]) emit(name, 4 * mebibyte);
  assert.ok(body.isPaused());
  await take();
  emit(3, 4 * mebibyte);
  for (let count = 0; count < 3; count += 1) await take();
  assert.deepEqual(taken, [0, 1, 2, 3]);
  body.emit('end');
  assert.equal(await done, 16 * mebibyte);
});

test('a body that goes on and on after pause() is ended, and no piece that waited is taken', async (t) => {
  const { body, taken, done, emit, take } = aDelivery(t);
  emit(0, 1);
  emit(1, 8 * mebibyte);
  assert.ok(!body.destroyed);
  emit(2, 1);
  assert.ok(body.destroyed);
  await take();
  await assert.rejects(done, isCode('INTERNAL'));
  assert.deepEqual(taken, [0]);
});
