// The images that the wire rows are measured with: a Debian 13 root with Node, systemd, otad and a gateway application, as
// released and with the security updates of today, and the latter with a newer application. Built once into a folder;
// whatever is there is used again, so figures stay comparable until the folder is removed.

import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { makeAgentLayer } from '../../image/agent-layer.ts';
import { type DebianMirrors, findMirrors } from '../../image/debian-mirror.ts';
import { buildDebianRoot, manifestPath, unpackDebianRoot } from '../../image/debian-root.ts';
import { readManifest } from '../../image/package-lock.ts';
import { finishRoot } from '../../image/root-finish.ts';
import { prepareToolbox } from '../../image/toolbox.ts';
import { buildImage } from '../../publish/images/image-build.ts';
import { type Edition, writeApplicationLayer } from './gateway-application.ts';

const compatible = 'bench-gateway';
/** The reference image's; a release of a vendor keeps it as well. */
const sourceDateEpochS = 1_735_689_600;

/** The release alone. */
const noUpdates = 'Package: *\nPin: release n=trixie-updates\nPin-Priority: -1\n';

const imagesSchema = z.strictObject({
  /** Paths. */
  before: z.string(),
  after: z.string(),
  application: z.string(),
  /** `NAME OLD -> NEW` of each package that the updates changed. */
  changedPackages: z.array(z.string()),
});
export type BenchImages = z.infer<typeof imagesSchema>;

interface Wish {
  readonly name: string;
  readonly sequence: number;
  readonly edition: Edition;
  readonly mirrors: DebianMirrors;
  /** apt preferences. */
  readonly pins: string;
}

export interface ImagePlaces {
  readonly projectFolder: string;
  /** Packages, roots and images lie below it. */
  readonly folder: string;
  readonly onStep: (line: string) => void;
}

const architecture = ({ x64: 'amd64', arm64: 'arm64' } as Readonly<Record<string, string>>)[process.arch] ?? 'amd64';

/** Sentences; both manifests are sorted lines of `NAME VERSION ARCHITECTURE`. */
export const changesBetween = (before: readonly string[], after: readonly string[]): readonly string[] => {
  const versions = new Map(before.map((line) => line.split(' ') as [string, string]));
  return after
    .map((line) => line.split(' '))
    .filter(([name = '', version]) => versions.get(name) !== version)
    .map(([name = '', version]) => `${name} ${versions.get(name) ?? 'none'} -> ${version}`);
};

const buildOne = async ({ projectFolder, folder, onStep }: ImagePlaces, wish: Wish) => {
  onStep(`image ${wish.name}`);
  await rm(join(folder, 'layers'), { recursive: true, force: true });
  const agentLayer = join(folder, 'layers/otad');
  const applicationLayer = join(folder, `layers/application-${wish.edition}`);
  await makeAgentLayer({ projectFolder, folder: agentLayer, trustRootPath: null, addonPath: null, settingsPath: null });
  await writeApplicationLayer(applicationLayer, wish.edition, projectFolder);
  let manifest: readonly string[] = [];
  const version = `${wish.sequence}.0`;
  const { path } = await buildImage({
    layers: [join(projectFolder, 'image/layers/product'), agentLayer, applicationLayer],
    outputPath: join(folder, `${wish.name}.squashfs`),
    identity: { releaseId: `${compatible}-${version}`, compatible, version, sequence: wish.sequence },
    sourceDateEpochS,
    prepare: async (root, packages) => {
      const cacheFolder = join(folder, 'cache');
      const { mirrors, pins } = wish;
      // What is there will do, whatever the archive has by now.
      const state = '';
      const options = { cacheFolder, architecture, packages, mirrors, pins, state, sourceDateEpochS };
      await unpackDebianRoot(await buildDebianRoot(options), root, null);
      manifest = readManifest(await readFile(join(root, manifestPath), 'utf8'));
    },
    finish: (root) => finishRoot(root, sourceDateEpochS),
  });
  return { path, manifest };
};

/** Takes minutes, the network and root. Changes PATH of this process: the programs of Debian 13 come first. */
const buildImages = async (places: ImagePlaces): Promise<BenchImages> => {
  const { folder, onStep } = places;
  await mkdir(folder, { recursive: true });
  onStep('programs of Debian 13');
  const toolbox = await prepareToolbox(join(folder, 'cache'), {});
  process.env.PATH = `${toolbox.path}:${process.env.PATH}`;
  const mirrors = await findMirrors();
  const asReleased = { mirrors: { ...mirrors, security: null }, pins: noUpdates };
  const updated = { mirrors, pins: '' };
  const before = await buildOne(places, { name: 'before', sequence: 1, edition: 1, ...asReleased });
  const after = await buildOne(places, { name: 'after', sequence: 2, edition: 1, ...updated });
  const application = await buildOne(places, { name: 'application', sequence: 3, edition: 2, ...updated });
  const changedPackages = [...changesBetween(before.manifest, after.manifest)];
  return { before: before.path, after: after.path, application: application.path, changedPackages };
};

/** Those of an earlier time, or new ones. */
export const prepareImages = async (places: ImagePlaces): Promise<BenchImages> => {
  const stamp = join(places.folder, 'images.json');
  const known = await readFile(stamp, 'utf8').catch(() => null);
  if (known !== null) return imagesSchema.parse(JSON.parse(known));
  const images = await buildImages(places);
  await writeFile(`${stamp}.part`, `${JSON.stringify(images, null, 2)}\n`);
  await rename(`${stamp}.part`, stamp);
  return images;
};
