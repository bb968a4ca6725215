// From layers to a disk that can be flashed: Debian root, layers, squashfs, dm-verity, initramfs, bootloader, partitions.
// Equal inputs (layers, lock, version, build time) give equal bytes.

import { createHash } from 'node:crypto';
import { copyFile, mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buildImage } from '../publish/images/image-build.ts';
import type { ImageIdentity } from '../publish/images/os-release.ts';
import { makeAgentLayer } from './agent-layer.ts';
import type { Board } from './boards.ts';
import { type BootSet, makeEspTree } from './boot-files.ts';
import { unpackPackages } from './debian-packages.ts';
import { buildDebianRoot, manifestPath, unpackDebianRoot } from './debian-root.ts';
import { findPartition, makeDisk, writePartition } from './disk.ts';
import { sealImage, writeFactorySlot } from './factory-slot.ts';
import { makeExt4, makeFat } from './file-system.ts';
import { makeInitramfs } from './initramfs.ts';
import { findKernel, installModules } from './kernel.ts';
import { formatLock, type PackageLock, readManifest } from './package-lock.ts';
import { namedUuid, planDisk } from './partitions.ts';
import { finishRoot } from './root-finish.ts';
import { prepareToolbox } from './toolbox.ts';

export interface ImageBuildOptions {
  readonly board: Board;
  readonly projectFolder: string;
  /** Downloads and what is made from them alone. */
  readonly cacheFolder: string;
  readonly outputFolder: string;
  readonly identity: ImageIdentity;
  /** The product's layers, the lowest first; the board's and otad's come by themselves. */
  readonly layers: readonly string[];
  readonly lock: PackageLock | null;
  readonly trustRootPath: string | null;
  readonly settingsPath: string | null;
  readonly sourceDateEpochS: number;
  readonly mirror?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onStep: (line: string) => void;
}

export interface BuiltFiles {
  readonly image: string;
  readonly disk: string | null;
  readonly lock: string;
  readonly kernel: string;
  readonly initramfs: string;
  readonly rootHex: string;
  readonly hashOffsetBytes: number;
}

/** Kernel and loader: unpacked, never installed. */
const fetchBootPackages = async ({ board, cacheFolder, lock, mirror, signal }: ImageBuildOptions) => {
  const pinned = lock?.boot.map((line) => line.split(' ').slice(0, 2).join('=')) ?? [];
  return unpackPackages({
    folder: join(cacheFolder, `boot-${board.name}${lock === null ? '' : '-locked'}`),
    architecture: board.architecture,
    packages: pinned.length > 0 ? pinned : ['systemd-boot-efi'],
    metapackages: pinned.length > 0 ? [] : [board.kernelMetapackage],
    hasDependencies: false,
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
  const { board, projectFolder, cacheFolder, lock, sourceDateEpochS, mirror, signal, onStep } = options;
  const agentLayer = join(scratch, 'otad');
  await makeAgentLayer({ ...options, folder: agentLayer });
  const kernel = await findKernel(bootRoot);
  const modules = [...new Set([...board.initramfsModules, ...board.rootModules])];
  let initramfs: Uint8Array = new Uint8Array();
  let packages: PackageLock['packages'] = [];
  const built = await buildImage({
    layers: [...options.layers, agentLayer, join(projectFolder, 'image/boards', board.name)],
    outputPath: imagePath,
    identity: options.identity,
    sourceDateEpochS,
    signal,
    prepare: async (root, names) => {
      onStep('Debian root');
      const wish = { cacheFolder, architecture: board.architecture, packages: names, lock, sourceDateEpochS };
      await unpackDebianRoot(await buildDebianRoot({ ...wish, mirror, signal }), root, lock);
      packages = readManifest(await readFile(join(root, manifestPath), 'utf8'));
    },
    finish: async (root) => {
      onStep(`kernel ${kernel.version} and initramfs`);
      initramfs = await makeInitramfs({
        ...{ root, architecture: board.architecture, kernel, scratch },
        modules: board.initramfsModules,
      });
      await installModules(kernel, modules, root, scratch);
      await finishRoot(root, sourceDateEpochS);
      onStep('squashfs');
    },
  });
  return { built, kernel, initramfs, packages };
};

const makeBootPartitions = async (
  options: ImageBuildOptions,
  { scratch, bootRoot }: Workplace,
  set: BootSet,
  diskPath: string,
): Promise<void> => {
  const { board, sourceDateEpochS } = options;
  const plan = planDisk(board);
  const partition = findPartition(plan, 'esp');
  const folder = join(scratch, 'esp');
  const path = join(scratch, 'esp.img');
  const loader = join(bootRoot, 'usr/lib/systemd/boot/efi', `systemd-boot${board.efiName}.efi`);
  await makeEspTree(folder, board, set, loader);
  const id = namedUuid(`${board.name} esp`).slice(0, 8);
  await makeFat({ folder, path, label: 'ESP', sizeMiB: board.sizesMiB.boot, id, sourceDateEpochS });
  await writePartition(diskPath, partition, path);
};

/** Everything that a new gateway is flashed with. Throws what its parts throw; leaves nothing half-made behind. */
export const buildGatewayImage = async (options: ImageBuildOptions): Promise<BuiltFiles> => {
  const { board, cacheFolder, outputFolder, identity, sourceDateEpochS, mirror, signal, onStep } = options;
  await mkdir(cacheFolder, { recursive: true });
  await mkdir(outputFolder, { recursive: true });
  onStep('tools');
  const toolbox = await prepareToolbox(cacheFolder, mirror, signal);
  process.env.PATH = `${toolbox.path}:${process.env.PATH}`;
  const boot = await fetchBootPackages(options);
  const scratch = await mkdtemp(join(cacheFolder, 'work-'));
  const at = (name: string): string => join(outputFolder, name);
  try {
    const place = { scratch, bootRoot: boot.root };
    const image = at('rootfs.squashfs');
    const { kernel, initramfs, packages } = await buildRoot(options, place, image);
    await copyFile(kernel.imagePath, at('linux'));
    await writeFile(at('initrd'), initramfs);
    await writeFile(at('packages.lock'), formatLock({ packages, boot: boot.packages }));
    onStep('dm-verity');
    const sealed = await sealImage(image, saltOf(identity));
    onStep('disk');
    const disk = join(scratch, 'disk.img');
    const plan = planDisk(board);
    await makeDisk(disk, plan);
    const set = { kernelPath: at('linux'), initramfs, image: sealed, version: identity.version };
    await makeBootPartitions(options, place, set, disk);
    const { offsetBytes, sizeBytes } = findPartition(plan, 'system_a');
    await writeFactorySlot({ diskPath: disk, offsetBytes, sizeBytes }, image, sealed, identity);
    const data = join(scratch, 'data.img');
    await makeExt4({
      ...{ folder: join(scratch, 'data'), path: data, label: 'data', sizeMiB: board.sizesMiB.data, sourceDateEpochS },
      id: namedUuid(`${board.name} data file system`),
    });
    await writePartition(disk, findPartition(plan, 'data'), data);
    await rename(disk, at('disk.img'));
    const { rootHex, hashOffsetBytes } = sealed.verity;
    return {
      ...{ image, disk: at('disk.img'), lock: at('packages.lock'), kernel: at('linux'), initramfs: at('initrd') },
      ...{ rootHex, hashOffsetBytes },
    };
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
};
