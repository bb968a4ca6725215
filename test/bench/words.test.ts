import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { isUsageError, readBenchWords, readDeltaWords, UsageError } from './words.ts';

const folder = mkdtempSync(join(tmpdir(), 'otad-bench-'));
after(() => rmSync(folder, { recursive: true }));

const runProgram = (name: string, ...args: string[]) =>
  spawnSync(process.execPath, [join(import.meta.dirname, `${name}.js`), ...args], { encoding: 'utf8' });

test('names follow one --only, or each has its own', () => {
  assert.deepEqual(readBenchWords(['--only', 'wire', 'stream']).only, ['wire', 'stream']);
  assert.deepEqual(readBenchWords(['--only', 'wire', '--only', 'stream']).only, ['wire', 'stream']);
  assert.deepEqual(readBenchWords(['--json', 'a.json']), { jsonPath: 'a.json', only: [] });
});

test('wrong words are told from work that failed', () => {
  for (const args of [['wire'], ['--nonsense'], ['--json']]) {
    assert.throws(
      () => readBenchWords(args),
      (error) => isUsageError(error),
    );
  }
  for (const error of [new Error('the disk is full'), new RangeError('the patch does not apply')])
    assert.equal(isUsageError(error), false);
});

test('two images are wanted, neither fewer nor more', () => {
  assert.deepEqual(readDeltaWords(['a', 'b']), { jsonPath: undefined, oldPath: 'a', newPath: 'b' });
  for (const args of [[], ['a'], ['a', 'b', 'c']]) assert.throws(() => readDeltaWords(args), UsageError);
});

test('bench ends with 64 and its usage for a row that there is not', () => {
  const { status, stderr } = runProgram('main', '--only', 'nonsense');
  assert.equal(status, 64);
  assert.match(stderr, /^bench: there is no row nonsense; .*\nusage: npm run bench /);
});

test('bench:delta ends with 64 and its usage for a missing image', () => {
  const { status, stderr } = runProgram('delta', 'only-one');
  assert.equal(status, 64);
  assert.match(stderr, /^bench:delta: two images are wanted, .*\nusage: npm run bench:delta /);
});

test('bench:delta ends with 1 and says which file is no image, before it measures anything', () => {
  const text = join(folder, 'text');
  writeFileSync(text, 'this is no image');
  for (const [path, problem] of [
    [join(folder, 'nothing'), /nothing.*ENOENT/],
    [text, /text/],
  ] as const) {
    const { status, stderr, stdout } = runProgram('delta', path, path);
    assert.equal(status, 1);
    assert.match(stderr, /^bench:delta: .*IMAGE_UNUSABLE|^bench:delta: /);
    assert.match(stderr, problem);
    assert.equal(stdout, '');
  }
});
