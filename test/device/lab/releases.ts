// What the lab's gateways run and are offered: the reference image with the lab's layer as the factory leaves it, and two
// releases made from it by changing a few files. All of it is built once, signed with TEST keys, and kept until an input changes.

import { createHash } from 'node:crypto';
import { cp, lstat, mkdir, readdir, readFile, readlink, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildGatewayImage } from '../../../image/build.ts';
import { type CpioEntry, makeCpio } from '../../../image/cpio.ts';
import { runTool } from '../../../image/tool.ts';
import { writeIdentity } from '../../../publish/images/os-release.ts';
import { publishRelease } from '../../../publish/releases/release.ts';
import { releaseIdOf } from '../../../publish/releases/release-plan.ts';
import { publisherPaths } from '../../../publish/repository/publisher-folder.ts';
import { renewRepository } from '../../../publish/repository/renewal.ts';
import { initRepository } from '../../../publish/repository/repository-init.ts';
import type { LabBoard } from './boards.ts';
import { makeKey } from './technician.ts';

export const projectFolder = fileURLToPath(new URL('../../../..', import.meta.url));
export const deviceFolder = join(projectFolder, '.device');
const labLayer = join(projectFolder, 'test/device/lab-layer');
const epochS = 1_735_689_600;
const dayS = 86_400;
const blockBytes = 4096;

/**
 * Channel -> what a gateway that follows it is offered. `good` and `sick` differ from the factory's by their files alone. `sick` is
 * well while nobody names a sickness, and has the time to show it on a machine that others use as well.
 */
export const labReleases = {
  factory: { version: '1.0.0', sequence: 1, healthDeadlineS: 300 },
  good: { version: '1.1.0', sequence: 2, healthDeadlineS: 300 },
  sick: { version: '1.2.0', sequence: 3, healthDeadlineS: 120 },
} as const;

export type LabChannel = keyof typeof labReleases;

/** What an image must be on a slot, by the publisher's word. */
export interface LabImage {
  readonly lengthBytes: number;
  readonly rootHex: string;
  /** The boot files of the release: name -> SHA-256. */
  readonly bootSet: Readonly<Record<string, string>>;
  readonly bootBytes: number;
}

export interface LabReleases {
  readonly compatible: string;
  /** The whole disk as the factory writes it, by the board's name in image/boards.ts. */
  readonly disks: Readonly<Record<string, string>>;
  /** What a web server serves. */
  readonly repositoryFolder: string;
  readonly images: Readonly<Record<LabChannel, LabImage>>;
  /** Private half of the key that every image lets in. */
  readonly technicianKeyPath: string;
}

/** Whatever decides a byte of a disk or of a release: what is put in, and the code that puts it there. */
const inputs = [
  ...[
    'image',
    'units',
    'bootctl/uboot/boot.cmd',
    'test/device/lab-layer',
    'test/device/lab-releases',
    'package-lock.json',
  ],
  ...['dist/bundle', 'dist/image', 'dist/publish', 'dist/bootctl', 'dist/verity', 'dist/delta', 'dist/agent/core'],
  ...['dist/test/device/lab/releases.js', 'dist/test/device/lab/technician.js'],
];

const hashTree = async (names: readonly string[]): Promise<string> => {
  const hash = createHash('sha256');
  /** A link counts by where it points: masked and enabled units are nothing else. */
  const add = async (name: string): Promise<void> => {
    const path = join(projectFolder, name);
    const found = await lstat(path);
    if (found.isDirectory()) {
      for (const child of (await readdir(path)).sort()) await add(join(name, child));
      return;
    }
    const isLink = found.isSymbolicLink();
    const bytes = isLink ? Buffer.from(await readlink(path)) : await readFile(path);
    hash.update(`${name}\n${isLink ? 'link' : found.mode & 0o111} ${bytes.length}\n`).update(bytes);
  };
  for (const name of names) await add(name);
  return hash.digest('hex');
};

