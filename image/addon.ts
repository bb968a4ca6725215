// The sqlite3 addon for another architecture: four files, compiled with Debian's cross compiler against that architecture's
// own libsqlite3. Node-API is the same in every Node, so the headers of the Node that builds will do.

import { mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { type PackageSource, unpackPackages } from './debian-packages.ts';
import type { PackageLock } from './package-lock.ts';
import { runTool } from './tool.ts';

const sources = ['backup', 'database', 'node_sqlite3', 'statement'];
/** What sqlite3's own build asks for. */
const defines = [
  'NAPI_VERSION=6',
  'NAPI_DISABLE_CPP_EXCEPTIONS=1',
  'BUILDING_NODE_EXTENSION',
  'NODE_GYP_MODULE_NAME=node_sqlite3',
];
const tuple = 'aarch64-linux-gnu';

export interface AddonOptions extends PackageSource {
  readonly projectFolder: string;
  readonly cacheFolder: string;
  readonly outputPath: string;
  readonly lock: PackageLock | null;
}

const libraryNames = ['libsqlite3-0', 'libsqlite3-dev'] as const;

/** The library of the lock, and the headers of that version, which the image has no need of. */
const lockedLibraries = (lock: PackageLock | null): readonly string[] => {
  const line = lock?.packages.find((text) => text.startsWith(`${libraryNames[0]} `));
  return line === undefined ? [] : libraryNames.map((name) => line.replace(libraryNames[0], name));
};

/** Where node_api.h is: beside the Node that runs, or where Debian puts it. */
const nodeHeaders = [join(process.execPath, '../../include/node'), '/usr/include/node'];

/** For arm64. Throws TOOL_MISSING without g++-aarch64-linux-gnu. */
export const buildArm64Addon = async (options: AddonOptions): Promise<void> => {
  const { projectFolder, cacheFolder, outputPath, lock, mirrors, state, signal } = options;
  const libraries = await unpackPackages({
    folder: join(cacheFolder, 'addon-arm64'),
    ...{ architecture: 'arm64', packages: libraryNames, exactly: lockedLibraries(lock) },
    ...{ hasDependencies: false, mirrors, state, signal },
  });
  const modules = join(projectFolder, 'node_modules');
  await mkdir(join(outputPath, '..'), { recursive: true });
  const includes = [...nodeHeaders, join(modules, 'node-addon-api'), join(libraries.root, 'usr/include')];
  await runTool(
    `${tuple}-g++`,
    [
      ...['-shared', '-fPIC', '-O2', '-std=gnu++17', '-fvisibility=hidden', '-o', outputPath],
      // Assertions name their file; where the tree lies must change no byte.
      ...[projectFolder, libraries.root].map((folder) => `-ffile-prefix-map=${resolve(folder)}=.`),
      ...defines.map((name) => `-D${name}`),
      ...includes.flatMap((path) => ['-I', path]),
      ...sources.map((name) => join(modules, 'sqlite3/src', `${name}.cc`)),
      ...[`-L${join(libraries.root, 'usr/lib', tuple)}`, '-lsqlite3', '-Wl,--allow-shlib-undefined', '-s'],
    ],
    { signal },
  );
};
