import assert from 'node:assert/strict';
import { chmod, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import nacl from 'tweetnacl';
import { readKeyFiles } from '../../../publish/keys/key-files.ts';
import { publisherPaths } from '../../../publish/repository/publisher-folder.ts';
import { initRepository } from '../../../publish/repository/repository-init.ts';
import { parseMetadata } from '../../../verity/tuf-metadata.ts';
import { verifyInitialRoot } from '../../../verity/tuf-verify.ts';
import { aFolder, aPublisher, testNowMs, withCode } from '../publisher-fixture.ts';

test('makes root 2 of 3 and one key for each other role, all signed by all', async (t) => {
  const { folder } = await aPublisher(t);
  const paths = publisherPaths(folder);
  const bytes = await readFile(paths.root);
  const { signed } = verifyInitialRoot(bytes);
  const shape = Object.entries(signed.roles).map(([role, { keyids, threshold }]) => [role, threshold, keyids.length]);
  assert.deepEqual(shape.sort(), [
    ['root', 2, 3],
    ['snapshot', 1, 1],
    ['targets', 1, 1],
    ['timestamp', 1, 1],
  ]);
  assert.equal(signed.consistent_snapshot, true);
  assert.equal(parseMetadata('root', bytes).signatures.length, 3);
  assert.deepEqual((await readdir(paths.metadata)).sort(), [
    '1.root.json',
    '1.snapshot.json',
    '1.targets.json',
    'timestamp.json',
  ]);
  assert.ok((await readFile(join(paths.metadata, '1.root.json'))).equals(bytes));
});

test('keeps keys in files of mode 0600 in a folder of mode 0700, whatever the umask', async (t) => {
  const before = process.umask(0);
  t.after(() => process.umask(before));
  const { folder } = await aPublisher(t, { name: 'fresh' });
  const { keys } = publisherPaths(folder);
  assert.equal((await stat(keys)).mode & 0o777, 0o700);
  const names = (await readdir(keys)).filter((name) => name.endsWith('.json'));
  assert.equal(names.length, 6);
  for (const name of names) assert.equal((await stat(join(keys, name))).mode & 0o777, 0o600, name);
});

test('git ignores the private keys, wherever the folder stands', async (t) => {
  const { folder } = await aPublisher(t);
  assert.equal(await readFile(join(publisherPaths(folder).keys, '.gitignore'), 'utf8'), '*\n');
});

test('keys of two repositories differ, and a seed gives the public key beside it', async (t) => {
  const first = await readKeyFiles(publisherPaths((await aPublisher(t, { name: 'fresh' })).folder).keys);
  const second = await readKeyFiles(publisherPaths((await aPublisher(t, { name: 'fresh' })).folder).keys);
  const all = [...first, ...second];
  assert.equal(new Set(all.map((key) => key.publicHex)).size, 12);
  for (const key of all) {
    const message = Buffer.from('message');
    assert.ok(nacl.sign.detached.verify(message, await key.sign(message), Buffer.from(key.publicHex, 'hex')));
  }
});

test('thresholds, key counts and lifetimes can be chosen', async (t) => {
  const folder = join(await aFolder(t), 'publisher');
  const made = await initRepository({
    folder,
    nowMs: testNowMs,
    keyPlan: { root: { threshold: 3, count: 5 }, targets: { threshold: 2, count: 2 } },
    lifetimesS: { timestamp: 3600 },
  });
  assert.equal(made.keyFiles.root.length, 5);
  assert.equal(made.expires.timestamp, '2026-03-01T13:00:00Z');
  const { signed } = verifyInitialRoot(await readFile(made.paths.root));
  assert.deepEqual([signed.roles.root.threshold, signed.roles.targets.threshold], [3, 2]);
});

test('never overwrites: a second init changes nothing', async (t) => {
  const { folder } = await aPublisher(t);
  const { root, keys } = publisherPaths(folder);
  const before = await readFile(root);
  await assert.rejects(initRepository({ folder }), withCode('REPOSITORY_EXISTS'));
  assert.ok((await readFile(root)).equals(before));
  assert.equal((await readKeyFiles(keys)).length, 6);
});

test('a repository inside another publisher is refused, before a folder or a key is made', async (t) => {
  const { folder } = await aPublisher(t);
  const { keys } = publisherPaths(folder);
  for (const inner of [keys, join(keys, 'deep', 'er')]) {
    await assert.rejects(initRepository({ folder: inner }), { message: /is a publisher's folder: choose one outside/ });
  }
  assert.equal((await readKeyFiles(keys)).length, 6);
  await assert.rejects(stat(join(keys, 'deep')), { code: 'ENOENT' });
});

test('refuses a threshold above the number of keys', async (t) => {
  const folder = join(await aFolder(t), 'publisher');
  const keyPlan = { root: { threshold: 4, count: 3 } };
  await assert.rejects(initRepository({ folder, keyPlan }), withCode('BAD_REQUEST'));
});

test('a key file that others can read is refused, by name and mode', async (t) => {
  const publisher = await aPublisher(t);
  const path = join(publisherPaths(publisher.folder).keys, 'targets-1.json');
  await chmod(path, 0o640);
  await assert.rejects(publisher.release(), withCode('KEY_UNUSABLE', /targets-1\.json.*mode is 0640.*chmod 0600/));
});

test('a damaged key file is refused without a word of its content', async (t) => {
  const publisher = await aPublisher(t);
  const path = join(publisherPaths(publisher.folder).keys, 'targets-1.json');
  const content = JSON.parse(await readFile(path, 'utf8')) as { seed: string };
  for (const damaged of [`{"seed":"${content.seed}"`, JSON.stringify({ ...content, seed: `${content.seed}00` })]) {
    await writeFile(path, damaged);
    const isQuiet = (error: unknown): boolean => {
      assert.ok(error instanceof Error && !`${error.stack} ${error.cause}`.includes(content.seed));
      return withCode('KEY_UNUSABLE', /not a key file/)(error);
    };
    await assert.rejects(publisher.release(), isQuiet);
  }
});

test('a key file whose seed belongs to another key is refused', async (t) => {
  const publisher = await aPublisher(t);
  const path = join(publisherPaths(publisher.folder).keys, 'targets-1.json');
  const content = JSON.parse(await readFile(path, 'utf8')) as object;
  await writeFile(path, JSON.stringify({ ...content, seed: '00'.repeat(32) }));
  await assert.rejects(publisher.release(), withCode('KEY_UNUSABLE', /does not give the public key/));
});
