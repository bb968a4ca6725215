// The vendor's side of the virtual world: a real otapub repository with layered releases, served by its own static
// server behind a link that can be slow or cut.

import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type PublishedRelease, publishRelease } from '../../publish/release.ts';
import { initRepository } from '../../publish/repository-init.ts';
import { createStaticServer, type StaticServer } from '../../publish/static-server.ts';
import { type ApplicationRelease, channel, compatible, writeApplicationLayer, writeBaseLayer } from './layers.ts';
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
  readonly healthDeadlineS: number;
}

export interface Publisher {
  readonly folder: string;
  readonly repository: string;
  readonly link: Link;
  /** Builds, signs and stores a release; no gateway is offered it yet. */
  readonly build: (release: ApplicationRelease) => Promise<PublishedRelease>;
  /** Offers a built release to the gateways' channel. */
  readonly offer: (version: string) => Promise<PublishedRelease>;
  readonly close: () => Promise<void>;
}

const layerFolder = (folder: string, name: string): string => join(folder, 'layers', name);

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

export const createPublisher = async (options: PublisherOptions): Promise<Publisher> => {
  const folder = join(options.folder, 'otapub');
  const { paths } = await initRepository({ folder, name: 'example-vendor' });
  await writeLayers(options, await readFile(paths.root, 'utf8'));
  const server: StaticServer = await createStaticServer(paths.repository);
  const link = await createLink(server.port);
  const common = { folder, compatible, healthDeadlineS: options.healthDeadlineS };
  return {
    folder,
    repository: paths.repository,
    link,
    build: async (release) => {
      const layer = layerFolder(options.folder, `app-${release.version}`);
      await writeApplicationLayer(layer, release, options.applicationBytes);
      const { version, sequence } = release;
      return await publishRelease({ ...common, channel: buildChannel, version, sequence, image: { layers: [layer] } });
    },
    offer: (version) => publishRelease({ ...common, channel, version }),
    close: async () => {
      link.close();
      await server.close();
    },
  };
};
