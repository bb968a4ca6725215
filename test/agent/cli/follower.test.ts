// What stands in the one line that moves: where the bytes came from, on whatever terminal.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ProgressBody } from '../../../agent/api/schema.ts';
import { barLine } from '../../../agent/cli/follower.ts';
import { shortSize } from '../../../agent/cli/layout.ts';
import { aProgress } from '../api/fake-agent.ts';

const mebibyte = 1024 * 1024;

const byAllWays: ProgressBody = {
  ...aProgress({
    doneBytes: 83.5 * mebibyte,
    totalBytes: 184.7 * mebibyte,
    rebuiltBytes: 22.2 * mebibyte,
    copiedBytes: 60.1 * mebibyte,
    fetchedBytes: 1.2 * mebibyte,
    savedBytes: 80 * mebibyte,
    bytesPerS: 150 * 1024,
    secondsLeft: 700,
  }),
  percent: 45.2,
};

test('80 columns have room for a bar, the share of each way, the rate and the time left', () => {
  assert.equal(barLine(byAllWays, 80), '[###---]  45.2 %  patch 22M, copied 60M, fetched 1.2M  150K/s  12 min left');
});

test('a wide line has everything', () => {
  const text = `[${'#'.repeat(11)}${'-'.repeat(13)}]  45.2 %  83.5 MiB of 184.7 MiB  patch 22M, copied 60M, fetched 1.2M  80.0 MiB saved  150K/s  12 min left`;
  assert.equal(barLine(byAllWays, Number.POSITIVE_INFINITY), text);
  assert.equal(barLine(byAllWays, text.length + 1), text);
});

test('what brought nothing is not named', () => {
  const full = { ...byAllWays, rebuiltBytes: 0, copiedBytes: 0, savedBytes: 0, bytesPerS: null, secondsLeft: null };
  assert.equal(barLine(full, 80), `[${'#'.repeat(11)}${'-'.repeat(13)}]  45.2 %  83.5 MiB of 184.7 MiB  fetched 1.2M`);
});

test('the split stands within 80 columns whatever the figures, and no line is longer than its terminal', () => {
  const most = 999.4 * mebibyte;
  const widest: ProgressBody = {
    ...byAllWays,
    percent: 99.9,
    ...{
      doneBytes: most,
      totalBytes: most,
      rebuiltBytes: most,
      copiedBytes: most,
      fetchedBytes: most,
      savedBytes: most,
    },
    ...{ bytesPerS: 999 * 1024, secondsLeft: 86_340 },
  };
  assert.match(barLine(widest, 80), /patch 999M, copied 999M, fetched 999M {2}23 h 59 min left$/);
  for (let columns = 0; columns < 140; columns += 1) {
    for (const progress of [byAllWays, widest]) {
      assert.ok(barLine(progress, columns).length <= Math.max(0, columns - 1), `${columns} columns`);
    }
  }
});

test('a short size has at most three figures and a unit, and no jump between units', () => {
  const sizes = [0, 999, 1000, 10_137, 999 * 1024, 1023 * 1024, 1.25 * mebibyte, 9.96 * mebibyte, 2 * 1024 ** 3];
  assert.deepEqual(sizes.map(shortSize), ['0B', '999B', '1.0K', '9.9K', '999K', '1.0M', '1.3M', '10M', '2.0G']);
});
