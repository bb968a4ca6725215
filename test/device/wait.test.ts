import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EmulatorDied, NoAnswer } from './lab/verdict.ts';
import { type Signs, waitWithSigns } from './lab/wait.ts';

const minuteMs = 60_000;
const wait = { what: 'the next boot', limitMs: minuteMs };

const signs = (changes: Partial<Signs> = {}): Signs => ({
  console: { lastHeardMs: () => performance.now(), changed: async () => undefined },
  lines: () => 0,
  noEvidence: () => null,
  askEmulator: async () => undefined,
  ...changes,
});

test('waits until there is an answer, and gives it, also one that says no', async () => {
  let asked = 0;
  const answer = await waitWithSigns(signs(), wait, () => {
    asked += 1;
    return asked === 3 ? false : null;
  });
  assert.deepEqual([answer, asked], [false, 3]);
});

test('an answer that is there counts, whatever became of the emulator', async () => {
  assert.equal(await waitWithSigns(signs({ noEvidence: () => 'it is gone' }), wait, () => 'there'), 'there');
});

test('an emulator that is gone is no answer of the gateway', async () => {
  const lost = waitWithSigns(signs({ noEvidence: () => 'it is gone' }), wait, () => null);
  await assert.rejects(
    lost,
    (error) => error instanceof EmulatorDied && error.message === 'it is gone, while waiting for the next boot',
  );
});

test('a gateway that talks and never gets there has its limit', async () => {
  const late = waitWithSigns(signs(), { ...wait, limitMs: 0 }, () => null);
  await assert.rejects(late, (error) => error instanceof NoAnswer && /^the next boot: not within/.test(error.message));
});

test('silence is the fault of the gateway only where the emulator answers', async (t) => {
  const silent = { lastHeardMs: () => 0, changed: async () => undefined };
  let nowMs = 0;
  t.mock.method(performance, 'now', () => {
    nowMs += minuteMs;
    return nowMs;
  });
  const long = { ...wait, limitMs: 60 * minuteMs };
  const hangs = waitWithSigns(signs({ console: silent }), long, () => null);
  await assert.rejects(
    hangs,
    (error) => error instanceof NoAnswer && /^the gateway hangs: not a word/.test(error.message),
  );
  const askEmulator = () => Promise.reject(new EmulatorDied('its monitor is silent'));
  await assert.rejects(
    waitWithSigns(signs({ console: silent, askEmulator }), long, () => null),
    /its monitor is silent/,
  );
});
