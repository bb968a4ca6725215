import assert from 'node:assert/strict';
import { test } from 'node:test';
import { median, medianRatio } from './median.ts';
import { choose, type Part, reportOf, rowLine } from './rows.ts';

const aPart = (name: string, ...rows: string[]): Part => ({
  name,
  rows,
  measure: () => Promise.reject(new Error('not asked')),
});
const parts = [aPart('stream', 'stream/curl', 'stream/c'), aPart('memory', 'rss-idle/node')];
const namesOf = (chosen: readonly Part[]): readonly string[] => chosen.map(({ name }) => name);
const aRow = { name: 'stream/curl', ratio: 0.5, budget: 0.8, facts: '2 s beside 4' };

test('the median is the middle one, or between the two in the middle', () => {
  assert.equal(median([9, 1, 5]), 5);
  assert.equal(median([9, 1, 5, 7]), 6);
  assert.ok(Number.isNaN(median([])));
});

test('a ratio is the median of the rounds, each by itself', () => {
  assert.equal(medianRatio([2, 30, 4], [1, 10, 4]), 2);
});

test('everything runs when nothing is asked for', () => {
  assert.deepEqual(namesOf(choose(parts, [])), ['stream', 'memory']);
});

test('a part is chosen by its name, by a row, or by what a row begins with', () => {
  for (const name of ['memory', 'rss-idle/node', 'rss-idle'])
    assert.deepEqual(namesOf(choose(parts, [name])), ['memory']);
});

test('a name that nothing has is refused, with the rows that there are', () => {
  assert.throws(
    () => choose(parts, ['stream', 'disk']),
    /no row disk; the rows are stream\/curl, stream\/c, rss-idle\/node/,
  );
});

test('a row says whether it is within its budget', () => {
  assert.match(rowLine(aRow), /^stream\/curl +0\.50 +within 0\.80 +2 s beside 4$/);
  assert.match(rowLine({ ...aRow, ratio: 0.81 }), / 0\.81 +OVER 0\.80 /);
  assert.match(rowLine({ ...aRow, budget: null }), / 0\.50 +2 s beside 4$/);
});

test('small ratios keep a figure that says something', () => {
  assert.match(rowLine({ ...aRow, ratio: 0.0642, budget: 1 / 11 }), / 0\.064 +within 0\.091 /);
});

test('the report has the ratios by row and the details by part', () => {
  assert.deepEqual(reportOf([aRow, { ...aRow, name: 'stream/c', ratio: 2 }], { stream: { cpuS: 2 } }), {
    ratios: { 'stream/curl': 0.5, 'stream/c': 2 },
    details: { stream: { cpuS: 2 } },
  });
});
