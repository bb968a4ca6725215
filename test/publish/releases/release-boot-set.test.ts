import assert from 'node:assert/strict';
import { mkdir, readFile, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { bootArtifactsOf, bootFileBytesMax } from '../../../agent/core/boot-set.ts';
import { targetFilePath } from '../../../publish/repository/publication.ts';
import { loadPublished } from '../../../publish/repository/published-state.ts';
import { publisherPaths } from '../../../publish/repository/publisher-folder.ts';
import { createFolderReader } from '../../../publish/serving/repository-reader.ts';
import { verifyRepository } from '../../../publish/serving/verification.ts';
import { sha256Of } from '../../support/slot-bench.ts';
import { aFolder, aPublisher, compatible, testNowMs, withCode } from '../publisher-fixture.ts';
import { otapub } from '../run-otapub.ts';

type Texts = Readonly<Record<string, string>>;
const texts: Texts = { linux: 'kernel', initrd: 'initrd', 'dtbs/board.dtb': 'tree' };

const aBootFolder = async (t: TestContext, files: Texts = texts): Promise<string> => {
  const folder = join(await aFolder(t), 'boot');
  await mkdir(folder);
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), text);
  }
  return folder;
};

const report = async (folder: string) => {
  const paths = publisherPaths(folder);
  const reader = createFolderReader(paths.repository);
  const signal = new AbortController().signal;
  return verifyRepository({ reader, root: await readFile(paths.root), nowMs: testNowMs, signal });
};

test('every file of the folder is a signed target, and named in the release as a gateway will have it', async (t) => {
  const publisher = await aPublisher(t);
  const { release } = await publisher.release({ bootFolder: await aBootFolder(t) });
  const { targets, targetsFolder } = await loadPublished(publisherPaths(publisher.folder)).then(
    ({ targets: signed }) => ({
      targets: signed.targets,
      targetsFolder: publisherPaths(publisher.folder).targets,
    }),
  );
  const files = bootArtifactsOf(release);
  assert.deepEqual(
    files.map(({ name, path }) => [name, path]),
    Object.keys(texts)
      .sort()
      .map((name) => [name, `images/${compatible}/boot/1.0/${name}`]),
  );
  for (const { name, path, sha256Hex, lengthBytes } of files) {
    const bytes = Buffer.from(texts[name] ?? '');
    assert.deepEqual([sha256Hex, lengthBytes], [sha256Of(bytes), bytes.length]);
    assert.deepEqual(targets[path], { length: lengthBytes, hashes: { sha256: sha256Hex } });
    assert.deepEqual(await readFile(join(targetsFolder, targetFilePath(path, sha256Hex))), bytes);
  }
  const { isSound, files: lines } = await report(publisher.folder);
  assert.deepEqual([isSound, lines.filter(({ note }) => note === 'boot set').length], [true, 3]);
});

test('a release without a boot set is the same document as before there were any', async (t) => {
  const { release } = await (await aPublisher(t)).release();
  assert.deepEqual(
    release.artifacts.map((artifact) => Object.keys(artifact).sort()),
    [['index', 'lengthBytes', 'path', 'role', 'sha256Hex', 'verity']],
  );
});

test('says that a release lacks the boot files which the one before it had', async (t) => {
  const publisher = await aPublisher(t);
  const bootFolder = await aBootFolder(t);
  const about = ({ warnings }: { readonly warnings: readonly string[] }) =>
    warnings.filter((line) => line.includes('boot files'));
  assert.deepEqual(about(await publisher.release({ bootFolder })), []);
  assert.deepEqual(about(await publisher.release({ version: '2.0', bootFolder })), []);
  const [line = '', ...others] = about(await publisher.release({ version: '3.0' }));
  assert.match(line, /^2\.0 came with boot files and this release with none: .*--boot$/);
  assert.deepEqual(others, []);
  assert.deepEqual(about(await publisher.release({ version: '4.0' })), []);
});

