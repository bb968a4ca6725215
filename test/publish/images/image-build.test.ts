import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmod, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import { buildImage } from '../../../publish/images/image-build.ts';
import { readImageIdentity } from '../../../publish/images/squashfs.ts';
import { aFolder, aLayer, compatible, type LayerFiles, withCode } from '../publisher-fixture.ts';

const run = promisify(execFile);
const identity = { releaseId: `${compatible}-1.1`, compatible, version: '1.1', sequence: 7 };

interface LayerPlan {
  readonly name: string;
  readonly files: LayerFiles;
  readonly description?: unknown;
}

/** Builds an image of layers that lie side by side; only `use` (default: all) are named on the command. */
const anImage = async (t: TestContext, plans: readonly LayerPlan[], use?: readonly string[]): Promise<string> => {
  const folder = await aFolder(t);
  for (const { name, files, description } of plans) await aLayer(join(folder, name), files, description);
  const layers = (use ?? plans.map((plan) => plan.name)).map((name) => join(folder, name));
  const outputPath = join(folder, 'image.squashfs');
  await buildImage({ layers, outputPath, identity });
  assert.deepEqual(
    (await readdir(folder)).filter((name) => name.startsWith('.')),
    [],
    'leaves nothing beside the image',
  );
  return outputPath;
};

const cat = async (image: string, path: string): Promise<string> =>
  (await run('unsquashfs', ['-cat', image, path])).stdout;

