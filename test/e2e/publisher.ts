// The vendor's side of the virtual world: a real otapub repository with layered releases, served by its own static
// server behind a link that can be slow or cut.

import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Compression } from '../../publish/images/squashfs.ts';
import { type PublishedImage, publishedImages } from '../../publish/releases/catalogue.ts';
import { type PublishedRelease, publishRelease } from '../../publish/releases/release.ts';
import { targetFilePath } from '../../publish/repository/publication.ts';
import { loadPublished } from '../../publish/repository/published-state.ts';
import { type PublisherPaths, publisherPaths } from '../../publish/repository/publisher-folder.ts';
import { initRepository } from '../../publish/repository/repository-init.ts';
import { createStaticServer, type StaticServerOptions } from '../../publish/serving/static-server.ts';
import {
  type ApplicationRelease,
  channel,
  compatible,
  writeApplicationLayer,
  writeBaseLayer,
  writeBootSet,
} from './layers.ts';
import { createLink, type Link } from './link.ts';

/** Where releases wait before they are offered to gateways. */
const buildChannel = 'built';

export interface PublisherOptions {
  /** Absolute; is created. */
  readonly folder: string;
  /** Holds the agent's bundles. */
  readonly bundleDir: string;
  /** Bytes in the base layer and in each application layer that do not compress. */
  readonly baseBytes: number;
  readonly applicationBytes: number;
  /** Default: the publisher's own. */
  readonly compression?: Compression | undefined;
  readonly zstdLevel?: number | undefined;
  /** All that this vendor ever builds. */
  readonly releases: readonly ApplicationRelease[];
}

/** A vendor's folder: layers, keys and repository. It can be copied as a whole. */
export interface Vendor {
  readonly folder: string;
  readonly paths: PublisherPaths;
  /** Builds, signs and stores a release; no gateway is offered it yet. */
  readonly build: (release: ApplicationRelease) => Promise<PublishedRelease>;
  /** Offers a built release to the gateways' channel. `nowMs`: when it is signed. `patchFrom`: versions to make patches from. */
  readonly offer: (version: string, nowMs?: number, patchFrom?: readonly string[]) => Promise<PublishedRelease>;
}

/** What a server was asked, and how many bytes of the body left. */
export type ServedRequest = Parameters<NonNullable<StaticServerOptions['onRequest']>>[0];

export interface Served {
  readonly link: Link;
  readonly requests: readonly ServedRequest[];
  readonly close: () => Promise<void>;
}

const layerFolder = (folder: string, name: string): string => join(folder, 'layers', name);
const publisherFolder = (folder: string): string => join(folder, 'otapub');

/** The image's own settings: what every gateway of this kind has. */
const imageSettings = { compatible, channel };

const writeLayers = async (options: PublisherOptions, root: string): Promise<void> => {
  const base = layerFolder(options.folder, 'base');
  await writeBaseLayer(base, options.bundleDir, options.baseBytes);
  const agentFolder = join(base, 'files/usr/lib/otad');
  await mkdir(join(agentFolder, 'config.d'), { recursive: true });
  await writeFile(join(agentFolder, 'config.d/10-image.json'), `${JSON.stringify(imageSettings, null, 2)}\n`);
  await writeFile(join(agentFolder, 'root.json'), root);
};

/** The vendor whose folder `createVendor` made, or a copy of it. */
export const openVendor = (options: PublisherOptions): Vendor => {
  const folder = publisherFolder(options.folder);
  const common = (version: string) => {
    const release = options.releases.find((known) => known.version === version);
    if (release === undefined) throw new Error(`the vendor knows no release ${version}`);
    return { folder, compatible, version, healthDeadlineS: release.healthDeadlineS };
  };
  return {
    folder: options.folder,
    paths: publisherPaths(folder),
    build: async (release) => {
      const layer = layerFolder(options.folder, `app-${release.version}`);
      await writeApplicationLayer(layer, release, options.applicationBytes);
      const { version, sequence } = release;
      const { compression, zstdLevel } = options;
      const image = { layers: [layer], compression, zstdLevel };
      const bootFolder = release.kernel === undefined ? undefined : layerFolder(options.folder, `boot-${version}`);
      if (bootFolder !== undefined) await writeBootSet(bootFolder, release.kernel ?? '');
      return await publishRelease({ ...common(version), channel: buildChannel, sequence, image, bootFolder });
    },
    offer: (version, nowMs, patchFrom) => publishRelease({ ...common(version), channel, nowMs, patchFrom }),
  };
};

/** An image of the repository, as the signed targets describe it. */
export interface StoredImage {
  readonly facts: PublishedImage;
  readonly file: string;
}

export const publishedImage = async ({ paths }: Pick<Vendor, 'paths'>, version: string): Promise<StoredImage> => {
  const { targets } = await loadPublished(paths);
  const facts = publishedImages(targets).find((image) => image.version === version);
  if (facts === undefined) throw new Error(`the vendor has no image of ${version}`);
  return { facts, file: join(paths.targets, targetFilePath(facts.path, facts.sha256Hex)) };
};

/** Makes keys, an empty repository and the base layer that trusts its root. */
export const createVendor = async (options: PublisherOptions): Promise<Vendor> => {
  const { paths } = await initRepository({ folder: publisherFolder(options.folder), name: 'example-vendor' });
  await writeLayers(options, await readFile(paths.root, 'utf8'));
  return openVendor(options);
};

/** Serves the vendor's repository over a link. */
export const serveVendor = async (vendor: Vendor): Promise<Served> => {
  const requests: ServedRequest[] = [];
  const server = await createStaticServer(vendor.paths.repository, { onRequest: (request) => requests.push(request) });
  const link = await createLink(server.port);
  return {
    link,
    requests,
    close: async () => {
      link.close();
      await server.close();
    },
  };
};