/** Whatever decides what a case says: gateways, releases and the lab itself. */
export const labDigest = (): Promise<string> =>
  hashTree([...inputs, 'test/device', 'dist/test/device', 'dist/test/support', 'dist/test/e2e', 'dist/test/bootctl']);

/** What makes a channel's release differ, as a folder of files over the factory's tree. */
const changesOf = (channel: LabChannel): string => join(projectFolder, 'test/device/lab-releases', channel);

/** Each release is a day newer: a gateway renews what it derives from `/usr` when that is newer than before. */
const releaseTimeS = (channel: LabChannel): number => epochS + labReleases[channel].sequence * dayS;

/** Squeezed less than a product would be: the lab builds them often and they live for an hour. */
const squash = async (tree: string, path: string, timeS: number): Promise<void> => {
  const times = ['-mkfs-time', String(timeS), '-all-time', String(timeS)];
  const fixed = [
    ...times,
    '-all-root',
    '-no-xattrs',
    '-no-exports',
    '-b',
    '131072',
    '-noappend',
    '-no-progress',
    '-quiet',
  ];
  await rm(path, { force: true });
  await runTool('mksquashfs', [tree, path, ...fixed, '-comp', 'zstd', '-Xcompression-level', '3']);
  const { length } = await readFile(path);
  await truncate(path, Math.ceil(length / blockBytes) * blockBytes);
};

/** The factory's kernel, and an initramfs that differs from every other release's by an archive in front, as microcode comes. */
const buildBootSet = async (shop: Workshop, channel: LabChannel): Promise<string> => {
  const folder = join(shop.folder, `boot-${channel}`);
  await cp(shop.bootFolder, folder, { recursive: true });
  const initrd = join(folder, 'initrd');
  const bytes = await readFile(initrd);
  const note: CpioEntry = {
    ...{ kind: 'file', path: 'release', isExecutable: false },
    bytes: Buffer.from(`${labReleases[channel].version}\n`),
  };
  await writeFile(initrd, Buffer.concat([makeCpio([note]), bytes]));
  return folder;
};

/** Digests and length of the files in a folder of boot files. */
const describeBootSet = async (folder: string): Promise<Pick<LabImage, 'bootSet' | 'bootBytes'>> => {
  const bootSet: Record<string, string> = {};
  let bootBytes = 0;
  for (const name of await readdir(folder)) {
    const bytes = await readFile(join(folder, name));
    bootSet[name] = createHash('sha256').update(bytes).digest('hex');
    bootBytes += bytes.length;
  }
  return { bootSet, bootBytes };
};

interface Workshop {
  readonly folder: string;
  readonly bootFolder: string;
  readonly compatible: string;
  readonly tree: string;
}

const identityOf = (compatible: string, channel: LabChannel) => {
  const { version, sequence } = labReleases[channel];
  return { releaseId: releaseIdOf(compatible, version), compatible, version, sequence };
};

const buildRelease = async (shop: Workshop, channel: LabChannel): Promise<string> => {
  await cp(changesOf(channel), shop.tree, { recursive: true, force: true });
  // Whatever the umask of whoever checked this out: what others may write is no health check.
  await runTool('chmod', ['-R', 'go-w', shop.tree]);
  await writeIdentity(shop.tree, identityOf(shop.compatible, channel), releaseTimeS(channel));
  const path = join(shop.folder, `${channel}.squashfs`);
  await squash(shop.tree, path, releaseTimeS(channel));
  return path;
};

const compatible = 'otad-lab';

const technicianKey = (folder: string): string => join(folder, 'technician');

