// The Debian part of an image for an architecture whose programs this machine cannot run. Maintainer scripts have to run, so
// they run once, in a root for this machine with the same packages in the same versions; what they left (settings, links,
// lists of users) holds for every architecture. Programs and libraries come from the packages of the wanted one.

import { chmod, chown, cp, lstat, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { OtadError } from '../agent/core/errors.ts';
import { unpackPackages } from './debian-packages.ts';
import {
  buildDebianRoot,
  type DebianRootOptions,
  excludedFolders,
  keptCharacterSets,
  manifestPath,
  unpackDebianRoot,
} from './debian-root.ts';
import { differences, type PackageLock, readManifest, sourceOf, sourcePinsOf } from './package-lock.ts';
import { runTool } from './tool.ts';

const listsFolder = 'var/lib/dpkg/info';
const tupleOf: Readonly<Record<string, string>> = { amd64: 'x86_64-linux-gnu', arm64: 'aarch64-linux-gnu' };
const elfMagic = Buffer.from([0x7f, 0x45, 0x4c, 0x46]);

/** Every path that a package of the root brought; the others were made by maintainer scripts. */
const ownedPaths = async (root: string): Promise<ReadonlySet<string>> => {
  const owned = new Set<string>();
  for (const name of await readdir(join(root, listsFolder))) {
    if (!name.endsWith('.list')) continue;
    for (const line of (await readFile(join(root, listsFolder, name), 'utf8')).split('\n')) owned.add(line.slice(1));
  }
  return owned;
};

const isProgram = async (path: string): Promise<boolean> => {
  const facts = await lstat(path);
  return facts.isFile() && (await readFile(path)).subarray(0, 4).equals(elfMagic);
};

/** Copies what the scripts made below /usr, and all of /etc and /var, which they make or fill in. */
const takeFromTemplate = async (template: string, root: string, tuples: readonly [own: string, wanted: string]) => {
  const owned = await ownedPaths(template);
  const isOf = (path: string): boolean => path.includes(tuples[0]) || path === 'etc/ld.so.cache';
  const entries = await readdir(template, { recursive: true, withFileTypes: true });
  for (const entry of entries.sort((one, two) =>
    join(one.parentPath, one.name) < join(two.parentPath, two.name) ? -1 : 1,
  )) {
    const path = join(entry.parentPath, entry.name).slice(template.length + 1);
    const isMade = /^usr\//.test(path) ? !owned.has(path) : /^(etc|var)(\/|$)/.test(path);
    if (!isMade || isOf(path) || (await isProgram(join(template, path)))) continue;
    const target = join(root, path);
    if (entry.isDirectory()) {
      await mkdir(target, { recursive: true });
      const { mode, uid, gid } = await lstat(join(template, path));
      await chown(target, uid, gid);
      await chmod(target, mode & 0o7777);
      continue;
    }
    await mkdir(dirname(target), { recursive: true });
    // Removed first: a copy onto a link would go where that link leads.
    await rm(target, { recursive: true, force: true });
    await cp(join(template, path), target, { verbatimSymlinks: true, preserveTimestamps: true });
  }
};

/** Debian's own name for the machine that builds. */
export const hostArchitecture = async (): Promise<string> => (await runTool('dpkg', ['--print-architecture'])).trim();

/** Never read on a gateway; mmdebstrap leaves the same ones out. */
const dropExcluded = async (root: string, tuple: string): Promise<void> => {
  for (const folder of excludedFolders) await rm(join(root, folder), { recursive: true, force: true });
  const sets = join(root, `usr/lib/${tuple}/gconv`);
  for (const name of await readdir(sets)) {
    if (!keptCharacterSets.includes(name)) await rm(join(sets, name), { recursive: true });
  }
};

export type ForeignRootOptions = Omit<DebianRootOptions, 'pins'> & {
  /** Versions that must be installed, for the wanted architecture; null: the newest ones. */
  readonly lock: PackageLock | null;
};

/** Fills `root`. Throws LAYER_INVALID where the archive has other versions for the two architectures. */
export const fillForeignRoot = async (options: ForeignRootOptions, root: string, scratch: string): Promise<void> => {
  const { architecture, cacheFolder, lock, mirrors, state, signal } = options;
  const own = await hostArchitecture();
  const template = join(scratch, 'template');
  await mkdir(template);
  const pins = lock === null ? '' : sourcePinsOf(lock);
  await unpackDebianRoot(await buildDebianRoot({ ...options, architecture: own, pins }), template, null);
  const manifest = readManifest(await readFile(join(template, manifestPath), 'utf8'));
  const unpacked = await unpackPackages({
    folder: join(cacheFolder, `packages-${architecture}`),
    ...{ architecture, hasDependencies: false, mirrors, state, signal },
    packages: manifest.map((line) => line.split(' ')[0] ?? ''),
    exactly: lock?.packages,
  });
  const [first] = differences(manifest.map(sourceOf), unpacked.packages.map(sourceOf));
  if (first !== undefined) {
    throw new OtadError('LAYER_INVALID', {
      layer: `the packages of ${architecture} beside those of ${own}`,
      problem: first,
    });
  }
  await runTool('cp', ['-a', `${unpacked.root}/.`, root]);
  const tuple = tupleOf[architecture] ?? architecture;
  await dropExcluded(root, tuple);
  await takeFromTemplate(template, root, [tupleOf[own] ?? own, tuple]);
  await writeFile(join(root, manifestPath), unpacked.packages.map((line) => `${line}\n`).join(''));
  await rm(template, { recursive: true });
};
