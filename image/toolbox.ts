// The programs that make images, from the same Debian release as the image: what they write does not depend on the
// machine that builds. They lie beside the system and run with their own libraries.

import { chmod, lstat, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type PackageSource, unpackPackages } from './debian-packages.ts';
import type { Manifest } from './package-lock.ts';

const packages = [
  'squashfs-tools',
  'cryptsetup-bin',
  'e2fsprogs',
  'dosfstools',
  'mtools',
  'gdisk',
  'kmod',
  'systemd',
  'u-boot-tools',
  'zstd',
];

/** Programs for the machine that builds; by the name that Debian has for it. */
export const toolArchitecture = (): string =>
  ({ x64: 'amd64', arm64: 'arm64' })[process.arch as string] ?? process.arch;
const loaders: Readonly<Record<string, readonly [loader: string, libraries: string]>> = {
  amd64: ['usr/lib64/ld-linux-x86-64.so.2', 'usr/lib/x86_64-linux-gnu'],
  arm64: ['usr/lib/ld-linux-aarch64.so.1', 'usr/lib/aarch64-linux-gnu'],
};
const folders = ['usr/bin', 'usr/sbin', 'usr/lib/systemd'];

export interface Toolbox {
  /** To stand first in PATH. */
  readonly path: string;
  readonly packages: Manifest;
}

/** Starts a program of unpacked packages with their own libraries: its first words, without the program. */
export const loaderWords = (root: string): readonly [loader: string, ...rest: string[]] => {
  const [loader, libraries] = loaders[toolArchitecture()] ?? ['', ''];
  const folder = join(root, libraries);
  return [join(root, loader), '--library-path', `${folder}:${folder}/systemd`];
};

/** A script for each program: the loader of the toolbox, its libraries, then the program. */
const writeScripts = async (root: string, path: string): Promise<void> => {
  await rm(path, { recursive: true, force: true });
  await mkdir(path, { recursive: true });
  for (const folder of folders) {
    for (const name of await readdir(join(root, folder)).catch(() => [])) {
      const program = join(root, folder, name);
      const facts = await lstat(program);
      if (!facts.isSymbolicLink() && (!facts.isFile() || (facts.mode & 0o111) === 0)) continue;
      // The packages have more than is meant here, and coreutils are better the machine's own.
      if (!wanted.test(name)) continue;
      const line = `exec ${loaderWords(root).join(' ')} ${program} "$@"`;
      const script = `#!/bin/sh\nMKE2FS_CONFIG=${join(root, 'etc/mke2fs.conf')}\nexport MKE2FS_CONFIG\n${line}\n`;
      await writeFile(join(path, name), script);
      await chmod(join(path, name), 0o755);
    }
  }
};

const wanted =
  /^(mksquashfs|unsquashfs|veritysetup|mkfs\.(ext4|vfat)|mke2fs|e2fsck|debugfs|m(copy|md|dir|type)|sgdisk|depmod|modprobe|systemd-(sysusers|tmpfiles)|mkimage|mkenvimage|zstd)$/;

/** Downloads about 40 MB the first time. `exactly`: versions that a lock names. */
export const prepareToolbox = async (
  cacheFolder: string,
  source: PackageSource,
  exactly: Manifest = [],
): Promise<Toolbox> => {
  const folder = join(cacheFolder, 'toolbox');
  const wish = { ...source, folder, architecture: toolArchitecture(), packages, hasDependencies: true, exactly };
  const unpacked = await unpackPackages(wish);
  const path = join(folder, 'bin');
  await writeScripts(unpacked.root, path);
  return { path, packages: unpacked.packages };
};
