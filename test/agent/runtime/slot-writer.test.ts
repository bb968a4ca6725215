import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { installTargetOf } from '../../../agent/runtime/install-target.ts';
import { markBytesMin, markEveryMs, markPauseFactor } from '../../../agent/runtime/mark-pace.ts';
import { transferBytes } from '../../../agent/runtime/slot-medium.ts';
import { type Mark, SlotWriter } from '../../../agent/runtime/slot-writer.ts';
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
  /** What a mark takes of the clock's time. */
  const medium = { markMs: 0 };
  const checkpoint = async (mark: Mark): Promise<void> => {
    marks.push(mark);
    clock.ms += medium.markMs;
  };
  const sealing = createSealing();
  const ports = { handle, sealing, monoMs: () => clock.ms, checkpointBytes: image.length, checkpoint };
  const writer = new SlotWriter(ports, installTargetOf(aRelease(anArtifact(image)), sealing));
  const push = async (lengthBytes: number): Promise<void> => {
    await writer.push(image.subarray(writer.arrivedBytes, writer.arrivedBytes + lengthBytes));
  };
  return { writer, push, clock, medium, marked: () => marks.map(({ writtenBytes }) => writtenBytes) };
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
  await writer.writeOut(false);
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
  await writer.markIfDue(markBytesMin);
  clock.ms += markEveryMs;
  await push(markBytesMin - 1);
  await writer.writeOut(false);
  assert.deepEqual(marked(), []);
});

test('where the medium is slower than the link marks come by amount alone: they would slow it further', async (t) => {
  const { writer, push, clock, marked } = await aWriter(t);
  await push(transferBytes);
  clock.ms = 10 * markEveryMs;
  await push(transferBytes); // waits for the first one, which the medium has not taken yet
  await writer.writeOut(false);
  clock.ms += markEveryMs - 1;
  await push(transferBytes / 2);
  await writer.markIfDue(markBytesMin);
  await writer.writeOut(false);
  assert.deepEqual(marked(), []);
});

test('a link that turns slow is marked by time again a second after it waited for the medium', async (t) => {
  const { push, clock, marked, writer } = await aWriter(t);
  await push(transferBytes);
  await push(transferBytes);
  await writer.writeOut(false);
  clock.ms += markEveryMs;
  await push(4096);
  await writer.writeOut(false);
  assert.deepEqual(marked(), [2 * transferBytes + 4096]);
});

test('the time to the next mark begins when a mark is made, and is several times what that took', async (t) => {
  const { writer, push, clock, medium, marked } = await aWriter(t);
  medium.markMs = 1200;
  await push(markBytesMin);
  await writer.writeOut(true);
  clock.ms += markPauseFactor * medium.markMs - 1;
  await push(markBytesMin);
  await writer.writeOut(false);
  await writer.markIfDue(markBytesMin);
  assert.deepEqual(marked(), [markBytesMin]);
  medium.markMs = 0;
  clock.ms += 1;
  await writer.markIfDue(0);
  assert.deepEqual(marked(), [markBytesMin, 2 * markBytesMin]);
  clock.ms += markEveryMs;
  await push(markBytesMin);
  await writer.markIfDue(0);
  assert.equal(marked().length, 3);
});

test('what no network brought is not marked by time, and what came before it is', async (t) => {
  const { writer, push, clock, marked } = await aWriter(t);
  const own = async (lengthBytes: number): Promise<void> => {
    await writer.pushOwn(image.subarray(writer.arrivedBytes, writer.arrivedBytes + lengthBytes));
    await writer.markIfDue(markBytesMin);
  };
  clock.ms = 10 * markEveryMs;
  await own(2 * markBytesMin);
  await own(markBytesMin);
  assert.deepEqual(marked(), []);
  await push(100);
  assert.deepEqual(marked(), []);
  await own(3996);
  assert.deepEqual(marked(), [3 * markBytesMin + 4096]);
});
