import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { newestCommitS } from '../../image/commit-time.ts';
import { aFolder } from '../publish/publisher-fixture.ts';

const run = promisify(execFile);

/** A checkout whose last commit is of this second. */
const commit = async (folder: string, seconds: number): Promise<void> => {
  const date = `${seconds} +0300`;
  const who = { GIT_AUTHOR_NAME: 'TEST', GIT_AUTHOR_EMAIL: 'test@example.com', GIT_AUTHOR_DATE: date };
  const committer = { GIT_COMMITTER_NAME: 'TEST', GIT_COMMITTER_EMAIL: 'test@example.com', GIT_COMMITTER_DATE: date };
  const env = { PATH: process.env.PATH, HOME: folder, ...who, ...committer };
  await mkdir(join(folder, 'layer'), { recursive: true });
  await writeFile(join(folder, 'layer/file'), String(seconds));
  for (const words of [
    ['init', '-q'],
    ['add', '.'],
    ['commit', '-q', '-m', 'TEST'],
  ])
    await run('git', words, { cwd: folder, env });
};

test('the time is that of the newest commit of any of the folders, below the top of a checkout too', async (t) => {
  const [tree, product, none] = [await aFolder(t), await aFolder(t), await aFolder(t)];
  await commit(tree, 1_800_000_000);
  await commit(product, 1_810_000_000);
  assert.equal(await newestCommitS([tree, none]), 1_800_000_000);
  assert.equal(await newestCommitS([tree, join(product, 'layer')]), 1_810_000_000);
});

test('without a checkout nobody knows', async (t) => {
  assert.equal(await newestCommitS([await aFolder(t)]), 0);
});
