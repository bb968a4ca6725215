import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pairLines, wireRowNames, wireRows } from './wire-rows.ts';

const megabyte = 1024 * 1024;
const update = (way: 'full' | 'index' | 'patch', wireBytes: number, detours: readonly string[] = []) => ({
  ...{ way, detours, wireBytes, downBytes: wireBytes, upBytes: 0, requests: 7 },
  ...{ fetchedBytes: 1, copiedBytes: 1, rebuiltBytes: 1, fillCpuS: 1.5, cpuS: 2, wallS: 3, peakMib: 90 },
});
const release = { wallS: 2, cpuS: 1, peakMib: 80, indexBytes: 40_960, patchBytes: null, problem: null };
const peer = (wireBytes: number) => ({ wireBytes, downBytes: wireBytes, upBytes: 0, requests: 30, with: 'x' });

const aPair = (patch: ReturnType<typeof update>) => ({
  ...{ oldBytes: 60 * megabyte, newBytes: 64 * megabyte },
  updates: { full: update('full', 64 * megabyte), index: update('index', 20 * megabyte), patch },
  making: { index: release, patch: { ...release, patchBytes: megabyte } },
  peers: {
    ...{ full: peer(64 * megabyte), zsync: peer(20 * megabyte), casync: peer(21 * megabyte) },
    ostree: { deltaBytes: 3 * megabyte, with: 'x' },
  },
});
const cost = (patch: ReturnType<typeof update>) => ({
  ...{ security: aPair(patch), application: aPair(patch), changedPackages: [] },
});

test('the ratios are bytes on the wire beside those of zsync', () => {
  const rows = wireRows(cost(update('patch', megabyte)));
  assert.deepEqual(
    rows.map(({ name }) => name),
    wireRowNames,
  );
  assert.deepEqual(
    rows.map(({ ratio }) => ratio),
    [0.05, 1, 0.05, 1],
  );
  assert.equal(
    rows[0]?.facts,
    '1.00 MiB in 7 requests beside 20.00 MiB in 30; casync 21.00 MiB, ostree 3.00 MiB, full 64.00 MiB',
  );
});

test('a way that the daemon did not take is told in its row, with the reason', () => {
  const [row] = wireRows(cost(update('index', 20 * megabyte, ['patch: another base'])));
  assert.equal(row?.ratio, 1);
  assert.match(row?.facts ?? '', /^20\.00 MiB in 7 requests, BY INDEX \(patch: another base\) beside /);
});

test('a pair has a line for each way and for what making index and patch took', () => {
  const lines = pairLines(aPair(update('patch', megabyte)));
  assert.equal(lines.length, 5);
  assert.match(lines[2] ?? '', /^patch +1\.6% +1\.00 MiB in 7 requests; 1\.5 s of CPU writing, 2\.0 with reading back/);
  assert.match(lines[4] ?? '', /^making the patch: 1\.00 MiB, 1\.0 s of CPU in 2\.0 s, 80 MiB at most$/);
});

test('where there is no patch, the publisher says why', () => {
  const pair = aPair(update('index', megabyte));
  const none = { ...pair.making.patch, patchBytes: null, problem: 'the image is compressed with xz' };
  const lines = pairLines({ ...pair, making: { ...pair.making, patch: none } });
  assert.equal(lines[4], 'making the patch: none; the image is compressed with xz');
});
