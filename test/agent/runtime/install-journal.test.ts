// What the journal hears of an install: few lines, each with what came by which way, and what an attempt brought that failed.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { OtadError } from '../../../agent/core/errors.ts';
import type { Installer, TransferNote } from '../../../agent/core/ports.ts';
import type { Progress } from '../../../agent/core/types.ts';
import { withJournal } from '../../../agent/runtime/install-journal.ts';
import { noise } from '../../support/noise.ts';
import {
  anArtifact,
  anInstall,
  aRelease,
  createFakeSource,
  createFileSlots,
  isCode,
  type Misbehaviour,
  rootOf,
} from '../../support/slot-bench.ts';

const root = mkdtempSync(join(tmpdir(), 'otad-journal-'));
after(() => rmSync(root, { recursive: true }));
const { signal } = new AbortController();
const mebibyte = 1024 * 1024;
const image = noise(8 * mebibyte + 4096);
const release = aRelease(anArtifact(image));
const quiet = (): void => {};

interface Line {
  readonly note: TransferNote;
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** A real install from a source that sends `bytesPerS`, whatever time it is here. */
const aBench = (bytesPerS: number, misbehaviour: () => Misbehaviour = () => ({})) => {
  const lines: Line[] = [];
  const seen: Progress[] = [];
  const clock = { ms: 0 };
  const monoMs = (): number => clock.ms;
  const onChunk = (bytes: number): void => {
    clock.ms += (1000 * bytes) / bytesPerS;
  };
  const chunkBytes = 48_000;
  const { source, served } = createFakeSource(image, () => ({
    chunkBytes,
    ...misbehaviour(),
    onChunk: () => onChunk(chunkBytes),
  }));
  const slots = createFileSlots(mkdtempSync(join(root, 'slots-')), 16 * mebibyte);
  const log = {
    transfer: (note: TransferNote, message: string, fields: Line['fields']) =>
      void lines.push({ note, message, fields }),
  };
  const install = withJournal(anInstall({ slots: slots.devices, source, monoMs }), { monoMs, log });
  const write = () => install.write({ slot: 'b', release }, signal, (progress) => void seen.push(progress));
  return { install, write, lines, seen, served };
};

test('a slow install writes a line every ten percent, with what came by which way, the rate and the time left', async () => {
  const { write, lines } = aBench(50_000);
  await write();
  assert.deepEqual(
    lines.map(({ note, fields }) => [note, Math.floor(Number(fields.percent) / 10)]),
    [1, 2, 3, 4, 5, 6, 7, 8, 9].map((tenth) => ['install-progress', tenth]),
  );
  const half = lines[4];
  assert.match(
    half?.message ?? '',
    /^[\w.]+ in slot b, streamed: 50 %, 4\.\d MiB fetched, 4\d\.\d KiB\/s, 8\d s left\.$/,
  );
  const { fetchedBytes, copiedBytes, rebuiltBytes, savedBytes, bytesPerS, secondsLeft } = half?.fields ?? {};
  assert.ok(Number(fetchedBytes) > 4 * mebibyte && Number(fetchedBytes) < 4.3 * mebibyte);
  assert.deepEqual([copiedBytes, rebuiltBytes, savedBytes], [0, 0, 0]);
  assert.ok(Math.abs(Number(bytesPerS) - 50_000) < 1000, String(bytesPerS));
  assert.ok(Number(secondsLeft) > 70 && Number(secondsLeft) < 90, String(secondsLeft));
});

test('lines are ten seconds apart, and an install that is over sooner writes none', async () => {
  const fast = aBench(2 * mebibyte);
  await fast.write();
  await fast.install.verify({ slot: 'b', rootHex: rootOf(image) }, signal, quiet);
  assert.deepEqual(fast.lines, []);
  const middling = aBench(image.length / 35);
  await middling.write();
  // To a piece of the stream: one that waits for a mark is told with the next.
  const percents = middling.lines.map(({ fields }) => Number(fields.percent));
  assert.deepEqual(
    percents.map((percent, at) => Math.abs(percent - ([29, 58, 86][at] ?? 0)) <= 1),
    [true, true, true],
  );
});

test('an attempt that fails says how many bytes it had fetched, to the byte, and the progress says the same', async () => {
  let calls = 0;
  const bench = aBench(100_000, () => {
    calls += 1;
    return calls === 1 ? { cutAfterBytes: 1_210_000 } : {};
  });
  await assert.rejects(bench.write(), isCode('HTTP_TRUNCATED'));
  const failed = bench.lines.at(-1);
  assert.equal(failed?.note, 'attempt-failed');
  assert.match(failed?.message ?? '', /^The attempt to bring [\w.]+ into slot b ended at 1\d %: 1\.2 MiB fetched\.$/);
  assert.equal(failed?.fields.code, 'HTTP_TRUNCATED');
  assert.equal(failed?.fields.fetchedBytes, 1_210_000);
  assert.equal(bench.seen.at(-1)?.fetchedBytes, 1_210_000);
  bench.lines.length = 0;
  await bench.write();
  assert.equal(Math.floor(Number(bench.lines[0]?.fields.percent) / 10), 2, 'it goes on where it was');
});

/** An installer that tells what is given to it, a minute apart. */
const telling = (progress: readonly Progress[], end: OtadError | null = null) => {
  const lines: Line[] = [];
  let ms = 0;
  const work = async (onProgress: (one: Progress) => void): Promise<never> => {
    for (const one of progress) {
      ms += 60_000;
      onProgress(one);
    }
    throw end ?? new OtadError('CANCELLED');
  };
  const installer = {
    write: (_request: unknown, _signal: unknown, onProgress: (one: Progress) => void) => work(onProgress),
    verify: (_request: unknown, _signal: unknown, onProgress: (one: Progress) => void) => work(onProgress),
  } as unknown as Installer;
  const log = {
    transfer: (note: TransferNote, message: string, fields: Line['fields']) =>
      void lines.push({ note, message, fields }),
  };
  return { install: withJournal(installer, { monoMs: () => ms, log }), lines };
};

const at = (step: Progress['step'], doneBytes: number, totalBytes = 100): Progress => ({
  ...{ slot: 'b', version: '1.1', step, doneBytes, totalBytes, fetchedBytes: 3, copiedBytes: 2048, rebuiltBytes: 1024 },
  ...{ savedBytes: 5, bytesPerS: null, secondsLeft: null, detour: null },
});

test('a line is told once for ten percent, again where the image begins anew, and never for the end', async () => {
  const told = [at('reading', 40), at('fetching', 45), at('fetching', 49), at('fetching', 55), at('fetching', 5)];
  const { install, lines } = telling([...told, at('fetching', 12), at('fetching', 100), at('fetching', 0, 0)]);
  await assert.rejects(install.write({ slot: 'b', release }, signal, quiet), isCode('CANCELLED'));
  assert.deepEqual(
    lines.map(({ note, fields }) => [note, fields.step, fields.percent]),
    [
      ['install-progress', 'reading', 40],
      ['install-progress', 'fetching', 45],
      ['install-progress', 'fetching', 55],
      ['install-progress', 'fetching', 12],
      ['attempt-failed', 'fetching', 0],
    ],
  );
  assert.equal(lines[1]?.message, '1.1 in slot b, streamed: 45 %, 1.0 KiB by patch, 2.0 KiB copied, 0.0 KiB fetched.');
});

test('reading back is told without bytes of the network, and its failure is left to the history', async () => {
  const { install, lines } = telling([at('verifying', 50)], new OtadError('SLOT_READBACK_MISMATCH'));
  await assert.rejects(
    install.verify({ slot: 'b', rootHex: rootOf(image) }, signal, quiet),
    isCode('SLOT_READBACK_MISMATCH'),
  );
  assert.deepEqual(
    lines.map(({ message }) => message),
    ['1.1 in slot b, read back: 50 %.'],
  );
});

test('an attempt that fails before it brought anything says nothing', async () => {
  const { install, lines } = telling([]);
  await assert.rejects(install.write({ slot: 'b', release }, signal, quiet), isCode('CANCELLED'));
  assert.deepEqual(lines, []);
});