test('verify names a boot file that is damaged or gone', async (t) => {
  const publisher = await aPublisher(t);
  const { release } = await publisher.release({ bootFolder: await aBootFolder(t) });
  const [, , last] = bootArtifactsOf(release);
  assert.ok(last !== undefined);
  const file = join(publisherPaths(publisher.folder).targets, targetFilePath(last.path, last.sha256Hex));
  await writeFile(file, 'kernex');
  assert.match((await report(publisher.folder)).files.find(({ path }) => path === last.path)?.problem ?? '', /digest/);
  await rm(file);
  assert.match((await report(publisher.folder)).files.find(({ path }) => path === last.path)?.problem ?? '', /missing/);
});

test('a version keeps its boot set: offered again it comes along, and another one is refused', async (t) => {
  const publisher = await aPublisher(t);
  const bootFolder = await aBootFolder(t);
  const { release } = await publisher.release({ bootFolder });
  const again = await publisher.release({ channel: 'beta', image: undefined });
  assert.deepEqual(again.release.artifacts, release.artifacts);
  await publisher.release({ channel: 'gamma', image: undefined, bootFolder });
  const others: readonly Texts[] = [
    { ...texts, linux: 'kernel 2' },
    { ...texts, more: 'x' },
  ];
  for (const other of others) {
    const wish = { channel: 'delta', image: undefined, bootFolder: await aBootFolder(t, other) };
    await assert.rejects(publisher.release(wish), withCode('RELEASE_REFUSED'));
  }
  const less = { channel: 'delta', image: undefined, bootFolder: await aBootFolder(t, { linux: 'kernel' }) };
  await assert.rejects(
    publisher.release(less),
    withCode('BOOT_SET_UNUSABLE', /dtbs\/board\.dtb is missing|initrd is missing/),
  );
  await publisher.release({ version: '2.0' });
  const late = { version: '2.0', channel: 'delta', image: undefined, bootFolder };
  await assert.rejects(publisher.release(late), withCode('RELEASE_REFUSED'));
});

const spoils: Readonly<Record<string, (folder: string) => Promise<unknown>>> = {
  'a link': (folder) => symlink('/etc/hostname', join(folder, 'link')),
  'a folder in a folder': (folder) => mkdir(join(folder, 'dtbs/more')),
  'a name that FAT would write otherwise': (folder) => writeFile(join(folder, 'kernel.'), 'x'),
  'a name with a blank': (folder) => writeFile(join(folder, 'my kernel'), 'x'),
  'a hidden file': (folder) => writeFile(join(folder, '.DS_Store'), 'x'),
  'names that differ in case only': (folder) => writeFile(join(folder, 'Linux'), 'x'),
  'the name of otad’s own list': (folder) => writeFile(join(folder, 'OTAD-SET'), 'x'),
  'an empty file': (folder) => writeFile(join(folder, 'empty'), ''),
  'a file longer than any kernel': async (folder) => {
    await writeFile(join(folder, 'huge'), '');
    await truncate(join(folder, 'huge'), bootFileBytesMax + 1);
  },
  'no file at all': (folder) => rm(folder, { recursive: true }).then(() => mkdir(folder)),
  'no folder at all': (folder) => rm(folder, { recursive: true }),
};

for (const [what, spoil] of Object.entries(spoils)) {
  test(`publishes nothing from a folder with ${what}`, async (t) => {
    const publisher = await aPublisher(t);
    const bootFolder = await aBootFolder(t);
    await spoil(bootFolder);
    await assert.rejects(publisher.release({ bootFolder }), withCode('BOOT_SET_UNUSABLE'));
    assert.deepEqual((await loadPublished(publisherPaths(publisher.folder))).targets.targets, {});
  });
}

test('otapub release --boot says what the set is', async (t) => {
  const publisher = await aPublisher(t);
  const wish = ['--channel', 'stable', '--compatible', compatible, '--release-version', '1.0'];
  const args = ['release', publisher.folder, ...wish, '--layer', publisher.layer, '--boot', await aBootFolder(t)];
  const { exitCode, stdout } = await otapub(args);
  assert.equal(exitCode, 0, stdout);
  assert.match(stdout, /^ {2}boot set {5}16 B: dtbs\/board\.dtb, initrd, linux$/m);
});
