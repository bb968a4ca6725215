// The kernel of a board and its modules: taken from Debian's package without installing it. Modules lie uncompressed in
// the image, because squashfs compresses them better and patches between releases can see into them.

import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { OtadError } from '../agent/core/errors.ts';
import { runTool } from './tool.ts';

export interface Kernel {
  readonly version: string;
  readonly imagePath: string;
  /** Folder of the modules, uncompressed, with `modules.dep`. */
  readonly modulesPath: string;
}

const modulesFolder = 'usr/lib/modules';
const listNames = ['modules.builtin', 'modules.builtin.modinfo', 'modules.order'];

const canonical = (name: string): string => name.replaceAll('-', '_');
const moduleName = (path: string): string => canonical((path.split('/').at(-1) ?? '').replace(/\.ko(\.[a-z]+)?$/, ''));

/** Writes modules.dep and its like, which the package leaves to whoever installs it. */
const listModules = (root: string, version: string): Promise<string> =>
  runTool('depmod', ['-b', join(root, 'usr'), version]);

/** Finds kernel and modules in the unpacked package. */
export const findKernel = async (root: string): Promise<Kernel> => {
  const [version, ...others] = await readdir(join(root, modulesFolder)).catch(() => []);
  if (version === undefined || others.length > 0) {
    throw new OtadError('IMAGE_UNUSABLE', { path: root, problem: `${others.length + 1} kernels instead of one` });
  }
  const modulesPath = join(root, modulesFolder, version);
  if ((await readFile(join(modulesPath, 'modules.dep'), 'utf8').catch(() => '')) === '') {
    await listModules(root, version);
  }
  return { version, imagePath: join(root, 'boot', `vmlinuz-${version}`), modulesPath };
};

/** Paths below {@link Kernel.modulesPath}, each after what it depends on; what is built in needs no file. */
export const selectModules = async (kernel: Kernel, names: readonly string[]): Promise<readonly string[]> => {
  const lines = (await readFile(join(kernel.modulesPath, 'modules.dep'), 'utf8')).split('\n');
  const needs = new Map(
    lines.flatMap((line) => {
      const [path, list] = line.split(':');
      return path === undefined || list === undefined
        ? []
        : [[path, list.trim().split(/\s+/).filter(Boolean)] as const];
    }),
  );
  const byName = new Map([...needs.keys()].map((path) => [moduleName(path), path]));
  const builtIn = (await readFile(join(kernel.modulesPath, 'modules.builtin'), 'utf8')).split('\n').map(moduleName);
  const selected: string[] = [];
  const take = (path: string): void => {
    if (selected.includes(path)) return;
    for (const need of needs.get(path) ?? []) take(need);
    selected.push(path);
  };
  for (const name of names.map(canonical)) {
    const path = byName.get(name);
    if (path !== undefined) take(path);
    else if (!builtIn.includes(name)) {
      throw new OtadError('IMAGE_UNUSABLE', { path: kernel.modulesPath, problem: `the kernel has no module ${name}` });
    }
  }
  return selected;
};

/** The module itself, uncompressed. */
export const readModule = async (kernel: Kernel, path: string, scratch: string): Promise<Uint8Array> => {
  const file = join(kernel.modulesPath, path);
  if (!path.endsWith('.xz')) return readFile(file);
  const plain = join(scratch, moduleName(path));
  await runTool('xz', ['-dc', file], { outputPath: plain });
  const bytes = await readFile(plain);
  await rm(plain);
  return bytes;
};

/** Puts the modules into a root, with what depmod makes of them. */
export const installModules = async (
  kernel: Kernel,
  names: readonly string[],
  root: string,
  scratch: string,
): Promise<void> => {
  const target = join(root, modulesFolder, kernel.version);
  await mkdir(target, { recursive: true });
  for (const name of listNames) await writeFile(join(target, name), await readFile(join(kernel.modulesPath, name)));
  for (const path of await selectModules(kernel, names)) {
    const file = join(target, path.replace(/\.xz$/, ''));
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, await readModule(kernel, path, scratch));
  }
  await listModules(root, kernel.version);
};

/** arm64 firmware and U-Boot take a kernel that is not packed; a PC unpacks its own. */
export const writePlainKernel = async (from: string, to: string, architecture: string): Promise<void> => {
  const bytes = await readFile(from);
  const isPacked = bytes[0] === 0x1f && bytes[1] === 0x8b;
  await writeFile(to, architecture === 'arm64' && isPacked ? gunzipSync(bytes) : bytes);
};
