// Another project's client that looks at a publisher's folder. Apart from the devices, since it is long to load.

import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { Updater } from 'tuf-js';
import { publisherPaths } from '../../publish/repository/publisher-folder.ts';
import { createStaticServer } from '../../publish/serving/static-server.ts';
import { aFolder, channel, compatible } from './publisher-fixture.ts';

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
