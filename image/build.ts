// From layers to disks that can be flashed: Debian root, layers, squashfs, dm-verity, initramfs, and for each board its
// bootloader and partitions. Equal inputs (layers, lock, version, build time) give equal bytes.

import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { OtadError } from '../agent/core/errors.ts';
import { buildImage } from '../publish/images/image-build.ts';
import type { ImageIdentity } from '../publish/images/os-release.ts';
import { buildArm64Addon } from './addon.ts';
import { makeAgentLayer } from './agent-layer.ts';
import type { Board, Root } from './boards.ts';
import { type BootSet, makeBootFolders, makeBootSetFolder } from './boot-files.ts';
import { findMirrors, type MirrorWish } from './debian-mirror.ts';
import { type PackageSource, unpackPackages } from './debian-packages.ts';
import { buildDebianRoot, manifestPath, unpackDebianRoot } from './debian-root.ts';
import { describeSuites, newestSuiteS, readSuites } from './debian-suites.ts';
import { findPartition, makeDisk, writePartition } from './disk.ts';
import { sealImage, writeFactorySlot } from './factory-slot.ts';
import { makeExt4, makeFat } from './file-system.ts';
import { fillForeignRoot, hostArchitecture } from './foreign-root.ts';
import { makeInitramfs } from './initramfs.ts';
import { findKernel, installModules, writePlainKernel } from './kernel.ts';
import { formatLock, type Manifest, type PackageLock, pinsOf, readManifest } from './package-lock.ts';
import { namedUuid, partitionUuid, planDisk } from './partitions.ts';
import { finishRoot } from './root-finish.ts';
import { prepareToolbox, toolArchitecture } from './toolbox.ts';

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
  /** Least compression, for trying things: about a quarter larger, made in a fraction of the time. Never to be published. */
  readonly isDraft: boolean;
  /** The time of the build, seconds since 1970; null: that of the newest of what goes in, the packages or `changedAtS`. */
  readonly sourceDateEpochS: number | null;
  /** When what does not come from Debian changed last; 0: nobody knows. */
  readonly changedAtS: number;
  readonly mirrorWish?: MirrorWish | undefined;
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

/** What the parts of a build have in common, found out before the first of them. */
interface Build extends ImageBuildOptions {
  readonly source: PackageSource;
  readonly suites: Manifest;
  readonly epochS: number;
}

/** The state of the archive: the lock's, or today's. With it the time of the build. Throws CONFIG_INVALID. */
const openBuild = async (options: ImageBuildOptions): Promise<Build> => {
  const { cacheFolder, lock, signal, sourceDateEpochS, changedAtS, onStep } = options;
  const mirrors = await findMirrors(options.mirrorWish);
  const archive = join(cacheFolder, 'archive');
  const suites = lock?.suites ?? (await readSuites(archive, mirrors, toolArchitecture(), signal));
  const from = lock === null ? "Debian's archive" : 'versions of the lock';
  onStep(`${from}: ${suites.length === 0 ? 'of an unknown day' : describeSuites(suites, Date.now())}`);
  if (mirrors.security === null) onStep('no security updates: the image has the holes that they close');
  const epochS = sourceDateEpochS ?? Math.max(changedAtS, newestSuiteS(suites));
  if (epochS === 0) {
    const expected = 'seconds since 1970: neither git nor the lock says when anything changed';
    throw new OtadError('CONFIG_INVALID', { key: 'SOURCE_DATE_EPOCH', expected, found: 'nothing' });
  }
  onStep(`time of the build: ${new Date(epochS * 1000).toISOString()}`);
  return { ...options, suites, epochS, source: { mirrors, state: suites.join(', '), signal } };
};

/** The tools of a lock are programs for the machine that built; another kind of machine takes its own newest. */
const lockedTools = ({ lock }: Build): Manifest => {
  const isOurs = (line: string): boolean => [toolArchitecture(), 'all'].includes(line.split(' ')[2] ?? '');
  return lock?.tools.every(isOurs) === true ? lock.tools : [];
};

/** Kernel and loader: unpacked, never installed. */
const fetchBootPackages = ({ root, cacheFolder, lock, source }: Build) =>
  unpackPackages({
    ...source,
    folder: join(cacheFolder, `boot-${root.architecture}`),
    architecture: root.architecture,
    packages: root.bootPackages,
    metapackages: [root.kernelMetapackage],
    hasDependencies: false,
    components: root.bootComponents,
    exactly: lock?.boot,
  });

/** Not random: the build would not be reproducible. Images of one product differ in it from those of any other. */
const saltOf = ({ compatible, version }: ImageIdentity): string =>
  createHash('sha256').update(`${compatible} ${version}`).digest('hex');

interface Workplace {
  readonly scratch: string;
  readonly bootRoot: string;
}

