import assert from 'node:assert/strict';
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type FactsOptions, readFacts } from '../../../agent/adapters/device-facts.ts';
import { createSlotDevices, type LocalSlotDevices } from '../../../agent/adapters/slot-device.ts';
import { createModelControl } from '../../../bootctl/model-control.ts';

const slotBytes = 1 << 20;
const never = new AbortController().signal;

const makeSlot = async (path: string): Promise<void> => {
  await writeFile(path, '');
  await truncate(path, slotBytes);
};

/** Slot a is there and runs; slot b is not there yet. `onLook` is called before each look at slot b. */
const aDevice = async (t: TestContext, onLook: (pathB: string, looks: number) => Promise<void>) => {
  const folder = await mkdtemp(join(tmpdir(), 'otad-facts-'));
  t.after(() => rm(folder, { recursive: true }));
  const paths = { a: join(folder, 'a'), b: join(folder, 'b') };
  await makeSlot(paths.a);
  const real = createSlotDevices({ paths, bootedSlot: () => 'a' });
  let looks = 0;
  const slots: LocalSlotDevices = {
    ...real,
    sizeBytes: async (slot) => {
      looks += slot === 'b' ? 1 : 0;
      if (slot === 'b') await onLook(paths.b, looks);
      return real.sizeBytes(slot);
    },
  };
  const cell = { read: () => null, write: () => undefined };
  const boot = createModelControl(cell, () => ({ slot: 'a', root: null, evidence: ['TEST'] }));
  return { boot, slots, bootId: 'boot', bootedRelease: null, problems: [] } satisfies FactsOptions;
};

test('a slot that appears late is waited for, and counts with its whole size', async (t) => {
  const device = await aDevice(t, (path, looks) => (looks === 2 ? makeSlot(path) : Promise.resolve()));
  const facts = await readFacts(device, never);
  assert.deepEqual(facts.slotSizeBytes, { a: slotBytes, b: slotBytes });
  assert.deepEqual(facts.problems, []);
});

test('a slot that stays away is a problem to show and nothing fits into it', async (t) => {
  const device = await aDevice(t, () => Promise.resolve());
  const facts = await readFacts({ ...device, slotWaitMs: 1 }, never);
  assert.deepEqual(facts.slotSizeBytes, { a: slotBytes, b: 0 });
  assert.deepEqual(
    facts.problems.map(({ code }) => code),
    ['SLOT_MISSING'],
  );
});

test('the wait for a slot ends when otad is stopped', async (t) => {
  const stop = new AbortController();
  const device = await aDevice(t, async () => stop.abort());
  await assert.rejects(readFacts(device, stop.signal), { code: 'CANCELLED' });
});