/** Lines of `unsquashfs -ll` by path inside the image. */
const list = async (image: string): Promise<ReadonlyMap<string, string>> => {
  const { stdout } = await run('unsquashfs', ['-lln', '-d', '', image], { env: { ...process.env, TZ: 'UTC' } });
  const rows = stdout.split('\n').filter((line) => /^[-dl]/.test(line));
  return new Map(
    rows.map((line) => [
      line
        .replace(/ -> .*$/, '')
        .split(/\s+/)
        .slice(5)
        .join(' ')
        .replace(/^\//, ''),
      line,
    ]),
  );
};

test("the same layers give the same bytes, whatever the umask and the files' own times", async (t) => {
  const plans = [
    { name: 'base', files: { 'etc/motd': 'hello\n', 'usr/bin/tool': '!#!/bin/sh\n', lib: '->usr/lib' } },
    { name: 'app', files: { 'opt/app/data': 'x'.repeat(300_000) }, description: { name: 'app', base: '../base' } },
  ];
  const first = await anImage(t, plans, ['app']);
  const before = process.umask(0o077);
  t.after(() => process.umask(before));
  const folder = await aFolder(t);
  process.umask(0o022);
  for (const { name, files, description } of plans) await aLayer(join(folder, name), files, description);
  process.umask(0o077);
  const second = join(folder, 'again.squashfs');
  await buildImage({ layers: [join(folder, 'app')], outputPath: second, identity });
  assert.ok((await readFile(first)).equals(await readFile(second)));
});

test('the image is whole blocks, zstd at 128 KiB, owned by root, with the given time', async (t) => {
  const folder = await aFolder(t);
  const layer = await aLayer(join(folder, 'layer'), { 'etc/motd': 'hello\n' });
  const outputPath = join(folder, 'image.squashfs');
  const built = await buildImage({ layers: [layer], outputPath, identity, sourceDateEpochS: 1_700_000_000 });
  assert.equal(built.lengthBytes % 4096, 0);
  assert.equal((await stat(outputPath)).size, built.lengthBytes);
  const { stdout } = await run('unsquashfs', ['-s', outputPath], { env: { ...process.env, TZ: 'UTC' } });
  // Level 15 is what zstd images have when none is recorded.
  assert.match(stdout, /Compression zstd\nBlock size 131072/);
  assert.match(stdout, /Tue Nov 14 22:13:20 2023/);
  const row = (await list(outputPath)).get('etc/motd');
  assert.match(row ?? '', /^-rw-r--r-- 0\/0 .* 2023-11-14 22:13 /);
});

test('gzip can be chosen', async (t) => {
  const folder = await aFolder(t);
  const layer = await aLayer(join(folder, 'layer'), { 'etc/motd': 'hello\n' });
  const outputPath = join(folder, 'image.squashfs');
  await buildImage({ layers: [layer], outputPath, identity, compression: 'gzip' });
  assert.match((await run('unsquashfs', ['-s', outputPath])).stdout, /Compression gzip/);
});

test('a later layer wins, takes files away, and keeps modes and links', async (t) => {
  const image = await anImage(t, [
    { name: 'os', files: { 'etc/motd': 'old\n', 'usr/share/doc/a': 'a', 'usr/share/doc/b': 'b', lib: '->usr/lib' } },
    {
      name: 'app',
      files: { 'etc/motd': 'new\n', 'usr/bin/app': '!run\n' },
      description: { remove: ['usr/share/doc'] },
    },
  ]);
  assert.equal(await cat(image, 'etc/motd'), 'new\n');
  const rows = await list(image);
  assert.equal(
    [...rows.keys()].some((path) => path.startsWith('usr/share/doc')),
    false,
  );
  assert.match(rows.get('usr/bin/app') ?? '', /^-rwxr-xr-x/);
  assert.match(rows.get('lib') ?? '', /^lrwxrwxrwx .* -> usr\/lib$/);
});

test('bases come before their layer, each once', async (t) => {
  const image = await anImage(
    t,
    [
      { name: 'os', files: { a: 'os', b: 'os', c: 'os' } },
      { name: 'left', files: { b: 'left' }, description: { base: '../os' } },
      { name: 'right', files: { c: 'right' }, description: { base: '../os' } },
    ],
    ['left', 'right'],
  );
  assert.deepEqual([await cat(image, 'a'), await cat(image, 'b'), await cat(image, 'c')], ['os', 'left', 'right']);
});

test('a read-only folder can be filled by a later layer and stays read-only', async (t) => {
  const folder = await aFolder(t);
  const os = await aLayer(join(folder, 'os'), { 'opt/a': 'a' });
  await chmod(join(os, 'files/opt'), 0o555);
  const app = await aLayer(join(folder, 'app'), {});
  await mkdir(join(app, 'files/opt/sub'), { recursive: true });
  await chmod(join(app, 'files/opt'), 0o555);
  const outputPath = join(folder, 'image.squashfs');
  await buildImage({ layers: [os, app], outputPath, identity });
  assert.match((await list(outputPath)).get('opt') ?? '', /^dr-xr-xr-x/);
});

test('a build time that is given stands in os-release, the floor of trusted time', async (t) => {
  const folder = await aFolder(t);
  const os = await aLayer(join(folder, 'os'), { a: 'a' });
  const outputPath = join(folder, 'image.squashfs');
  await buildImage({ layers: [os], outputPath, identity, sourceDateEpochS: 1_760_000_000 });
  assert.match(await cat(outputPath, 'usr/lib/os-release'), /^OTAD_BUILD_TIME="1760000000"$/m);
});

test('the image names its release in os-release and keeps the other lines', async (t) => {
  const image = await anImage(t, [
    { name: 'os', files: { 'etc/os-release': 'NAME="Acme"\nIMAGE_VERSION=0.1\nID=acme\n' } },
  ]);
  const text = await cat(image, 'usr/lib/os-release');
  assert.equal(
    text,
    `NAME="Acme"\nID=acme\nIMAGE_ID="${compatible}"\nIMAGE_VERSION="1.1"\nOTAD_COMPATIBLE="${compatible}"\n` +
      `OTAD_RELEASE="${compatible}-1.1"\nOTAD_SEQUENCE="7"\n`,
  );
  assert.match((await list(image)).get('etc/os-release') ?? '', / -> \.\.\/usr\/lib\/os-release$/);
  assert.deepEqual(await readImageIdentity(image), identity);
});

const refusals: readonly { name: string; layers: readonly LayerPlan[]; problem: RegExp }[] = [
  {
    name: 'a removal that names nothing',
    layers: [{ name: 'app', files: {}, description: { remove: ['usr/share/typo'] } }],
    problem: /removes what no earlier layer has, path: usr\/share\/typo/,
  },
  {
    name: 'a removal that leads out of the tree',
    layers: [{ name: 'app', files: {}, description: { remove: ['../../etc/passwd'] } }],
    problem: /remove.*without leading slash and dots/,
  },
  {
    name: 'a removal through a link',
    layers: [
      { name: 'os', files: { lib: '->/etc' } },
      { name: 'app', files: {}, description: { remove: ['lib/passwd'] } },
    ],
    problem: /removes what no earlier layer has, path: lib\/passwd/,
  },
  {
    name: 'a folder laid over a link, which would be written through',
    layers: [
      { name: 'os', files: { lib: '->/tmp' } },
      { name: 'app', files: { 'lib/file': 'x' } },
    ],
    problem: /a folder here is a file or link in another layer.*path: lib/,
  },
  {
    name: 'a member of layer.json that it does not know',
    layers: [{ name: 'app', files: {}, description: { removes: [] } }],
    problem: /layer\.json:.*removes/,
  },
  {
    name: 'a base that leads back to itself',
    layers: [{ name: 'app', files: {}, description: { base: '../app' } }],
    problem: /is a base of itself/,
  },
];

for (const { name, layers, problem } of refusals) {
  test(`refuses ${name}`, async (t) => {
    await assert.rejects(anImage(t, layers), withCode('LAYER_INVALID', problem));
  });
}

test('refuses what is neither file, folder nor link', async (t) => {
  const folder = await aFolder(t);
  const layer = await aLayer(join(folder, 'layer'), {});
  await run('mkfifo', [join(layer, 'files/pipe')]);
  const options = { layers: [layer], outputPath: join(folder, 'image.squashfs'), identity };
  await assert.rejects(
    buildImage(options),
    withCode('LAYER_INVALID', /neither file, folder nor symbolic link, path: pipe/),
  );
});

test('tells a layer that is not there from a folder without files/', async (t) => {
  const folder = await aFolder(t);
  const nowhere = { layers: [join(folder, 'nowhere')], outputPath: join(folder, 'image.squashfs'), identity };
  await assert.rejects(buildImage(nowhere), withCode('LAYER_INVALID', /nowhere, problem: there is no such folder/));
  const options = { layers: [folder], outputPath: join(folder, 'image.squashfs'), identity };
  await assert.rejects(buildImage(options), withCode('LAYER_INVALID', /has no folder named files/));
});

test('says which package is missing when mksquashfs is', async (t) => {
  const folder = await aFolder(t);
  const layer = await aLayer(join(folder, 'layer'), { 'etc/motd': 'hello\n' });
  const path = process.env.PATH;
  t.after(() => {
    process.env.PATH = path;
  });
  process.env.PATH = folder;
  const options = { layers: [layer], outputPath: join(folder, 'image.squashfs'), identity };
  await assert.rejects(buildImage(options), withCode('TOOL_MISSING', /mksquashfs.*squashfs-tools/));
});

test('a failed build leaves the image of before', async (t) => {
  const folder = await aFolder(t);
  const good = await aLayer(join(folder, 'good'), { 'etc/motd': 'hello\n' });
  const bad = await aLayer(join(folder, 'bad'), {}, { remove: ['nothing'] });
  const outputPath = join(folder, 'image.squashfs');
  await buildImage({ layers: [good], outputPath, identity });
  const before = await readFile(outputPath);
  await assert.rejects(buildImage({ layers: [good, bad], outputPath, identity }));
  assert.ok((await readFile(outputPath)).equals(before));
});

test('a plain layer has plain modes, whoever checked it out, and leaves folders that are there as they are', async (t) => {
  const folder = await aFolder(t);
  const base = await aLayer(join(folder, 'base'), { 'opt/closed/file': 'x' });
  await chmod(join(base, 'files/opt/closed'), 0o700);
  const plain = await aLayer(
    join(folder, 'plain'),
    { 'opt/closed/tool': '!#!/bin/sh\n', 'srv/new/note': 'n' },
    { modes: 'plain' },
  );
  await chmod(join(plain, 'files/srv/new'), 0o700);
  await chmod(join(plain, 'files/srv/new/note'), 0o600);
  await chmod(join(plain, 'files/opt/closed/tool'), 0o700);
  const outputPath = join(folder, 'image.squashfs');
  await buildImage({ layers: [base, plain], outputPath, identity });
  const rows = await list(outputPath);
  const mode = (path: string): string | undefined => rows.get(path)?.split(/\s+/)[0];
  assert.deepEqual(['opt/closed', 'opt/closed/tool', 'srv/new', 'srv/new/note'].map(mode), [
    'drwx------',
    '-rwxr-xr-x',
    'drwxr-xr-x',
    '-rw-r--r--',
  ]);
});

test('packages of all layers are asked for below the files, and without a way to install them refused', async (t) => {
  const folder = await aFolder(t);
  const base = await aLayer(join(folder, 'base'), { 'etc/motd': 'base\n' }, { packages: ['nodejs', 'bash'] });
  const top = await aLayer(join(folder, 'top'), { 'etc/issue': 'top\n' }, { packages: ['bash'] });
  const outputPath = join(folder, 'image.squashfs');
  await assert.rejects(buildImage({ layers: [base, top], outputPath, identity }), { code: 'LAYER_INVALID' });
  await buildImage({
    ...{ layers: [base, top], outputPath, identity },
    prepare: async (root, packages) => {
      await mkdir(join(root, 'etc'));
      await writeFile(join(root, 'etc/motd'), 'package\n');
      await writeFile(join(root, 'etc/packages'), packages.join(' '));
    },
    finish: async (root) => writeFile(join(root, 'etc/issue'), 'finished\n'),
  });
  assert.equal(await cat(outputPath, 'etc/motd'), 'base\n');
  assert.equal(await cat(outputPath, 'etc/packages'), 'bash nodejs');
  assert.equal(await cat(outputPath, 'etc/issue'), 'finished\n');
});
