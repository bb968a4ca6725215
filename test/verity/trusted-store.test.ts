import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { OtadError } from '../../agent/core/errors.ts';
import { createTrustedStore } from '../../verity/trusted-store.ts';

const aFolder = async (t: TestContext): Promise<string> => {
  const folder = await mkdtemp(join(tmpdir(), 'otad-trusted-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
};

test('gives back the bytes, replaces them whole, removes them, and leaves no temporary file', async (t) => {
  const folder = join(await aFolder(t), 'made', 'here');
  const store = createTrustedStore(folder);
  assert.equal(await store.read('root.json'), null);
  await store.remove('root.json');
  await store.write('root.json', Buffer.from('one'));
  await store.write('root.json', Buffer.from('second'));
  assert.equal(Buffer.from((await store.read('root.json')) ?? []).toString(), 'second');
  assert.deepEqual(await readdir(folder), ['root.json']);
  await store.remove('root.json');
  assert.equal(await store.read('root.json'), null);
});

test('writes over what a cut left behind', async (t) => {
  const folder = await aFolder(t);
  await writeFile(join(folder, '.root.json.new'), 'torn');
  await createTrustedStore(folder).write('root.json', Buffer.from('whole'));
  assert.deepEqual(await readdir(folder), ['root.json']);
});

test('does not follow a link, read a folder, or take in a file that is far too long', async (t) => {
  const folder = await aFolder(t);
  const store = createTrustedStore(folder);
  await writeFile(join(folder, 'secret'), 'secret');
  await symlink(join(folder, 'secret'), join(folder, 'root.json'));
  assert.equal(await store.read('root.json'), null);
  await mkdir(join(folder, 'snapshot.json'));
  assert.equal(await store.read('snapshot.json'), null);
  await writeFile(join(folder, 'targets.json'), '');
  await truncate(join(folder, 'targets.json'), 64 * 1024 * 1024);
  assert.equal(await store.read('targets.json'), null);
});

test('refuses names with a separator', async (t) => {
  const store = createTrustedStore(await aFolder(t));
  for (const name of ['../x', 'a/b', '', '.hidden', '..']) {
    await assert.rejects(store.write(name, Buffer.from('x')), OtadError);
    await assert.rejects(async () => store.read(name), OtadError);
  }
});

test('says what could not be written', async (t) => {
  const folder = await aFolder(t);
  await writeFile(join(folder, 'file'), '');
  await assert.rejects(
    createTrustedStore(join(folder, 'file')).write('root.json', Buffer.from('x')),
    (error) => error instanceof OtadError && error.code === 'STORE_IO',
  );
});

test('a file is whole on the disk before it gets its name, and its name is there before it counts as written', async (t) => {
  const folder = await aFolder(t);
  const module = new URL('../../verity/trusted-store.js', import.meta.url).href;
  const script = `import { createTrustedStore } from '${module}';
    const store = createTrustedStore('${folder}');
    await store.write('root.json', Buffer.from('old'));
    await store.write('root.json', Buffer.from('new'));`;
  const calls = 'trace=openat,write,pwrite64,fsync,rename,renameat,renameat2';
  const traced = spawnSync(
    'strace',
    ['-f', '-qq', '-y', '-e', calls, process.execPath, '--input-type=module', '-e', script],
    { encoding: 'utf8', timeout: 20_000, env: { ...process.env, UV_THREADPOOL_SIZE: '1' } },
  );
  assert.equal(traced.status, 0, traced.stderr);
  const temporary = `${folder}/.root.json.new`;
  const steps = traced.stderr.split('\n').flatMap((line) => {
    if (line.includes('O_CREAT') && line.includes(temporary)) return ['make'];
    if (/\b(?:write|pwrite64)\(/.test(line) && line.includes(`<${temporary}>`)) return ['write'];
    if (line.includes('fsync(') && line.includes(`<${temporary}>`)) return ['sync file'];
    if (/\brename/.test(line) && line.includes(temporary)) return ['rename'];
    return line.includes('fsync(') && line.includes(`<${folder}>`) ? ['sync folder'] : [];
  });
  const once = ['make', 'write', 'sync file', 'rename', 'sync folder'];
  assert.deepEqual(steps, [...once, ...once]);
});

test('a folder that it makes is synchronised in the folder above', async (t) => {
  const parent = await aFolder(t);
  const module = new URL('../../verity/trusted-store.js', import.meta.url).href;
  const script = `import { createTrustedStore } from '${module}';
    await createTrustedStore('${parent}/made/here').write('root.json', Buffer.from('x'));`;
  const traced = spawnSync(
    'strace',
    ['-f', '-qq', '-y', '-e', 'trace=fsync', process.execPath, '--input-type=module', '-e', script],
    { encoding: 'utf8', timeout: 20_000 },
  );
  assert.equal(traced.status, 0, traced.stderr);
  for (const folder of [parent, `${parent}/made`, `${parent}/made/here`]) {
    assert.ok(traced.stderr.includes(`<${folder}>`), `${folder}: ${traced.stderr}`);
  }
});
