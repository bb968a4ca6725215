// What `npm run image` says to words that cannot be meant: before anything is installed, made or built.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { treeRoot } from '../support/reference.ts';

const folder = mkdtempSync(join(tmpdir(), 'otad-image-words-'));
after(() => rmSync(folder, { recursive: true }));
const output = join(folder, 'out');

for (const [words, message] of [
  [['--bogus'], /^image: there is no option '--bogus'\nSee: npm run image -- --help\n$/],
  [['--bord', 'x'], /^image: there is no option '--bord'; did you mean '--board'\?\n/],
  [['product'], /^image: too many operands: product\n/],
  [['--board', 'toaster'], /^image: CONFIG_INVALID: .*--board.*found: toaster/],
  [['--sequence', 'x'], /^image: CONFIG_INVALID: .*--sequence, expected: a whole number, found: x/],
  [['--compatible', 'Upper'], /^image: CONFIG_INVALID: .*--compatible.*found: Upper/],
  [['--layer', '/nowhere'], /^image: LAYER_INVALID: .*\/nowhere, problem: there is no such folder/],
  [['--lock', '/nowhere'], /^image: CONFIG_INVALID: .*--lock, expected: a file that is there/],
  [['--firmware', '/nowhere'], /^image: CONFIG_INVALID: .*--firmware, expected: a folder that is there/],
] as const) {
  test(`'${words.join(' ')}' is refused with a sentence, and no folder is made`, () => {
    const args = [join(treeRoot(), 'dist/image/main.js'), '--output', output, ...words];
    const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8', timeout: 60_000 });
    assert.equal(status, 64, stderr);
    assert.match(stderr, message);
    assert.doesNotMatch(stdout + stderr, /INTERNAL|\n {4}at |set-up/);
    assert.equal(existsSync(output), false);
  });
}

test('whoever is not root learns so before anything is made', () => {
  const words = ['--board', 'qemu-amd64', '--output', output];
  const main = pathToFileURL(join(treeRoot(), 'dist/image/main.js'));
  const program = `process.getuid = () => 1000; await import(${JSON.stringify(main)});`;
  const args = ['--input-type=module', '--eval', program, '--', 'image', ...words];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8', timeout: 60_000 });
  assert.equal(status, 64, stderr);
  assert.match(stderr, /^image: An image is built by root.*sudo\.\n/);
  assert.doesNotMatch(stdout + stderr, /set-up/);
  assert.equal(existsSync(output), false);
});
