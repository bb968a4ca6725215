// Ways in which what a server offers can be wrong, each with the way back to a good 1.1. The signed ones are signed with
// the vendor's real keys: a publisher can make mistakes, too.

import { appendFile, readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readKeyFiles } from '../../publish/keys/key-files.ts';
import { readDocument, targetFileOf } from '../../publish/releases/catalogue.ts';
import { sha256Hex } from '../../publish/repository/metadata-signing.ts';
import { publish, storeTarget } from '../../publish/repository/publication.ts';
import { loadPublished } from '../../publish/repository/published-state.ts';
import { readSettings } from '../../publish/repository/publisher-folder.ts';
import { renewRepository } from '../../publish/repository/renewal.ts';
import { encodeRelease, releaseDocumentPath } from '../../verity/release-document.ts';
import { channel, compatible } from './layers.ts';
import { publishedImage, type Vendor } from './publisher.ts';
import type { World } from './world.ts';

/** Makes the offer of 1.1 wrong; what it gives makes it right. */
export type Spoil = (world: World) => Promise<() => Promise<unknown> | unknown>;

const dayMs = 86_400_000;

/** Offers 1.1 and changes one file of the repository. */
const spoilFile =
  (pathOf: (vendor: Vendor) => Promise<string>, change: (path: string, good: Buffer) => Promise<void>): Spoil =>
  async ({ vendor, served }) => {
    // Nobody may see the good file in between.
    served.link.cut();
    await vendor.offer('1.1');
    const path = await pathOf(vendor);
    const good = await readFile(path);
    await change(path, good);
    await served.link.mend();
    return () => writeFile(path, good);
  };

const imageFile = async (vendor: Vendor): Promise<string> => (await publishedImage(vendor, '1.1')).file;
const timestampFile = async ({ paths }: Vendor): Promise<string> => join(paths.metadata, 'timestamp.json');

const flipLastHexDigit = (text: string): string =>
  text.replace(
    /("sig":"[0-9a-f]+)([0-9a-f])"/,
    (_, head: string, digit: string) => `${head}${digit === '0' ? '1' : '0'}"`,
  );

export const truncateImage = spoilFile(imageFile, (path, good) => truncate(path, good.length >> 1));

export const lengthenImage = spoilFile(imageFile, (path) => appendFile(path, Buffer.alloc(4096)));

/** One in each block: a single one may lie in what the gateway copies from its own slot, and then does no harm. */
export const flipImageBits = spoilFile(imageFile, async (path, good) => {
  const bytes = Buffer.from(good);
  for (let offset = 0; offset < bytes.length; offset += 4096) bytes[offset] = (bytes[offset] ?? 0) ^ 1;
  await writeFile(path, bytes);
});

export const forgeSignature = spoilFile(timestampFile, (path, good) =>
  writeFile(path, flipLastHexDigit(good.toString('utf8'))),
);

export const answerWithLoginPage = spoilFile(timestampFile, (path) =>
  writeFile(path, '<!DOCTYPE html><html><body>Please log in to this network.</body></html>'),
);

/** Signed so long ago that it has expired since. */
export const letExpire: Spoil = async ({ vendor }) => {
  await vendor.offer('1.1', Date.now() - 60 * dayMs);
  return () => renewRepository({ folder: vendor.paths.folder });
};

/** The document of this product names another one. */
export const offerOtherProduct: Spoil = async ({ vendor }) => {
  const { paths } = vendor;
  const { lifetimesS } = await readSettings(paths);
  const keys = await readKeyFiles(paths.keys);
  const state = await loadPublished(paths);
  const publication = { paths, lifetimesS, keys, nowS: Math.floor(Date.now() / 1000) };
  const path = releaseDocumentPath(channel, compatible);
  const good = await readDocument(paths.targets, state.targets, path);
  if (good === null) throw new Error('nothing is offered');
  const document = encodeRelease({ ...good, compatible: 'other-gateway', sequence: good.sequence + 1 });
  const sha256 = sha256Hex(document);
  await storeTarget(publication, path, document, sha256);
  const targets = { ...state.targets.targets, [path]: targetFileOf(document.length, sha256) };
  await publish(publication, state, { targets, isSnapshotRenewed: true });
  return async () => {
    const spoiled = await loadPublished(paths);
    await publish(publication, spoiled, { targets: state.targets.targets, isSnapshotRenewed: true });
    await vendor.offer('1.1');
  };
};

export const loseServer: Spoil = async ({ vendor, served }) => {
  served.link.cut();
  await vendor.offer('1.1');
  return () => served.link.mend();
};
