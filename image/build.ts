// From layers to disks that can be flashed: Debian root, layers, squashfs, dm-verity, initramfs, and for each board its
// bootloader and partitions. Equal inputs (layers, lock, version, build time) give equal bytes.

import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buildImage } from '../publish/images/image-build.ts';
import type { ImageIdentity } from '../publish/images/os-release.ts';
import { buildArm64Addon } from './addon.ts';
import { makeAgentLayer } from './agent-layer.ts';
import type { Board, Root } from './boards.ts';
import { type BootSet, makeBootFolders, makeBootSetFolder } from './boot-files.ts';
import { unpackPackages } from './debian-packages.ts';
import { buildDebianRoot, manifestPath, unpackDebianRoot } from './debian-root.ts';
import { findPartition, makeDisk, writePartition } from './disk.ts';
import { sealImage, writeFactorySlot } from './factory-slot.ts';
import { makeExt4, makeFat } from './file-system.ts';
import { fillForeignRoot, hostArchitecture } from './foreign-root.ts';
import { makeInitramfs } from './initramfs.ts';
import { findKernel, installModules, writePlainKernel } from './kernel.ts';
import { formatLock, type PackageLock, readManifest } from './package-lock.ts';
import { namedUuid, partitionUuid, planDisk } from './partitions.ts';
import { finishRoot } from './root-finish.ts';
import { prepareToolbox } from './toolbox.ts';

export interface ImageBuildOptions {
  /** One root is built, and from it a disk for each of these. */
  readonly root: Root;
  readonly boards: readonly Board[];
  readonly projectFolder: string;
  /** Downloads and what is made from them alone. */
  readonly cacheFolder: string;
  readonly outputFolder: string;
  readonly identity: ImageIdentity;
  /** The product's layers, the lowest first; otad's comes by itself. */
  readonly layers: readonly string[];
  readonly lock: PackageLock | null;
  readonly trustRootPath: string | null;
  readonly settingsPath: string | null;
  /** Raspberry Pi: the firmware's files; null: those of Debian's package. */
  readonly firmwareFolder: string | null;
  /** U-Boot, for boards that have it on their disk. */
  readonly ubootPath: string | null;
  /** Least compression, for trying things: a third larger, made in a fraction of the time. Never to be published. */
  readonly isDraft: boolean;
  readonly sourceDateEpochS: number;
  readonly mirror?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onStep: (line: string) => void;
}

export interface BuiltFiles {
  readonly image: string;
  /** One for each board, by its name. */
  readonly disks: Readonly<Record<string, string>>;
  readonly lock: string;
  /** Folder to publish with the image: kernel, initramfs, device trees. */
  readonly boot: string;
  readonly rootHex: string;
  readonly hashOffsetBytes: number;
}

/** Kernel and loader: unpacked, never installed. */
const fetchBootPackages = async ({ root, cacheFolder, lock, mirror, signal }: ImageBuildOptions) => {
  const pinned = lock?.boot.map((line) => line.split(' ').slice(0, 2).join('=')) ?? [];
  return unpackPackages({
    folder: join(cacheFolder, `boot-${root.architecture}${lock === null ? '' : '-locked'}`),
    architecture: root.architecture,
    packages: pinned.length > 0 ? pinned : root.bootPackages,
    metapackages: pinned.length > 0 ? [] : [root.kernelMetapackage],
    hasDependencies: false,
    components: root.bootComponents,
    mirror,
    signal,
  });
};

/** Not random: the build would not be reproducible. Images of one product differ in it from those of any other. */
const saltOf = ({ compatible, version }: ImageIdentity): string =>
  createHash('sha256').update(`${compatible} ${version}`).digest('hex');

interface Workplace {
  readonly scratch: string;
  readonly bootRoot: string;
}

