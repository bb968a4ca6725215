import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { appendFile, cp, mkdir, open, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { buildImage } from '../../../publish/images/image-build.ts';
import { readKeyFiles } from '../../../publish/keys/key-files.ts';
import { publish, storeTarget } from '../../../publish/repository/publication.ts';
import { loadPublished } from '../../../publish/repository/published-state.ts';
import { publisherPaths } from '../../../publish/repository/publisher-folder.ts';
import { withPublisherLock } from '../../../publish/repository/publisher-lock.ts';
import { renewRepository } from '../../../publish/repository/renewal.ts';
import { readStatus } from '../../../publish/repository/repository-status.ts';
import { createFolderReader } from '../../../publish/serving/repository-reader.ts';
import { verifyRepository } from '../../../publish/serving/verification.ts';
import { encodeRelease } from '../../../verity/release-document.ts';
import { aDevice } from '../device-fixture.ts';
import {
  aFolder,
  aLayer,
  aPublisher,
  aPublisherWithRelease,
  channel,
  compatible,
  type Publisher,
  testNowMs,
  testSaltHex,
  withCode,
} from '../publisher-fixture.ts';

const run = promisify(execFile);
const dayMs = 86_400_000;
const never = new AbortController().signal;

const verify = async (folder: string, nowMs = testNowMs) => {
  const paths = publisherPaths(folder);
  const root = await readFile(paths.root);
  return await verifyRepository({ reader: createFolderReader(paths.repository), root, nowMs, signal: never });
};

const assertSound = async (folder: string, nowMs = testNowMs): Promise<void> => {
  const report = await verify(folder, nowMs);
  assert.deepEqual(
    report.files.filter((file) => file.problem !== null),
    [],
  );
  assert.equal(report.isSound, true);
};

const snapshotOf = async (folder: string): Promise<ReadonlyMap<string, string>> => {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  const digests = files.map(async (file) => {
    return [
      file,
      createHash('sha256')
        .update(await readFile(file))
        .digest('hex'),
    ] as const;
  });
  return new Map(await Promise.all(digests));
};

test('a device sees the release that was published', async (t) => {
  const publisher = await aPublisher(t);
  await publisher.release({
    waves: [{ startAtS: 1000, percent: 10 }],
    notesUrl: 'https://example.com/notes',
    healthDeadlineS: 60,
    from: ['0.9'],
  });
  const device = await aDevice(t, publisher.folder);
  const release = await device.check();
  const [rootfs] = release.artifacts;
  assert.equal(release.id, `${compatible}-1.0`);
  assert.equal(release.sequence, 1);
  assert.deepEqual(release.waves, [{ startAtS: 1000, percent: 10 }]);
  assert.deepEqual(release.from, ['0.9']);
  assert.equal(release.health.deadlineS, 60);
  assert.equal(release.publishedAtS, testNowMs / 1000);
  assert.equal(rootfs?.verity?.hashOffsetBytes, rootfs?.lengthBytes);
  await assertSound(publisher.folder);
});

test('veritysetup accepts the published image with the signed salt and root', async (t) => {
  const publisher = await aPublisher(t);
  await writeFile(
    join(publisher.layer, 'files/opt/data'),
    createHash('sha512').update('seed').digest('hex').repeat(9000),
  );
  const { release, imageFile } = await publisher.release({ saltHex: undefined });
  const verity = release.artifacts[0]?.verity;
  assert.match(verity?.saltHex ?? '', /^[0-9a-f]{64}$/);
  const tree = join(await aFolder(t), 'tree');
  const { stdout } = await run('veritysetup', ['format', imageFile, tree, `--salt=${verity?.saltHex}`]);
  assert.equal(/Root hash:\s+([0-9a-f]+)/.exec(stdout)?.[1], verity?.rootHex);
  await run('veritysetup', ['verify', imageFile, tree, verity?.rootHex ?? '']);
  assert.match((await run('unsquashfs', ['-l', imageFile])).stdout, /squashfs-root\/opt\/data/);
});

test('the image knows the release it belongs to', async (t) => {
  const publisher = await aPublisher(t);
  const { release, imageFile } = await publisher.release({ version: '1.4', sequence: 9 });
  const { stdout } = await run('unsquashfs', ['-cat', imageFile, 'usr/lib/os-release']);
  assert.match(stdout, /^IMAGE_VERSION="1\.4"$/m);
  assert.match(stdout, /^OTAD_SEQUENCE="9"$/m);
  assert.match(stdout, new RegExp(`^OTAD_RELEASE="${release.id}"$`, 'm'));
});

test('sequences count up by themselves', async (t) => {
  const publisher = await aPublisher(t);
  const sequences: number[] = [];
  for (const version of ['1.0', '1.1', '1.2']) sequences.push((await publisher.release({ version })).release.sequence);
  assert.deepEqual(sequences, [1, 2, 3]);
});

test('a version goes to another channel with its image and sequence, and without a second copy', async (t) => {
  const publisher = await aPublisher(t);
  const first = await publisher.release({ channel: 'beta', version: '1.1' });
  const second = await publisher.release({ version: '1.1', image: undefined });
  assert.deepEqual(second.release.artifacts, first.release.artifacts);
  assert.equal(second.release.sequence, first.release.sequence);
  assert.equal(second.imageFile, first.imageFile);
  await assertSound(publisher.folder);
});

test('waves can be widened with the same image', async (t) => {
  const publisher = await aPublisher(t);
  const device = await aDevice(t, publisher.folder);
  await publisher.release({ waves: [{ startAtS: 0, percent: 5 }] });
  assert.equal((await device.check()).waves[0]?.percent, 5);
  await publisher.release({ image: undefined, waves: [{ startAtS: 0, percent: 50 }] });
  const release = await device.check();
  assert.deepEqual([release.waves[0]?.percent, release.sequence], [50, 1]);
});

test('publishing the same again changes nothing and says so', async (t) => {
  const publisher = await aPublisherWithRelease(t);
  const before = await snapshotOf(publisher.folder);
  await assert.rejects(publisher.release({ nowMs: testNowMs + dayMs }), withCode('NOTHING_TO_DO'));
  assert.deepEqual(await snapshotOf(publisher.folder), before);
});

interface Refusal {
  readonly name: string;
  readonly wish: (publisher: Publisher, work: string) => Promise<Parameters<Publisher['release']>[0]>;
  readonly code: string;
  readonly problem: RegExp;
}

const anImage = async (publisher: Publisher, work: string, version: string, sequence: number): Promise<string> => {
  const outputPath = join(work, `${version}.squashfs`);
  const identity = { releaseId: `${compatible}-${version}`, compatible, version, sequence };
  await buildImage({ layers: [publisher.layer], outputPath, identity });
  return outputPath;
};

const refusals: readonly Refusal[] = [
  {
    name: 'a lower sequence',
    wish: async () => ({ version: '2.0', sequence: 3 }),
    code: 'RELEASE_REFUSED',
    problem: /sequence would fall.*current: 5/,
  },
  {
    name: 'a sequence that another version has',
    wish: async () => ({ version: '2.0', sequence: 5 }),
    code: 'RELEASE_REFUSED',
    problem: /belongs to another version.*version: 1\.0/,
  },
  {
    name: 'another sequence for a published version',
    wish: async () => ({ version: '1.0', sequence: 6 }),
    code: 'RELEASE_REFUSED',
    problem: /published with another sequence/,
  },
  {
    name: 'other content under a published version',
    wish: async (publisher, work) => ({
      image: { layers: [publisher.layer, await aLayer(join(work, 'more'), { 'opt/more': 'more' })] },
    }),
    code: 'RELEASE_REFUSED',
    problem: /published with other content/,
  },
  {
    name: 'an image that says it is another release',
    wish: async (publisher, work) => ({
      version: '2.0',
      image: { imagePath: await anImage(publisher, work, '2.1', 6) },
    }),
    code: 'RELEASE_REFUSED',
    problem: /field: version, image: 2\.1, release: 2\.0/,
  },
  {
    name: 'a floor epoch that root does not sign',
    wish: async () => ({ version: '2.0', floorEpoch: 1 }),
    code: 'RELEASE_REFUSED',
    problem: /floor epoch/,
  },
  {
    name: 'an image that is not there',
    wish: async (_, work) => ({ version: '2.0', image: { imagePath: join(work, 'none') } }),
    code: 'IMAGE_UNUSABLE',
    problem: /cannot be read/,
  },
  {
    name: 'a folder in place of an image',
    wish: async (_, work) => ({ version: '2.0', image: { imagePath: work } }),
    code: 'IMAGE_UNUSABLE',
    problem: /not a plain file/,
  },
  {
    name: 'a file that is no squashfs',
    wish: async (_, work) => {
      await writeFile(join(work, 'disk.img'), Buffer.alloc(8192));
      return { version: '2.0', image: { imagePath: join(work, 'disk.img') } };
    },
    code: 'IMAGE_UNUSABLE',
    problem: /squashfs superblock/,
  },
  {
    name: 'a truncated image',
    wish: async (publisher, work) => {
      await writeFile(join(publisher.layer, 'files/opt/big'), createHash('sha512').update('x').digest());
      const imagePath = await anImage(publisher, work, '2.0', 6);
      await truncate(imagePath, 300);
      return { version: '2.0', image: { imagePath } };
    },
    code: 'IMAGE_UNUSABLE',
    problem: /300 bytes long, but its superblock says/,
  },
  {
    name: 'a version without an image that was never published',
    wish: async () => ({ version: '2.0', image: undefined }),
    code: 'BAD_REQUEST',
    problem: /give an image or layers/,
  },
  {
    name: 'waves that shrink',
    wish: async () => ({
      image: undefined,
      waves: [
        { startAtS: 1, percent: 50 },
        { startAtS: 2, percent: 10 },
      ],
    }),
    code: 'RELEASE_MALFORMED',
    problem: /waves do not grow/,
  },
  {
    name: 'a product name that is no name',
    wish: async () => ({ compatible: '../up' }),
    code: 'BAD_REQUEST',
    problem: /compatible/,
  },
  {
    name: 'to sign without the targets key',
    wish: async (publisher) => {
      await rm(join(publisherPaths(publisher.folder).keys, 'targets-1.json'));
      return { version: '2.0' };
    },
    code: 'KEY_UNUSABLE',
    problem: /role: targets, needed: 1, found: 0/,
  },
];

for (const { name, wish, code, problem } of refusals) {
  test(`refuses ${name}, and the repository stays as it was`, async (t) => {
    const publisher = await aPublisherWithRelease(t);
    const work = await aFolder(t);
    const options = await wish(publisher, work);
    const { metadata } = publisherPaths(publisher.folder);
    const before = await snapshotOf(metadata);
    await assert.rejects(publisher.release(options), withCode(code, problem));
    assert.deepEqual(await snapshotOf(metadata), before);
    assert.deepEqual(
      (await readdir(publisher.folder, { recursive: true })).filter((path) => /(^|\/)\./.test(path)),
      ['keys/.gitignore'],
      'nothing unfinished is left',
    );
  });
}

test('pads an image that does not end with a whole block', async (t) => {
  const publisher = await aPublisher(t);
  const work = await aFolder(t);
  const imagePath = await anImage(publisher, work, '1.0', 1);
  await appendFile(imagePath, 'x');
  const { release } = await publisher.release({ image: { imagePath } });
  assert.equal(release.artifacts[0]?.lengthBytes, (await stat(imagePath)).size - 1 + 4096);
  await assertSound(publisher.folder);
});

test('takes an image that names no release', async (t) => {
  const publisher = await aPublisher(t);
  const work = await aFolder(t);
  const imagePath = join(work, 'plain.squashfs');
  await run('mksquashfs', [join(publisher.layer, 'files'), imagePath, '-quiet', '-no-progress', '-noappend']);
  await publisher.release({ image: { imagePath } });
  await assertSound(publisher.folder);
});

test('equal keys, salt, time and layers give equal repositories', async (t) => {
  const publisher = await aPublisher(t);
  const copy = join(await aFolder(t), 'publisher');
  await cp(publisher.folder, copy, { recursive: true });
  await publisher.release();
  await publisher.release({ folder: copy });
  const digests = async (folder: string) => [...(await snapshotOf(publisherPaths(folder).repository)).values()].sort();
  assert.deepEqual(await digests(copy), await digests(publisher.folder));
});

test('whichever write a publication stops after, devices go on, and the next attempt completes it', async (t) => {
  const publisher = await aPublisherWithRelease(t);
  const image = { imagePath: await anImage(publisher, await aFolder(t), '1.1', 6) };
  const probe = await aFolder(t);
  const writes: string[] = [];
  await cp(publisher.folder, join(probe, 'p'), { recursive: true });
  await publisher.release({
    folder: join(probe, 'p'),
    version: '1.1',
    image,
    afterWrite: (path) => void writes.push(path),
  });
  assert.deepEqual(
    writes.map((path) => path.replace(/^.*\//, '').replace(/^[0-9a-f]{64}/, 'HASH')),
    [
      `HASH.${compatible}-1.1.squashfs`,
      `HASH.${compatible}-1.1.squashfs.index`,
      `HASH.${compatible}.json`,
      '3.targets.json',
      '3.snapshot.json',
      'timestamp.json',
    ],
  );
  for (let stopAfter = 1; stopAfter <= writes.length; stopAfter += 1) {
    const folder = join(await aFolder(t), 'publisher');
    await cp(publisher.folder, folder, { recursive: true });
    const device = await aDevice(t, folder);
    assert.equal((await device.check()).version, '1.0');

    let count = 0;
    const afterWrite = (): void => {
      count += 1;
      if (count === stopAfter) throw new Error('power cut');
    };
    await assert.rejects(publisher.release({ folder, version: '1.1', image, afterWrite }), /power cut/);
    const isPublished = stopAfter === writes.length;
    assert.equal((await device.check()).version, isPublished ? '1.1' : '1.0', `known device after write ${stopAfter}`);
    await assertSound(folder);

    if (isPublished) continue;
    await publisher.release({ folder, version: '1.1', image, nowMs: testNowMs + dayMs });
    assert.equal((await device.check()).version, '1.1', `known device after the second attempt, ${stopAfter}`);
    await assertSound(folder);
  }
});

test('a numbered file that a crash left is never written again', async (t) => {
  const publisher = await aPublisher(t);
  const stopAt = /2\.snapshot\.json$/;
  const afterWrite = (path: string): void => {
    if (stopAt.test(path)) throw new Error('power cut');
  };
  await assert.rejects(publisher.release({ afterWrite }), /power cut/);
  const { metadata } = publisherPaths(publisher.folder);
  const left = await readFile(join(metadata, '2.snapshot.json'));
  const { versions } = await publisher.release({ nowMs: testNowMs + dayMs });
  assert.deepEqual(versions, { root: 1, targets: 3, snapshot: 3, timestamp: 2 });
  assert.ok((await readFile(join(metadata, '2.snapshot.json'))).equals(left));
});

test('removes the unfinished files of a crash', async (t) => {
  const publisher = await aPublisher(t);
  const { targets } = publisherPaths(publisher.folder);
  await mkdir(join(targets, 'images'), { recursive: true });
  const leftover = join(targets, 'images/.image.0123456789ab.part');
  await writeFile(leftover, 'half an image');
  await publisher.release();
  await assert.rejects(stat(leftover), /ENOENT/);
});

test('refuses to sign a repository that somebody altered', async (t) => {
  const publisher = await aPublisherWithRelease(t);
  const { metadata } = publisherPaths(publisher.folder);
  const path = join(metadata, '2.targets.json');
  const text = await readFile(path, 'utf8');
  await writeFile(path, text.replace('"length":', '"length": '));
  await assert.rejects(publisher.release({ version: '1.1' }), withCode('METADATA_MISMATCH'));
});

test('two publishers of one folder: the second is told to wait', async (t) => {
  const publisher = await aPublisher(t);
  await withPublisherLock(publisher.folder, async () => {
    await assert.rejects(publisher.release(), withCode('BUSY'));
  });
  await publisher.release();
});

test('renewal gives devices a fresh timestamp, and the rest when half its time is over', async (t) => {
  const publisher = await aPublisherWithRelease(t);
  const device = await aDevice(t, publisher.folder);
  await device.check();
  const later = testNowMs + 40 * dayMs;
  await assert.rejects(device.check(later), withCode('METADATA_EXPIRED'));
  assert.deepEqual((await renewRepository({ folder: publisher.folder, nowMs: later })).versions, {
    root: 1,
    targets: 2,
    snapshot: 2,
    timestamp: 3,
  });
  assert.equal((await device.check(later)).version, '1.0');
  const muchLater = testNowMs + 600 * dayMs;
  assert.deepEqual((await renewRepository({ folder: publisher.folder, nowMs: muchLater })).versions, {
    root: 1,
    targets: 3,
    snapshot: 3,
    timestamp: 4,
  });
  assert.equal((await device.check(muchLater)).version, '1.0');
});

test('renewal needs no targets key while the targets are fresh', async (t) => {
  const publisher = await aPublisherWithRelease(t);
  const { keys } = publisherPaths(publisher.folder);
  for (const name of ['root-1', 'root-2', 'root-3', 'targets-1']) await rm(join(keys, `${name}.json`));
  await renewRepository({ folder: publisher.folder, nowMs: testNowMs + dayMs });
  await assertSound(publisher.folder, testNowMs + dayMs);
});

test('status names versions, expiry, signers and the releases of each channel', async (t) => {
  const publisher = await aPublisher(t, { name: 'acme' });
  await publisher.release();
  await publisher.release({ channel: 'beta', version: '1.1' });
  const status = await readStatus(publisher.folder, testNowMs + 31 * dayMs);
  assert.equal(status.name, 'acme');
  assert.deepEqual(
    status.roles.map(({ role, version, daysLeft, threshold, keys }) => {
      const count = (is: (key: (typeof keys)[number]) => boolean): number => keys.filter(is).length;
      return [role, version, daysLeft, threshold, count((key) => key.hasSigned), count((key) => key.fileHere !== null)];
    }),
    [
      ['root', 1, 3619, 2, 3, 3],
      ['timestamp', 3, -1, 1, 1, 1],
      ['snapshot', 3, 334, 1, 1, 1],
      ['targets', 3, 699, 1, 1, 1],
    ],
  );
  assert.deepEqual(
    status.releases.map((release) => [release.channel, release.version, release.sequence]),
    [
      ['beta', '1.1', 2],
      ['stable', '1.0', 1],
    ],
  );
});

/** Flips one byte in the middle of a file. */
const flipByte = async (path: string): Promise<void> => {
  const handle = await open(path, 'r+');
  const { size } = await handle.stat();
  const byte = Buffer.alloc(1);
  await handle.read(byte, 0, 1, Math.floor(size / 2));
  await handle.write(Buffer.from([(byte[0] ?? 0) ^ 1]), 0, 1, Math.floor(size / 2));
  await handle.close();
};

const problems = async (folder: string, nowMs = testNowMs): Promise<readonly string[]> =>
  (await verify(folder, nowMs)).files.flatMap(({ problem }) => problem ?? []);

test('verification finds a flipped byte in an image', async (t) => {
  const publisher = await aPublisher(t);
  const { imageFile } = await publisher.release();
  await flipByte(imageFile);
  assert.match((await problems(publisher.folder)).join('\n'), /does not have the signed digest/);
});

test('verification finds a missing and a longer image', async (t) => {
  const publisher = await aPublisher(t);
  const first = await publisher.release();
  const second = await publisher.release({ version: '1.1' });
  await rm(first.imageFile);
  await appendFile(second.imageFile, 'x');
  const found = await problems(publisher.folder);
  assert.equal(found.length, 2);
  assert.match(found.join('\n'), /the file is missing/);
  assert.match(found.join('\n'), /more bytes than the signed length/);
});

test('verification finds expired metadata and another root', async (t) => {
  const publisher = await aPublisherWithRelease(t);
  assert.match((await problems(publisher.folder, testNowMs + 31 * dayMs)).join('\n'), /expired/);
  const other = await aPublisher(t, { name: 'other' });
  const root = await readFile(publisherPaths(other.folder).root);
  const reader = createFolderReader(publisherPaths(publisher.folder).repository);
  const report = await verifyRepository({ reader, root, nowMs: testNowMs, signal: never });
  assert.equal(report.isSound, false);
});

test("verification finds a signed root that is not the image's", async (t) => {
  const publisher = await aPublisher(t);
  const { release } = await publisher.release();
  const paths = publisherPaths(publisher.folder);
  const [artifact] = release.artifacts;
  const verity = artifact?.verity;
  assert.ok(artifact && verity);
  const wrong = { ...release, artifacts: [{ ...artifact, verity: { ...verity, rootHex: '0'.repeat(64) } }] };
  const bytes = encodeRelease(wrong);
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  const state = await loadPublished(paths);
  const lifetimesS = { root: 1e6, targets: 1e6, snapshot: 1e6, timestamp: 1e6 };
  const options = { paths, lifetimesS, keys: await readKeyFiles(paths.keys), nowS: testNowMs / 1000 };
  const path = `channels/${channel}/${compatible}.json`;
  await storeTarget(options, path, bytes, sha256);
  const targets = { ...state.targets.targets, [path]: { length: bytes.length, hashes: { sha256 } } };
  await publish(options, state, { targets, isSnapshotRenewed: true });
  assert.match((await problems(publisher.folder)).join('\n'), /dm-verity root of the image is not the signed one/);
  assert.equal(verity.saltHex, testSaltHex);
});
