import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { publisherPaths } from '../../publish/repository/publisher-folder.ts';
import { createHttpReader } from '../../publish/serving/repository-reader.ts';
import { createStaticServer } from '../../publish/serving/static-server.ts';
import { verifyRepository } from '../../publish/serving/verification.ts';
import { aPublisher, channel, compatible } from './publisher-fixture.ts';
import { aTufJsClient } from './tuf-js-fixture.ts';

test('another TUF client loads the metadata, the document and the image', async (t) => {
  // tuf-js asks the local clock.
  const nowMs = Date.now();
  const publisher = await aPublisher(t, { nowMs });
  const { imageFile, release } = await publisher.release({ nowMs });
  await publisher.release({ nowMs, version: '1.1' });
  const paths = publisherPaths(publisher.folder);
  const server = await createStaticServer(paths.repository);
  t.after(() => server.close());
  const updater = await aTufJsClient(t, server.url, await readFile(paths.root));
  await updater.refresh();

  const document = await updater.getTargetInfo(`channels/${channel}/${compatible}.json`);
  assert.ok(document);
  const documentFile = await updater.downloadTarget(document);
  assert.equal(JSON.parse(await readFile(documentFile, 'utf8')).version, '1.1');

  const image = await updater.getTargetInfo(release.artifacts[0]?.path ?? '');
  assert.ok(image);
  const downloaded = await readFile(await updater.downloadTarget(image));
  assert.ok(downloaded.equals(await readFile(imageFile)));
});

test('verification over HTTP reads what verification of the folder reads', async (t) => {
  const nowMs = Date.now();
  const publisher = await aPublisher(t, { nowMs });
  await publisher.release({ nowMs });
  const paths = publisherPaths(publisher.folder);
  const server = await createStaticServer(paths.repository);
  t.after(() => server.close());
  const report = await verifyRepository({
    reader: createHttpReader(server.url),
    root: await readFile(paths.root),
    nowMs,
    signal: new AbortController().signal,
  });
  assert.deepEqual(
    report.files.map(({ kind, note, problem }) => [kind, note, problem]),
    [
      ['metadata', 'root 1, timestamp 2, snapshot 2, targets 2', null],
      ['metadata', 'the first root', null],
      ['release', '1.0 (sequence 1)', null],
      ['image', '1.0 (sequence 1)', null],
      // Its chunk index.
      ['file', '', null],
    ],
  );
});