/** What a product adds: the lab's layer, and the key of whoever mends a gateway that has lost its data partition. */
const makeKeyLayer = async (folder: string): Promise<string> => {
  const layer = join(folder, 'key-layer');
  const keys = join(layer, 'files/usr/lib/gateway/authorized_keys.d');
  await mkdir(keys, { recursive: true });
  await writeFile(join(keys, 'root'), `${await makeKey(technicianKey(folder))}\n`);
  await writeFile(join(layer, 'layer.json'), JSON.stringify({ name: 'lab-key', base: labLayer, modes: 'plain' }));
  return layer;
};

const buildAll = async (boards: readonly LabBoard[], folder: string, onStep: (line: string) => void): Promise<void> => {
  const [first] = boards;
  if (first === undefined) throw new Error('there is no board to build for');
  const publisher = join(folder, 'publisher');
  await initRepository({ folder: publisher, name: 'device-lab-TEST' });
  const built = await buildGatewayImage({
    root: first.image.root,
    boards: boards.map(({ image }) => image),
    projectFolder,
    cacheFolder: join(projectFolder, '.image/cache'),
    outputFolder: join(folder, 'factory'),
    identity: identityOf(compatible, 'factory'),
    layers: [await makeKeyLayer(folder)],
    lock: null,
    trustRootPath: publisherPaths(publisher).root,
    settingsPath: null,
    firmwareFolder: null,
    ubootPath: null,
    isDraft: true,
    sourceDateEpochS: releaseTimeS('factory'),
    changedAtS: 0,
    onStep,
  });
  const tree = join(folder, 'tree');
  await runTool('unsquashfs', ['-quiet', '-no-progress', '-d', tree, built.image]);
  const shop = { folder, bootFolder: built.boot, compatible, tree };
  const images: Partial<Record<LabChannel, LabImage>> = {
    factory: {
      ...{ rootHex: built.rootHex, lengthBytes: built.hashOffsetBytes },
      ...(await describeBootSet(built.boot)),
    },
  };
  for (const channel of ['good', 'sick'] as const) {
    onStep(`release ${labReleases[channel].version}`);
    const imagePath = await buildRelease(shop, channel);
    const { version, healthDeadlineS } = labReleases[channel];
    const wish = { folder: publisher, channel, compatible, version, healthDeadlineS };
    const bootFolder = await buildBootSet(shop, channel);
    const { release } = await publishRelease({ ...wish, image: { imagePath }, bootFolder });
    const [artifact] = release.artifacts;
    if (artifact?.verity == null) throw new Error(`${version} was published without an image`);
    const { lengthBytes, verity } = artifact;
    images[channel] = { rootHex: verity.rootHex, lengthBytes, ...(await describeBootSet(bootFolder)) };
    await rm(imagePath);
    await rm(bootFolder, { recursive: true });
  }
  await rm(tree, { recursive: true });
  await rm(built.image);
  await writeFile(join(folder, 'images.json'), JSON.stringify(images));
  await writeFile(join(folder, 'disks.json'), JSON.stringify(built.disks));
};

/** Builds what is not there yet, for all boards at once, since they share one root; takes minutes the first time. */
export const prepareReleases = async (
  boards: readonly LabBoard[],
  onStep: (line: string) => void,
): Promise<LabReleases> => {
  const folder = join(deviceFolder, 'lab');
  const stamp = join(folder, 'ready');
  const wanted = await hashTree(inputs);
  if ((await readFile(stamp, 'utf8').catch(() => '')) !== wanted) {
    await rm(folder, { recursive: true, force: true });
    await mkdir(folder, { recursive: true });
    await buildAll(boards, folder, onStep);
    await writeFile(stamp, wanted);
  } else {
    // Signatures of the online roles live for days only.
    await renewRepository({ folder: join(folder, 'publisher') });
  }
  return {
    compatible,
    disks: JSON.parse(await readFile(join(folder, 'disks.json'), 'utf8')),
    repositoryFolder: publisherPaths(join(folder, 'publisher')).repository,
    images: JSON.parse(await readFile(join(folder, 'images.json'), 'utf8')),
    technicianKeyPath: technicianKey(folder),
  };
};
