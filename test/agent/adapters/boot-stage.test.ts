import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import {
  chmod,
  type FileHandle,
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  rm,
  stat,
  truncate,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { createBootStage } from '../../../agent/adapters/boot-stage.ts';
import { openStagedBootFiles } from '../../../agent/adapters/staged-boot-files.ts';
import { encodeBootManifest } from '../../../agent/core/boot-set.ts';
import { OtadError } from '../../../agent/core/errors.ts';
import type { ByteSink } from '../../../agent/core/ports.ts';
import { noise } from '../../support/noise.ts';
import { reportNotRun } from '../../support/not-run.ts';
import { isCode, sha256Of } from '../../support/slot-bench.ts';

const root = await mkdtemp(join(tmpdir(), 'otad-stage-'));
after(() => rm(root, { recursive: true, force: true }));
const { signal } = new AbortController();

const bytes = noise(300_000);
const file = { name: 'linux', lengthBytes: bytes.length, sha256Hex: sha256Of(bytes) };
const manifest = encodeBootManifest([file]);

/** A server that breaks off behind `cutAt` bytes; notes where it was asked to begin. */
const createServer = (body: Uint8Array = bytes) => {
  const asked: number[] = [];
  const fetch =
    (cutAt = body.length) =>
    async (offsetBytes: number, sink: ByteSink): Promise<void> => {
      asked.push(offsetBytes);
      for (let at = offsetBytes; at < cutAt; at += 10_000) await sink(body.subarray(at, Math.min(cutAt, at + 10_000)));
      if (cutAt < body.length) throw new OtadError('HTTP_TRUNCATED');
    };
  return { asked, fetch };
};

const inRam = (folder: string): string => `${folder}-in-ram`;
const moduleOf = (name: string): string => new URL(`../../../agent/adapters/${name}.js`, import.meta.url).href;

const aStage = async () => {
  const folder = join(await mkdtemp(join(root, 'state-')), 'boot-set');
  const stage = createBootStage([folder, inRam(folder)]);
  await stage.begin(manifest, [file]);
  return { folder, stage, path: join(folder, file.sha256Hex) };
};

test('a file goes on at the byte where it broke off, across restarts, and is whole in the end', async () => {
  const { folder, stage, path } = await aStage();
  const { asked, fetch } = createServer();
  for (const cutAt of [1, 9_999, 123_457])
    await assert.rejects(stage.fill(file, fetch(cutAt)), isCode('HTTP_TRUNCATED'));
  const next = createBootStage([folder, inRam(folder)]);
  await next.begin(manifest, [file]);
  await next.fill(file, fetch());
  assert.deepEqual(asked, [0, 1, 9_999, 123_457]);
  assert.deepEqual(new Uint8Array(await readFile(path)), new Uint8Array(bytes));
  await next.check(sha256Of(Buffer.from(manifest)), signal);
  await next.fill(file, () => assert.fail('it is whole'));
});

test('what a power cut left of a file is no fault of the server: it comes from its beginning', async () => {
  const { stage, path } = await aStage();
  await writeFile(`${path}.part`, Buffer.alloc(200_000));
  const { asked, fetch } = createServer();
  await stage.fill(file, fetch());
  assert.deepEqual(asked, [200_000, 0]);
  await writeFile(path, Buffer.alloc(bytes.length));
  await stage.fill(file, fetch());
  assert.deepEqual(asked, [200_000, 0, 0]);
});

test('wrong bytes are refused and nothing of them stays', async () => {
  const { folder, stage } = await aStage();
  const wrong = Uint8Array.from(bytes);
  wrong[5] = (wrong[5] ?? 0) ^ 1;
  const { asked, fetch } = createServer(wrong);
  await assert.rejects(stage.fill(file, fetch()), isCode('TARGET_DIGEST_MISMATCH'));
  assert.deepEqual(asked, [0]);
  assert.deepEqual(await readdir(folder), ['manifest']);
});

test('a copy takes the place of what was fetched of the file, and a wrong one leaves that alone', async () => {
  const { folder, stage, path } = await aStage();
  const { asked, fetch } = createServer();
  await assert.rejects(stage.fill(file, fetch(100_000)), isCode('HTTP_TRUNCATED'));
  const half = (sink: ByteSink) => Promise.resolve(sink(bytes.subarray(0, 200_000)));
  assert.equal(await stage.copy(file, half), 'other');
  await assert.rejects(
    stage.copy(file, () => Promise.reject(new OtadError('BOOT_PLACE_UNUSABLE'))),
    isCode('BOOT_PLACE_UNUSABLE'),
  );
  assert.deepEqual((await readdir(folder)).sort(), [`${file.sha256Hex}.part`, 'manifest']);
  // What a power cut left of a copy is in nobody's way.
  await writeFile(`${path}.copy`, 'begun');
  assert.equal(await stage.copy(file, async (sink) => void (await sink(bytes))), 'copied');
  assert.deepEqual((await readdir(folder)).sort(), [file.sha256Hex, 'manifest']);
  assert.equal(await stage.copy(file, () => assert.fail('it is there')), 'kept');
  await stage.fill(file, fetch());
  assert.deepEqual(asked, [0]);
  assert.deepEqual(new Uint8Array(await readFile(path)), new Uint8Array(bytes));
});

test('what arrives of a file is made durable after every MiB', async () => {
  const large = noise(5_300_007);
  const kernel = { name: 'kernel', lengthBytes: large.length, sha256Hex: sha256Of(large) };
  const { folder, stage } = await aStage();
  await stage.begin(encodeBootManifest([kernel]), [kernel]);
  const other = await open(join(folder, 'manifest'));
  const handles: { datasync(): Promise<void> } = Object.getPrototypeOf(other);
  await other.close();
  const { datasync } = handles;
  const synced: number[] = [];
  handles.datasync = async function (this: FileHandle) {
    synced.push((await this.stat()).size);
    return datasync.call(this);
  };
  try {
    await stage.fill(kernel, createServer(large).fetch());
  } finally {
    handles.datasync = datasync;
  }
  assert.equal(synced.length, 5);
  const unsynced = [...synced, large.length].map((end, at) => end - (synced[at - 1] ?? 0));
  assert.ok(Math.max(...unsynced) < 1024 * 1024 + 10_000, String(unsynced));
});

test('a file is durable before it has its name, fetched or copied', async () => {
  for (const way of ['fill', 'copy'] as const) {
    const { folder, stage } = await aStage();
    const other = await open(join(folder, 'manifest'));
    const handles: { sync(): Promise<void> } = Object.getPrototypeOf(other);
    await other.close();
    const { sync } = handles;
    let isWholeSynced = false;
    handles.sync = async function (this: FileHandle) {
      const isNamed = (await readdir(folder)).includes(file.sha256Hex);
      isWholeSynced ||= !isNamed && (await this.stat()).size === bytes.length;
      return sync.call(this);
    };
    try {
      if (way === 'fill') await stage.fill(file, createServer().fetch());
      else await stage.copy(file, async (sink) => void (await sink(bytes)));
    } finally {
      handles.sync = sync;
    }
    assert.ok(isWholeSynced, way);
  }
});

test('one set is kept: what belongs to no file of it goes, and dropping it leaves nothing', async () => {
  const { folder, stage } = await aStage();
  await stage.fill(file, createServer().fetch());
  const other = { ...file, name: 'initrd', sha256Hex: 'ab'.repeat(32) };
  await mkdir(join(folder, 'x'));
  await writeFile(join(folder, `${other.sha256Hex}.part`), 'begun');
  await stage.begin(encodeBootManifest([other]), [other]);
  assert.deepEqual((await readdir(folder)).sort(), [`${other.sha256Hex}.part`, 'manifest']);
  await stage.drop();
  await assert.rejects(readdir(folder), { code: 'ENOENT' });
  await stage.drop();
});

test('the boot helper, another user, may read it whatever the umask', async () => {
  const before = process.umask(0o077);
  try {
    const { folder, stage, path } = await aStage();
    await stage.copy(file, async (sink) => void (await sink(bytes)));
    const copied = (await stat(path)).mode;
    assert.equal((copied & 0o777).toString(8), '644');
    await rm(path);
    await stage.fill(file, createServer().fetch());
    const modes = await Promise.all(
      [folder, path, join(folder, 'manifest')].map(async (one) => (await stat(one)).mode),
    );
    assert.deepEqual(
      modes.map((mode) => (mode & 0o777).toString(8)),
      ['755', '644', '644'],
    );
  } finally {
    process.umask(before);
  }
});

test('a set for which there is no room anywhere is refused before the first byte', async () => {
  const { folder, stage } = await aStage();
  const huge = { ...file, lengthBytes: 2 ** 50 };
  await assert.rejects(stage.begin(manifest, [huge]), isCode('DISK_FULL'));
  await assert.rejects(readdir(folder));
  assert.deepEqual(await readdir(inRam(folder)), []);
  await writeFile(join(root, 'no-folder'), '');
  const nowhere = createBootStage([join(root, 'no-folder/x'), join(root, 'no-folder/y')]);
  await assert.rejects(nowhere.begin(manifest, [file]), isCode('BOOT_STAGE_IO'));
});

test('a set that the data partition does not take is kept in RAM, whatever is left of another one there', async () => {
  const ram = inRam(join(await mkdtemp(join(root, 'broken-')), 'boot-set'));
  await writeFile(join(root, 'no-disk'), '');
  const stage = createBootStage([join(root, 'no-disk/boot-set'), ram]);
  await stage.begin(manifest, [file]);
  await stage.fill(file, createServer().fetch());
  await stage.check(sha256Of(Buffer.from(manifest)), signal);
  const stale = join(await mkdtemp(join(root, 'stale-')), 'boot-set');
  await mkdir(stale);
  await writeFile(join(stale, 'manifest'), `${'0'.repeat(64)} 1 x\n`);
  const staged = openStagedBootFiles([stale, ram]);
  assert.equal(Buffer.from((await staged.readManifest()) ?? []).toString(), manifest);
  assert.equal(await staged.lengthOf(file), bytes.length);
  await stage.drop();
  await assert.rejects(readdir(ram), { code: 'ENOENT' });
});

// A full file system of our own needs a mount; the kernel may grant one without root.
if (spawnSync('unshare', ['-Urm', 'true']).status === 0) {
  test('a set for which the data partition has no room is kept in RAM, whole for whoever places it', () => {
    const script = `
      const [folders, file, manifest, digest] = JSON.parse(process.argv[1]);
      const { createBootStage } = await import(${JSON.stringify(moduleOf('boot-stage'))});
      const { openStagedBootFiles } = await import(${JSON.stringify(moduleOf('staged-boot-files'))});
      const stage = createBootStage(folders);
      await stage.begin(manifest, [file]);
      await stage.fill(file, async (offset, sink) => void (await sink(Buffer.alloc(file.lengthBytes - offset, 7))));
      await stage.check(digest, new AbortController().signal);
      const staged = openStagedBootFiles(folders);
      const text = (await staged.readManifest()).toString();
      let sum = 0;
      await staged.visit(file, (bytes) => void (sum += bytes.length), new AbortController().signal);
      await stage.drop();
      console.log(JSON.stringify([text === manifest, await staged.lengthOf(file), sum]));`;
    const body = Buffer.alloc(6 * 1024 * 1024, 7);
    const large = { name: 'kernel', lengthBytes: body.length, sha256Hex: sha256Of(body) };
    const list = encodeBootManifest([large]);
    const scratch = mkdtempSync(join(root, 'full-'));
    const [disk, ram] = [join(scratch, 'disk'), join(scratch, 'ram')];
    const facts = JSON.stringify([[join(disk, 'boot-set'), ram], large, list, sha256Of(Buffer.from(list))]);
    const mounted = 'mkdir "$0"; mount -t tmpfs -o size=8m tmpfs "$0"; exec "$1" --input-type=module -e "$2" "$3"';
    const words = ['-Urm', 'sh', '-ec', mounted, disk, process.execPath, script, facts];
    const { status, stdout, stderr } = spawnSync('unshare', words, { encoding: 'utf8' });
    assert.equal(status, 0, stderr);
    assert.deepEqual(JSON.parse(stdout), [true, null, body.length]);
  });
} else {
  reportNotRun('boot files beside a full data partition', 'unshare -Urm (user namespaces)');
}

const losses: readonly (readonly [name: string, lose: (folder: string) => Promise<void>])[] = [
  ['a missing file', (folder) => rm(join(folder, file.sha256Hex))],
  ['a file that is cut short', (folder) => truncate(join(folder, file.sha256Hex), 100)],
  ['a file of other bytes', (folder) => writeFile(join(folder, file.sha256Hex), Buffer.alloc(bytes.length))],
  ['no manifest', (folder) => rm(join(folder, 'manifest'))],
  ['the manifest of another set', (folder) => writeFile(join(folder, 'manifest'), `${'0'.repeat(64)} 1 x\n`)],
  ['a folder that is gone', (folder) => rm(folder, { recursive: true })],
];
for (const [name, lose] of losses) {
  test(`is not whole with ${name}`, async () => {
    const { folder, stage } = await aStage();
    await stage.fill(file, createServer().fetch());
    await chmod(folder, 0o700);
    await lose(folder);
    await assert.rejects(stage.check(sha256Of(Buffer.from(manifest)), signal), isCode('BOOT_SET_INCOMPLETE'));
  });
}
