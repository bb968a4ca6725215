import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readWords } from './lab/words.ts';

test('without words everything runs', () => {
  assert.deepEqual(readWords([]), {
    ...{ isHelp: false, isList: false, isSmoke: false, isContinued: false },
    ...{ cases: [], cuts: null, seed: 1, jobs: 3 },
  });
});

test('cases may be named more than once', () => {
  assert.deepEqual(readWords(['--case', 'rollback', '--case', 'kept@u-boot']).cases, ['rollback', 'kept@u-boot']);
});

test('a flag that nobody knows is named', () => {
  assert.throws(() => readWords(['--smoek']), /--smoek/);
  assert.throws(() => readWords(['rollback']), /rollback/);
});

test('a number that is none, or out of bounds, is refused with the bounds', () => {
  assert.throws(() => readWords(['--cuts', 'many']), /--cuts takes a whole number from 0 to 1000, not 'many'/);
  assert.throws(() => readWords(['--jobs', '0']), /--jobs takes a whole number from 1 to 16/);
  assert.throws(() => readWords(['--seed', '4294967296']), /--seed/);
});
