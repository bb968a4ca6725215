import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { link, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { bytesSource } from '../../../delta/byte-source.ts';
import { loadZstd } from '../../../delta/zstd-module.ts';
import { parseRelease } from '../../../verity/release-document.ts';
import { anImageFolder, applyAll, newTree, oldTree } from '../../delta/patch-fixture.ts';
import { noise } from '../../support/noise.ts';
import { aDevice } from '../device-fixture.ts';
import { aFolder, aPublisher, channel, compatible, withCode } from '../publisher-fixture.ts';
import { otapub } from '../run-otapub.ts';

const run = promisify(execFile);
const images = anImageFolder();
process.once('exit', () => images.remove());
images.image('old', oldTree);
images.image('new', newTree);
images.image('gzip', newTree, ['-comp', 'gzip']);
images.image('lzo', newTree, ['-comp', 'lzo']);
const pathOf = (name: string): string => join(images.path, name);

test('a release with --patch-from names a signed patch that makes its image from the old one', async (t) => {
  const publisher = await aPublisher(t);
  const first = await publisher.release({ version: '1.0', image: { imagePath: pathOf('old') } });
  const second = await publisher.release({
    version: '1.1',
    image: { imagePath: pathOf('new') },
    patchFrom: ['1.0'],
  });
  const [base] = first.release.artifacts;
  const [rootfs] = second.release.artifacts;
  const [patch] = rootfs?.patches ?? [];
  assert.equal(patch?.baseSha256Hex, base?.sha256Hex);
  assert.equal(patch?.baseRootHex, base?.verity?.rootHex);
  const [settled] = second.patches;
  assert.deepEqual([settled?.version, settled?.patch, settled?.problem], ['1.0', patch, null]);

  const device = await aDevice(t, publisher.folder);
  assert.deepEqual((await device.check()).artifacts[0]?.patches, rootfs?.patches);
  const [folder, name] = [(patch?.path ?? '').replace(/[^/]*$/, ''), (patch?.path ?? '').replace(/^.*\//, '')];
  const file = join(publisher.folder, 'repository/targets', folder, `${patch?.sha256Hex}.${name}`);
  const bytes = await readFile(file);
  assert.equal(bytes.length, patch?.lengthBytes);
  const old = bytesSource(await readFile(first.imageFile));
  const { image, missing } = await applyAll(bytes, old, { zstd: await loadZstd() });
  assert.deepEqual(missing, []);
  assert.ok(image.equals(await readFile(second.imageFile)));
});

test('patches stay when waves are widened and when the version goes to another channel', async (t) => {
  const publisher = await aPublisher(t);
  await publisher.release({ version: '1.0', image: { imagePath: pathOf('old') } });
  const image = { imagePath: pathOf('new') };
  const waves = [{ startAtS: 0, percent: 5 }];
  const first = await publisher.release({ version: '1.1', channel: 'beta', image, patchFrom: ['1.0'], waves });
  const wider = await publisher.release({ version: '1.1', channel: 'beta', image: undefined });
  const promoted = await publisher.release({ version: '1.1', image: undefined });
  const patchesOf = ({ release }: typeof first) => release.artifacts[0]?.patches;
  assert.equal(patchesOf(first)?.length, 1);
  assert.deepEqual(patchesOf(wider), patchesOf(first));
  assert.deepEqual(patchesOf(promoted), patchesOf(first));
});

test('a patch can be added to a version that is published', async (t) => {
  const publisher = await aPublisher(t);
  await publisher.release({ version: '1.0', image: { imagePath: pathOf('old') } });
  const plain = await publisher.release({ version: '1.1', image: { imagePath: pathOf('new') } });
  assert.equal(plain.release.artifacts[0]?.patches, undefined);
  const patched = await publisher.release({ version: '1.1', image: undefined, patchFrom: ['1.0'] });
  assert.equal(patched.release.artifacts[0]?.patches?.length, 1);
});

test('a patch from an image whose program is not installed here keeps nobody from publishing', async (t) => {
  const publisher = await aPublisher(t);
  images.image('xz', oldTree, ['-comp', 'xz']);
  await publisher.release({ version: '1.0', image: { imagePath: pathOf('xz') } });
  const { PATH } = process.env;
  t.after(() => {
    process.env.PATH = PATH;
  });
  // All but xz that it takes.
  const folder = join(images.path, 'programs');
  await mkdir(folder);
  await symlink((await run('which', ['unsquashfs'])).stdout.trim(), join(folder, 'unsquashfs'));
  process.env.PATH = folder;
  const { patches } = await publisher.release({
    version: '1.1',
    image: { imagePath: pathOf('new') },
    patchFrom: ['1.0'],
  });
  assert.equal(patches[0]?.patch, null);
  assert.match(patches[0]?.problem ?? '', /xz/);
});

test('release says, as patch does, that blocks of another zstd are in the patch whole', async (t) => {
  const publisher = await aPublisher(t);
  const folder = await aFolder(t);
  const [before = '', after = ''] = await Promise.all(
    ['old', 'new'].map(async (name) => {
      const bytes = await readFile(pathOf(name));
      // The options say another level than the blocks were made with.
      bytes.writeUInt32LE(19, 98);
      await writeFile(join(folder, name), bytes);
      return join(folder, name);
    }),
  );
  await publisher.release({ version: '1.0', image: { imagePath: before } });
  const words = ['--channel', channel, '--compatible', compatible, '--release-version', '1.1', '--patch-from', '1.0'];
  const { stdout } = await otapub(['release', publisher.folder, ...words, '--image', after]);
  const note = / *(\d+ blocks \(.*\) were made by another release of zstd .*;)\n *(build both images with .*)/;
  const [, ...lines] = note.exec(stdout) ?? [];
  assert.equal(lines.length, 2, stdout);
  assert.ok((await otapub(['patch', before, after])).stdout.includes(lines.join('\n')));
});

test('an image that cannot be patched is published all the same, and the publisher is told why', async (t) => {
  const publisher = await aPublisher(t);
  await publisher.release({ version: '1.0', image: { imagePath: pathOf('old') } });
  const words = ['--channel', channel, '--compatible', compatible, '--release-version', '1.1', '--patch-from', '1.0'];
  const { exitCode, stdout } = await otapub(['release', publisher.folder, ...words, '--image', pathOf('gzip')]);
  assert.equal(exitCode, 0);
  assert.match(stdout, /patch {8}from 1\.0: none, the new one is compressed with gzip, and patches need zstd/);
  const released = await readFile(join(publisher.folder, 'repository/metadata/3.targets.json'), 'utf8');
  assert.doesNotMatch(released, /\.patch"/);
});

test('an image that cannot even be looked into is published all the same', async (t) => {
  const publisher = await aPublisher(t);
  await publisher.release({ version: '1.0', image: { imagePath: pathOf('old') } });
  const { release, patches } = await publisher.release({
    version: '1.1',
    image: { imagePath: pathOf('lzo') },
    patchFrom: ['1.0'],
  });
  assert.equal(release.artifacts[0]?.patches, undefined);
  assert.equal(patches[0]?.problem, 'the new one is compressed with lzo, and patches need zstd');
});

test('a patch from lzo to xz is said to need zstd, whatever an index needs', async (t) => {
  const publisher = await aPublisher(t);
  await publisher.release({ version: '1.0', image: { imagePath: pathOf('lzo') } });
  images.image('newxz', newTree, ['-comp', 'xz']);
  const image = { imagePath: pathOf('newxz') };
  const { patches } = await publisher.release({ version: '1.1', image, patchFrom: ['1.0'] });
  assert.equal(
    patches[0]?.problem,
    'the image of 1.0 is compressed with lzo and the new one is compressed with xz, and patches need zstd',
  );
});

test('a patch that would save nothing over the index is left out', async (t) => {
  const publisher = await aPublisher(t);
  images.image('other', { other: noise(300_000) });
  await publisher.release({ version: '1.0', image: { imagePath: pathOf('old') } });
  const image = { imagePath: pathOf('other') };
  const { patches } = await publisher.release({ version: '1.1', image, patchFrom: ['1.0'] });
  assert.equal(patches[0]?.patch, null);
  assert.match(patches[0]?.problem ?? '', /hardly shorter/);
});

test('versions that are not published, or the own one, are refused before anything is stored', async (t) => {
  const publisher = await aPublisher(t);
  const image = { imagePath: pathOf('new') };
  for (const from of ['0.9', '1.1']) {
    await assert.rejects(publisher.release({ version: '1.1', image, patchFrom: [from] }), withCode('BAD_REQUEST'));
  }
});

test('a release document refuses patches that cannot be', async (t) => {
  const publisher = await aPublisher(t);
  await publisher.release({ version: '1.0', image: { imagePath: pathOf('old') } });
  const { release } = await publisher.release({
    version: '1.1',
    image: { imagePath: pathOf('new') },
    patchFrom: ['1.0'],
  });
  const [rootfs] = release.artifacts;
  const [patch] = rootfs?.patches ?? [];
  const refused = (patches: unknown): void => {
    const document = { schema: 1, ...release, artifacts: [{ ...rootfs, patches }] };
    assert.throws(() => parseRelease(Buffer.from(JSON.stringify(document))), withCode('RELEASE_MALFORMED'));
  };
  refused([]);
  refused([patch, patch]);
  refused([{ ...patch, path: '../up' }]);
  refused([{ ...patch, lengthBytes: 2 ** 30 }]);
  refused([{ ...patch, baseRootHex: 'short' }]);
  refused([{ ...patch, headLengthBytes: (patch?.lengthBytes ?? 0) + 1 }]);
  refused([{ ...patch, headSha256Hex: undefined }]);
  refused([{ ...patch, more: 1 }]);
});

test('`otapub patch` reports each way, writes the patch, and shows its progress to a person', async (t) => {
  const output = join(await aFolder(t), 'patch');
  const { exitCode, stdout } = await otapub(['patch', pathOf('old'), pathOf('new'), '-o', output]);
  assert.equal(exitCode, 0, stdout);
  assert.match(stdout, /^full +[\d.]+ KiB +100\.0%$/m);
  assert.match(stdout, /^index +[\d.]+ KiB +[\d.]+%$/m);
  assert.match(stdout, /^patch +[\d.]+ KiB +[\d.]+%$/m);
  assert.match(stdout, /proven byte for byte/);
  const bytes = await readFile(output);
  const zstd = await loadZstd();
  const { image } = await applyAll(bytes, bytesSource(await readFile(pathOf('old'))), { zstd });
  assert.ok(image.equals(await readFile(pathOf('new'))));

  const shown: string[] = [];
  await otapub(['patch', pathOf('old'), pathOf('new'), '--json'], { progress: (text) => void shown.push(text) });
  assert.match(shown.join(''), /comparing.*%/);
  assert.equal(shown.at(-1), '\r\x1b[K');
});

test('`otapub patch` says why there can be no patch, and fails when one was to be written', async (t) => {
  const output = join(await aFolder(t), 'patch');
  const pair = [pathOf('old'), pathOf('gzip')];
  const { exitCode, stdout } = await otapub(['patch', ...pair]);
  assert.deepEqual([exitCode, /patch {2}none: .*gzip.*index only/.test(stdout)], [0, true], stdout);
  assert.equal((await otapub(['patch', ...pair, '-o', output])).exitCode, 3);
  await assert.rejects(readFile(output));
  assert.equal((await otapub(['patch', pathOf('old'), pathOf('none')])).exitCode, 64);
});

test('`otapub patch` refuses an output that is read or cannot be written, before it works', async (t) => {
  const folder = await aFolder(t);
  // Copies: what goes wrong here must not reach the other tests.
  const [before, after] = [join(folder, 'before'), join(folder, 'after')];
  await writeFile(before, await readFile(pathOf('old')));
  await writeFile(after, await readFile(pathOf('new')));
  await symlink(before, join(folder, 'symbolic'));
  await link(after, join(folder, 'hard'));
  const cases: readonly (readonly [string, RegExp])[] = [
    [before, /before is .*before, which is read/],
    [`${folder}/./after`, /which is read/],
    [join(folder, 'symbolic'), /which is read/],
    [join(folder, 'hard'), /which is read/],
    [folder, /is a folder: name a file in it/],
    [join(folder, 'none/'), /is a folder/],
    [join(folder, 'none/x'), /there is no folder .*none; make it first/],
    [join(before, 'x'), /there is no folder/],
    [join(folder, 'x'.repeat(255)), /cannot be written.*ENAMETOOLONG/],
    ['/dev/null', /not a plain file/],
    ['', /needs the name of a file/],
  ];
  const names = await readdir(folder);
  for (const [output, sentence] of cases) {
    const shown: string[] = [];
    const words = ['patch', before, after, '-o', output];
    const { exitCode, stderr } = await otapub(words, { progress: (text) => void shown.push(text) });
    assert.deepEqual([exitCode, shown], [64, []], output);
    assert.match(stderr, sentence);
  }
  assert.deepEqual(await readdir(folder), names);
  assert.ok((await readFile(before)).equals(await readFile(pathOf('old'))));
  assert.ok((await readFile(after)).equals(await readFile(pathOf('new'))));
});

test('`otapub patch` replaces its output by another file, and leaves nothing beside it', async (t) => {
  const folder = await aFolder(t);
  const [output, other] = [join(folder, 'patch'), join(folder, 'other')];
  await writeFile(output, 'an earlier one');
  await link(output, other);
  assert.equal((await otapub(['patch', pathOf('old'), pathOf('new'), '-o', output])).exitCode, 0);
  assert.equal(await readFile(other, 'utf8'), 'an earlier one');
  assert.notEqual(await readFile(output, 'utf8'), 'an earlier one');
  assert.deepEqual((await readdir(folder)).sort(), ['other', 'patch']);
});

test('`otapub patch` says of a folder in place of an image that it is no file', async () => {
  const { exitCode, stderr } = await otapub(['patch', pathOf('old'), images.path]);
  assert.equal(exitCode, 64, stderr);
  assert.ok(stderr.includes(`path: ${images.path}, problem: not a plain file`), stderr);
});

test('`otapub patch` gives the full figure of an image that cannot be looked into, and says which one it is', async () => {
  const [old, lzo] = [pathOf('old'), pathOf('lzo')];
  for (const pair of [
    [old, lzo],
    [lzo, old],
  ]) {
    const { exitCode, stdout } = await otapub(['patch', ...pair]);
    const lines = stdout.split('\n');
    assert.equal(exitCode, 0, stdout);
    assert.match(lines[0] ?? '', /^full +[\d.]+ KiB +100\.0%$/);
    assert.deepEqual(lines.slice(1), [
      `index  none: ${lzo} is compressed with lzo; use zstd, gzip, xz or lz4`,
      `patch  none: ${lzo} is compressed with lzo, and patches need zstd`,
    ]);
  }
  const said = JSON.parse((await otapub(['patch', old, lzo, '--json'])).stdout);
  assert.equal(said.fullBytes, (await readFile(lzo)).length);
  assert.deepEqual([said.indexBytes, said.patch], [null, null]);
});

test('`otapub patch` names the image that is damaged by its path', async (t) => {
  const folder = await aFolder(t);
  const bytes = await readFile(pathOf('old'));
  const cut = join(folder, 'cut');
  await writeFile(cut, bytes.subarray(0, 4096));
  const torn = join(folder, 'torn');
  // The inode table's first block has no such length.
  bytes.writeUInt16LE(0x7fff, Number(bytes.readBigUInt64LE(64)));
  await writeFile(torn, bytes);
  for (const damaged of [cut, torn]) {
    for (const pair of [
      [damaged, pathOf('new')],
      [pathOf('new'), damaged],
    ]) {
      const { exitCode, stderr } = await otapub(['patch', ...pair]);
      assert.equal(exitCode, 64, stderr);
      assert.ok(stderr.includes(`path: ${damaged}, problem: `), stderr);
    }
  }
});