/** Beside the list of packages: a gateway can say how old they are. */
const suitesPath = 'usr/share/gateway/sources';

const fillRoot = async (build: Build, root: string, names: readonly string[], scratch: string): Promise<Manifest> => {
  const { cacheFolder, lock, suites, source } = build;
  const { architecture } = build.root;
  // A root depends on nothing but the archive, so its time does as well.
  const sourceDateEpochS = newestSuiteS(suites) || build.epochS;
  const wish = { ...source, cacheFolder, architecture, packages: names, sourceDateEpochS, state: suites.join(', ') };
  if (architecture !== (await hostArchitecture())) await fillForeignRoot({ ...wish, lock }, root, scratch);
  else {
    const pins = lock === null ? '' : pinsOf(lock);
    await unpackDebianRoot(await buildDebianRoot({ ...wish, pins }), root, lock);
  }
  await writeFile(join(root, suitesPath), suites.map((line) => `${line}\n`).join(''));
  return readManifest(await readFile(join(root, manifestPath), 'utf8'));
};

const buildRoot = async (options: Build, { scratch, bootRoot }: Workplace, imagePath: string) => {
  const { architecture, initramfsModules, rootModules } = options.root;
  const { epochS, signal, onStep } = options;
  const agentLayer = join(scratch, 'otad');
  const isForeign = architecture !== (await hostArchitecture());
  const addonPath = isForeign ? join(scratch, 'node_sqlite3.node') : null;
  if (addonPath !== null) await buildArm64Addon({ ...options, ...options.source, outputPath: addonPath });
  await makeAgentLayer({ ...options, folder: agentLayer, addonPath });
  const kernel = await findKernel(bootRoot);
  const modules = [...new Set([...initramfsModules, ...rootModules])];
  let initramfs: Uint8Array = new Uint8Array();
  let packages: Manifest = [];
  const built = await buildImage({
    layers: [...options.layers, agentLayer],
    outputPath: imagePath,
    identity: options.identity,
    zstdLevel: options.isDraft ? 1 : undefined,
    sourceDateEpochS: epochS,
    signal,
    prepare: async (root, names) => {
      onStep('Debian root');
      packages = await fillRoot(options, root, names, scratch);
    },
    finish: async (root) => {
      onStep(`kernel ${kernel.version} and initramfs`);
      initramfs = await makeInitramfs({
        ...{ root, architecture, kernel, scratch },
        ...{ modules: initramfsModules, isDraft: options.isDraft },
      });
      await installModules(kernel, modules, root, scratch);
      await finishRoot(root, epochS);
      onStep('squashfs');
    },
  });
  return { built, kernel, initramfs, packages };
};

/** The disk of a board, below `scratch` until it is whole. */
const makeBoardDisk = async (
  { outputFolder, identity, epochS }: Build,
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
    await make({
      folder: join(work, label),
      path,
      label,
      sizeBytes: partition.sizeBytes,
      id,
      sourceDateEpochS: epochS,
    });
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
  const { boards, cacheFolder, outputFolder, identity, onStep } = options;
  // Modes in the image are its own, whatever whoever builds keeps from others.
  process.umask(0o022);
  await mkdir(cacheFolder, { recursive: true });
  await mkdir(outputFolder, { recursive: true });
  const build = await openBuild(options);
  onStep('tools');
  const toolbox = await prepareToolbox(cacheFolder, build.source, lockedTools(build));
  process.env.PATH = `${toolbox.path}:${process.env.PATH}`;
  const boot = await fetchBootPackages(build);
  const places = { firmwareFolder: options.firmwareFolder, ubootPath: options.ubootPath };
  const scratch = await mkdtemp(join(cacheFolder, 'work-'));
  const at = (name: string): string => join(outputFolder, name);
  try {
    const image = at('rootfs.squashfs');
    const { kernel, initramfs, packages } = await buildRoot(build, { scratch, bootRoot: boot.root }, image);
    const kernelPath = join(scratch, 'linux');
    await writePlainKernel(kernel.imagePath, kernelPath, options.root.architecture);
    await rm(at('boot'), { recursive: true, force: true });
    await makeBootSetFolder(at('boot'), options.root, { kernelPath, initramfs, bootRoot: boot.root });
    const lock = { packages, boot: boot.packages, tools: toolbox.packages, suites: build.suites };
    await writeFile(at('packages.lock'), formatLock(lock));
    onStep('dm-verity');
    const sealed = await sealImage(image, saltOf(identity));
    const set = { kernelPath, initramfs, image: sealed, bootRoot: boot.root, ...places };
    const disks: Record<string, string> = {};
    for (const board of boards) {
      onStep(`disk of ${board.name}`);
      disks[board.name] = await makeBoardDisk(build, board, set, { imagePath: image, scratch });
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
