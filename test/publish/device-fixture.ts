// Devices that look at a publisher's folder: the real client with a memory of its own, and another project's client.

import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { Updater } from 'tuf-js';
import { publisherPaths } from '../../publish/repository/publisher-folder.ts';
import { createFolderReader } from '../../publish/serving/repository-reader.ts';
import { createStaticServer } from '../../publish/serving/static-server.ts';
import { createTrustedStore } from '../../verity/trusted-store.ts';
import { createTufClient } from '../../verity/tuf-client.ts';
import { readRelease } from '../../verity/verified-release.ts';
import { aFolder, channel, compatible, testNowMs } from './publisher-fixture.ts';

const never = new AbortController().signal;

/** A device with a memory of its own, asking the folder. Its image carries `root`; default: today's root.json. */
export const aDevice = async (t: TestContext, folder: string, root?: Uint8Array) => {
  const paths = publisherPaths(folder);
  const files = createTrustedStore(await aFolder(t));
  const fetcher = createFolderReader(paths.repository);
  const client = createTufClient({ fetcher, files, initialRoot: root ?? (await readFile(paths.root)) });
  return {
    check: async (nowMs = testNowMs) => {
      const set = await client.refresh(Math.floor(nowMs / 1000), never);
      return await readRelease({ client, fetcher, files, root: set.root }, { channel, compatible }, never);
    },
    rootVersion: async (nowMs = testNowMs) => (await client.refresh(Math.floor(nowMs / 1000), never)).root.version,
  };
};

/** tuf-js over the repository at this URL, with this root in its image. It asks the local clock. */
export const aTufJsClient = async (t: TestContext, url: string, root: Uint8Array): Promise<Updater> => {
  const work = await aFolder(t);
  const [metadataDir, targetDir] = [join(work, 'metadata'), join(work, 'targets')];
  await mkdir(metadataDir);
  await mkdir(targetDir);
  await writeFile(join(metadataDir, 'root.json'), root);
  return new Updater({ metadataDir, metadataBaseUrl: `${url}metadata`, targetDir, targetBaseUrl: `${url}targets` });
};

/** The version of the release that tuf-js sees. */
export const checkWithTufJs = async (t: TestContext, folder: string, root: Uint8Array): Promise<string> => {
  const server = await createStaticServer(publisherPaths(folder).repository);
  try {
    const updater = await aTufJsClient(t, server.url, root);
    await updater.refresh();
    const document = await updater.getTargetInfo(`channels/${channel}/${compatible}.json`);
    if (document === undefined) throw new Error('tuf-js sees no release document');
    return JSON.parse(await readFile(await updater.downloadTarget(document), 'utf8')).version;
  } finally {
    await server.close();
  }
};
