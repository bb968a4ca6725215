// The first thing that a fresh clone runs: what it says when it cannot go on. What it installs is not tried here: that
// takes a machine without the packages, and its network.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, test } from 'node:test';

const projectDir = resolve(import.meta.dirname, '../../..');
const setup = join(projectDir, 'test/support/setup.mjs');
const folder = mkdtempSync(join(tmpdir(), 'otad-setup-'));
after(() => rmSync(folder, { recursive: true }));

test('says in one sentence that Node is too old', () => {
  const preload = join(folder, 'old-node.cjs');
  writeFileSync(
    preload,
    `Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '18.20.4' } });`,
  );
  const { status, stderr } = spawnSync(process.execPath, ['--require', preload, setup], { encoding: 'utf8' });
  assert.equal(status, 1);
  assert.match(stderr, /^Node 18\.20\.4 is too old: otad needs Node 20\.19 or newer .*\n$/);
});

test('shows what npm said and what to do when packages cannot be installed', () => {
  const source = join(folder, 'test/support/setup.mjs');
  mkdirSync(join(folder, 'test/support'), { recursive: true });
  copyFileSync(setup, source);
  writeFileSync(
    join(folder, 'package-lock.json'),
    JSON.stringify({ packages: { '': {}, 'node_modules/x': { version: '1.0.0' } } }),
  );
  // npm names itself to the scripts that it starts; this one fails.
  const npm = join(folder, 'npm.js');
  writeFileSync(npm, `process.stdout.write('the registry is gone\\n'); process.exit(7);`);
  const { status, stderr } = spawnSync(process.execPath, [source], {
    encoding: 'utf8',
    env: { ...process.env, npm_execpath: npm },
  });
  assert.equal(status, 1);
  assert.match(stderr, /^set-up: installing npm packages\nthe registry is gone\n/);
  assert.match(stderr, /exit status 7/);
  assert.match(stderr, /Check that the npm registry can be reached/);
});

test('says how long a step took, and does not believe an npm that installed something else', () => {
  writeFileSync(join(folder, 'npm.js'), '');
  const { status, stderr } = spawnSync(process.execPath, [join(folder, 'test/support/setup.mjs')], {
    encoding: 'utf8',
    env: { ...process.env, npm_execpath: join(folder, 'npm.js') },
  });
  assert.equal(status, 1);
  assert.match(stderr, /^set-up: installing npm packages\nset-up: installing npm packages: \d+ s\nnpm installed other/);
});
