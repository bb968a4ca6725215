import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { installTargetOf } from '../../../agent/runtime/install-target.ts';
import { transferBytes } from '../../../agent/runtime/slot-medium.ts';
import { type Mark, markBytesMin, markEveryMs, SlotWriter } from '../../../agent/runtime/slot-writer.ts';
import { createSealing } from '../../../verity/sealing.ts';
import { noise } from '../../support/noise.ts';
import { anArtifact, aRelease, createFileSlots } from '../../support/slot-bench.ts';

const image = noise(3 * transferBytes);
const { signal } = new AbortController();

const aWriter = async (t: TestContext) => {
  const root = mkdtempSync(join(tmpdir(), 'otad-writer-'));
  t.after(() => rmSync(root, { recursive: true }));
  const handle = await createFileSlots(root, 2 * image.length).devices.open('b', signal);
  t.after(() => handle.close());
  const clock = { ms: 0 };
  const marks: Mark[] = [];
  const checkpoint = async (mark: Mark): Promise<void> => void marks.push(mark);
  const sealing = createSealing();
  const ports = { handle, sealing, monoMs: () => clock.ms, checkpointBytes: image.length, checkpoint };
  const writer = new SlotWriter(ports, installTargetOf(aRelease(anArtifact(image)), sealing));
  const push = async (lengthBytes: number): Promise<void> => {
    await writer.push(image.subarray(writer.arrivedBytes, writer.arrivedBytes + lengthBytes));
  };
  return { writer, push, clock, marked: () => marks.map(({ writtenBytes }) => writtenBytes) };
};

test('what the medium has taken can be marked though less than a block waits in memory', async (t) => {
  const { writer, push, marked } = await aWriter(t);
  await push(transferBytes);
  await push(100);
  await writer.writeOut(true);
  await writer.writeOut(true);
  assert.deepEqual(marked(), [transferBytes]);
  await push(transferBytes - 100);
  assert.equal(writer.arrivedBytes, 2 * transferBytes);
});

test('a mark comes a second after the one before it, with whole blocks, and not for less than a chunk', async (t) => {
  const { writer, push, clock, marked } = await aWriter(t);
  clock.ms = 10 * markEveryMs;
  await push(markBytesMin - 1);
  assert.deepEqual(marked(), []);
  await push(50);
  clock.ms += markEveryMs - 1;
  await push(markBytesMin);
  await writer.writeOut(false);
  assert.deepEqual(marked(), [markBytesMin]);
  clock.ms += 1;
  await push(1);
  await writer.writeOut(false);
  assert.deepEqual(marked(), [markBytesMin, 2 * markBytesMin]);
});

test('bytes that stand on the medium already are marked, and wait for nothing', async (t) => {
  const { writer, push, clock, marked } = await aWriter(t);
  clock.ms = 10 * markEveryMs;
  await writer.adopt(image.slice(0, transferBytes), transferBytes);
  assert.equal(writer.isMarkDue(markBytesMin), false);
  clock.ms += markEveryMs;
  await push(markBytesMin - 1);
  await writer.writeOut(false);
  assert.deepEqual(marked(), []);
});

test('where the medium is slower than the link marks come by amount alone: they would slow it further', async (t) => {
  const { writer, push, clock, marked } = await aWriter(t);
  await push(transferBytes);
  await push(transferBytes); // waits for the first one, which the medium has not taken yet
  clock.ms += 10 * markEveryMs;
  await push(transferBytes / 2);
  await writer.writeOut(false);
  assert.equal(writer.isMarkDue(markBytesMin), false);
  assert.deepEqual(marked(), []);
});
