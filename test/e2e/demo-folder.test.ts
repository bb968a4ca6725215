import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { claimFolder, defaultFolder } from './demo-folder.ts';

const temporary = async (context: TestContext): Promise<string> => {
  const folder = await mkdtemp(join(tmpdir(), 'otad-demo-'));
  context.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
};

test('a folder that another demonstration still shows is refused, and taken once that has ended', async (context) => {
  const folder = await temporary(context);
  const other = spawn(process.execPath, ['-e', 'process.stdin.resume()', 'demo.js'], {
    stdio: ['pipe', 'ignore', 'inherit'],
  });
  const ended = once(other, 'exit');
  await writeFile(join(folder, 'demo.pid'), `${other.pid}\n`);
  await assert.rejects(claimFolder(folder), new RegExp(`process ${other.pid} .* --folder`));
  other.stdin.end();
  await ended;
  await mkdir(join(folder, 'vendor'));
  await claimFolder(folder);
  assert.deepEqual(await readdir(folder), ['demo.pid']);
});

test('what somebody else keeps in the folder stays, and is named', async (context) => {
  const folder = await temporary(context);
  await writeFile(join(folder, 'thesis.txt'), '');
  await assert.rejects(claimFolder(folder), /thesis\.txt/);
  assert.deepEqual(await readdir(folder), ['thesis.txt']);
});

test('a project whose path fw_env.config cannot hold shows its gateway elsewhere', async (context) => {
  assert.equal(defaultFolder('/home/me/otad'), '/home/me/otad/.virtual');
  assert.doesNotMatch(defaultFolder('/home/me/my otad'), /\s/);
  await assert.rejects(claimFolder(join(await temporary(context), 'my gateway')), /white space/);
});
