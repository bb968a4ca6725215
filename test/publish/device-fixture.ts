// Devices that look at a publisher's folder: the real client with a memory of its own.

import { readFile } from 'node:fs/promises';
import type { TestContext } from 'node:test';
import { publisherPaths } from '../../publish/repository/publisher-folder.ts';
import { createFolderReader } from '../../publish/serving/repository-reader.ts';
import { createTrustedStore } from '../../verity/trusted-store.ts';
import { createTufClient } from '../../verity/tuf-client.ts';
import { readRelease } from '../../verity/verified-release.ts';
import { rememberVerifications } from '../support/remembered-verifications.ts';
import { aFolder, channel, compatible, testNowMs } from './publisher-fixture.ts';

const never = new AbortController().signal;

rememberVerifications();

/** A device with a memory of its own, asking the folder. Its image carries `root`; default: today's root.json. */
export const aDevice = async (t: TestContext, folder: string, root?: Uint8Array) => {
  const paths = publisherPaths(folder);
  const files = createTrustedStore(await aFolder(t));
  const fetcher = createFolderReader(paths.repository);
  const initialRoot = root ?? (await readFile(paths.root));
  const client = createTufClient({ fetcher, files, initialRoot });
  return {
    check: async (nowMs = testNowMs) => {
      const set = await client.refresh(Math.floor(nowMs / 1000), never);
      return await readRelease({ client, fetcher, files, root: set.root }, { channel, compatible }, never);
    },
    rootVersion: async (nowMs = testNowMs) => (await client.refresh(Math.floor(nowMs / 1000), never)).root.version,
  };
};