const buildRoot = async (options: ImageBuildOptions, { scratch, bootRoot }: Workplace, imagePath: string) => {
  const { architecture, initramfsModules, rootModules } = options.root;
  const { cacheFolder, lock, sourceDateEpochS, mirror, signal, onStep } = options;
  const agentLayer = join(scratch, 'otad');
  const isForeign = architecture !== (await hostArchitecture());
  const addonPath = isForeign ? join(scratch, 'node_sqlite3.node') : null;
  if (addonPath !== null) await buildArm64Addon({ ...options, outputPath: addonPath });
  await makeAgentLayer({ ...options, folder: agentLayer, addonPath });
  const kernel = await findKernel(bootRoot);
  const modules = [...new Set([...initramfsModules, ...rootModules])];
  let initramfs: Uint8Array = new Uint8Array();
  let packages: PackageLock['packages'] = [];
  const built = await buildImage({
    layers: [...options.layers, agentLayer],
    outputPath: imagePath,
    identity: options.identity,
    zstdLevel: options.isDraft ? 1 : undefined,
    sourceDateEpochS,
    signal,
    prepare: async (root, names) => {
      onStep('Debian root');
      const wish = { cacheFolder, architecture, packages: names, lock, sourceDateEpochS };
      if (isForeign) await fillForeignRoot({ ...wish, mirror, signal }, root, scratch);
      else await unpackDebianRoot(await buildDebianRoot({ ...wish, mirror, signal }), root, lock);
      packages = readManifest(await readFile(join(root, manifestPath), 'utf8'));
    },
    finish: async (root) => {
      onStep(`kernel ${kernel.version} and initramfs`);
      initramfs = await makeInitramfs({
        ...{ root, architecture, kernel, scratch },
        ...{ modules: initramfsModules, isDraft: options.isDraft },
      });
      await installModules(kernel, modules, root, scratch);
      await finishRoot(root, sourceDateEpochS);
      onStep('squashfs');
    },
  });
  return { built, kernel, initramfs, packages };
};

/** The disk of a board, below `scratch` until it is whole. */
const makeBoardDisk = async (
  { outputFolder, identity, sourceDateEpochS }: ImageBuildOptions,
  board: Board,
  set: BootSet,
  { imagePath, scratch }: { readonly imagePath: string; readonly scratch: string },
): Promise<string> => {
  const work = join(scratch, board.name);
  await mkdir(work);
  const disk = join(work, 'disk.img');
  const plan = planDisk(board);
  await makeDisk(disk, plan);
  const fileSystem = async (label: string, make: typeof makeFat, id: string): Promise<void> => {
    const path = join(work, `${label}.img`);
    const partition = findPartition(plan, label);
    await make({ folder: join(work, label), path, label, sizeBytes: partition.sizeBytes, id, sourceDateEpochS });
    await writePartition(disk, partition, path);
    await rm(path);
  };
  for (const label of await makeBootFolders(work, board, set)) {
    await fileSystem(label, makeFat, partitionUuid(board, label).slice(0, 8));
  }
  const { offsetBytes, sizeBytes } = findPartition(plan, 'system_a');
  await writeFactorySlot({ diskPath: disk, offsetBytes, sizeBytes }, imagePath, set.image, identity);
  await fileSystem('data', makeExt4, namedUuid(`${board.name} data file system`));
  const finished = join(outputFolder, `${board.name}.img`);
  await rename(disk, finished);
  return finished;
};

/** Everything that new gateways are flashed with. Throws what its parts throw; leaves nothing half-made behind. */
export const buildGatewayImage = async (options: ImageBuildOptions): Promise<BuiltFiles> => {
  const { boards, cacheFolder, outputFolder, identity, mirror, signal, onStep } = options;
  await mkdir(cacheFolder, { recursive: true });
  await mkdir(outputFolder, { recursive: true });
  onStep('tools');
  const toolbox = await prepareToolbox(cacheFolder, mirror, signal);
  process.env.PATH = `${toolbox.path}:${process.env.PATH}`;
  const boot = await fetchBootPackages(options);
  const places = { firmwareFolder: options.firmwareFolder, ubootPath: options.ubootPath };
  const scratch = await mkdtemp(join(cacheFolder, 'work-'));
  const at = (name: string): string => join(outputFolder, name);
  try {
    const image = at('rootfs.squashfs');
    const { kernel, initramfs, packages } = await buildRoot(options, { scratch, bootRoot: boot.root }, image);
    const kernelPath = join(scratch, 'linux');
    await writePlainKernel(kernel.imagePath, kernelPath, options.root.architecture);
    await rm(at('boot'), { recursive: true, force: true });
    await makeBootSetFolder(at('boot'), options.root, { kernelPath, initramfs, bootRoot: boot.root });
    await writeFile(at('packages.lock'), formatLock({ packages, boot: boot.packages }));
    onStep('dm-verity');
    const sealed = await sealImage(image, saltOf(identity));
    const set = { kernelPath, initramfs, image: sealed, bootRoot: boot.root, ...places };
    const disks: Record<string, string> = {};
    for (const board of boards) {
      onStep(`disk of ${board.name}`);
      disks[board.name] = await makeBoardDisk(options, board, set, { imagePath: image, scratch });
    }
    const { rootHex, hashOffsetBytes } = sealed.verity;
    return {
      ...{ image, disks, lock: at('packages.lock'), boot: at('boot') },
      ...{ rootHex, hashOffsetBytes },
    };
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
};
