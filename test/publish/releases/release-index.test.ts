import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { ArtifactFile } from '../../../agent/core/types.ts';
import { type Chunk, type ChunkIndex, decodeIndex, digestOf, encodeIndex } from '../../../delta/chunk-index.ts';
import { indexImage } from '../../../publish/images/image-index.ts';
import { readKeyFiles } from '../../../publish/keys/key-files.ts';
import type { PublishedRelease } from '../../../publish/releases/release.ts';
import { publish, storeTarget, targetFilePath } from '../../../publish/repository/publication.ts';
import { loadPublished } from '../../../publish/repository/published-state.ts';
import { publisherPaths } from '../../../publish/repository/publisher-folder.ts';
import { createFolderReader } from '../../../publish/serving/repository-reader.ts';
import { verifyRepository } from '../../../publish/serving/verification.ts';
import { aPublisher, testNowMs } from '../publisher-fixture.ts';

const never = new AbortController().signal;

const indexFileOf = ({ release }: PublishedRelease): ArtifactFile =>
  release.artifacts[0]?.index ?? assert.fail('the release names no index');

const readIndex = (folder: string, { path, sha256Hex }: ArtifactFile): Promise<Buffer> =>
  readFile(join(publisherPaths(folder).targets, targetFilePath(path, sha256Hex)));

const chunksOf = (index: ChunkIndex): readonly Chunk[] =>
  Array.from({ length: index.count }, (_, chunk) => ({
    lengthBytes: index.offsetOf(chunk + 1) - index.offsetOf(chunk),
    digestHex: index.digestOf(chunk).toString('hex'),
  }));

const problems = async (folder: string): Promise<string> => {
  const paths = publisherPaths(folder);
  const reader = createFolderReader(paths.repository);
  const root = await readFile(paths.root);
  const { files } = await verifyRepository({ reader, root, nowMs: testNowMs, signal: never });
  return files.flatMap(({ problem }) => problem ?? []).join('\n');
};

/** Signs another index in the place of the one that the release names. */
const replaceIndex = async (folder: string, file: ArtifactFile, bytes: Uint8Array): Promise<void> => {
  const paths = publisherPaths(folder);
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  const lifetimesS = { root: 1e6, targets: 1e6, snapshot: 1e6, timestamp: 1e6 };
  const options = { paths, lifetimesS, keys: await readKeyFiles(paths.keys), nowS: testNowMs / 1000 };
  const state = await loadPublished(paths);
  await storeTarget(options, file.path, bytes, sha256);
  const targets = { ...state.targets.targets, [file.path]: { length: bytes.length, hashes: { sha256 } } };
  await publish(options, state, { targets, isSnapshotRenewed: true });
};

const aRelease = async (t: TestContext) => {
  const publisher = await aPublisher(t);
  const published = await publisher.release();
  const file = indexFileOf(published);
  return { publisher, published, file, index: decodeIndex(await readIndex(publisher.folder, file)) };
};

test('a release names the chunk index of its image, signed like the image itself', async (t) => {
  const { publisher, published, file, index } = await aRelease(t);
  const image = await readFile(published.imageFile);
  for (const [chunk, { lengthBytes }] of chunksOf(index).entries()) {
    const at = index.offsetOf(chunk);
    assert.ok(digestOf(image.subarray(at, at + lengthBytes)).equals(index.digestOf(chunk)));
  }
  const { targets } = await loadPublished(publisherPaths(publisher.folder));
  assert.deepEqual(targets.targets[file.path], { length: file.lengthBytes, hashes: { sha256: file.sha256Hex } });
  assert.equal(published.indexProblem, null);
  assert.equal(await problems(publisher.folder), '');
});

test('the same version in another channel has the same index', async (t) => {
  const { publisher, file } = await aRelease(t);
  assert.deepEqual(indexFileOf(await publisher.release({ channel: 'beta', image: undefined })), file);
});

test('an image that cannot be cut gives the reason instead of an index', async (t) => {
  const publisher = await aPublisher(t);
  const { imageFile } = await publisher.release();
  const bytes = await readFile(imageFile);
  bytes.writeUInt16LE(3, 20);
  const path = join(publisher.folder, 'other.squashfs');
  await writeFile(path, bytes);
  assert.equal(await indexImage(path), 'it is compressed with lzo; use zstd, gzip, xz or lz4');
  await writeFile(path, 'no squashfs at all');
  assert.equal(await indexImage(path), 'does not start with a squashfs superblock');
});

test('verification finds an index that names other bytes than the image has', async (t) => {
  const { publisher, file, index } = await aRelease(t);
  const chunks = chunksOf(index).map((chunk, place) =>
    place === 1 ? { ...chunk, digestHex: '00'.repeat(16) } : chunk,
  );
  await replaceIndex(publisher.folder, file, encodeIndex(index.image, chunks));
  assert.match(await problems(publisher.folder), /another digest than the bytes of the image/);
});

test('verification finds an index of another image', async (t) => {
  const { publisher, file, index } = await aRelease(t);
  const image = { ...index.image, sha256Hex: 'ab'.repeat(32) };
  await replaceIndex(publisher.folder, file, encodeIndex(image, chunksOf(index)));
  assert.match(await problems(publisher.folder), /it is of another image/);
});

test('verification finds a release document whose index is not the signed one', async (t) => {
  const { publisher, file } = await aRelease(t);
  await replaceIndex(publisher.folder, file, Buffer.alloc(84));
  assert.match(await problems(publisher.folder), /length or digest differ from the signed target/);
});
