// The initramfs: a shell, veritysetup, a file system check and the few modules that lead to the root. The same for every
// release of a board: which root is opened stands on the kernel command line alone.

import { readFile, realpath, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { OtadError } from '../agent/core/errors.ts';
import { type CpioEntry, makeCpio } from './cpio.ts';
import { readElfNeeds } from './elf.ts';
import { type Kernel, readModule, selectModules } from './kernel.ts';
import { runTool } from './tool.ts';

const scriptPath = (name: string): string => fileURLToPath(new URL(`../../image/initramfs/${name}`, import.meta.url));
/** Functions of the script. */
const sourced = [
  'find-slot',
  'leave-slot',
  'tell-bootloader',
  'feed-watchdog',
  'check-data',
  'keep-state',
  'doubt-slot',
];
/** What the script calls; all else of busybox is left out of sight. */
const applets =
  'sh awk basename cat cp dd dirname echo grep head insmod ln ls mkdir mount od readlink reboot rm sed sha256sum sleep sync switch_root tail timeout tr umount usleep'.split(
    ' ',
  );
const programs = ['usr/sbin/veritysetup', 'usr/sbin/e2fsck', 'usr/bin/fw_printenv', 'usr/bin/fw_setenv'];
const folders = ['dev', 'proc', 'sys', 'run', 'newroot', 'tmp', 'modules'];

const libraryFolders: Readonly<Record<string, string>> = {
  amd64: 'usr/lib/x86_64-linux-gnu',
  arm64: 'usr/lib/aarch64-linux-gnu',
};

const file = (path: string, bytes: Uint8Array, isExecutable: boolean): CpioEntry => ({
  kind: 'file',
  path,
  bytes,
  isExecutable,
});

/** The programs with all libraries that they load, each under the path that they look for it. */
const withLibraries = async (root: string, architecture: string): Promise<readonly CpioEntry[]> => {
  const folder = libraryFolders[architecture] ?? '';
  const entries = new Map<string, CpioEntry>();
  const take = async (path: string, source: string): Promise<void> => {
    if (entries.has(path)) return;
    const bytes = await readFile(await realpath(join(root, source))).catch((cause: NodeJS.ErrnoException) => {
      throw new OtadError('IMAGE_UNUSABLE', { path: source, problem: `the initramfs needs it: ${cause.code}` });
    });
    entries.set(path, file(path, bytes, true));
    const { loader, libraries } = readElfNeeds(bytes, source);
    if (loader !== null) await take(loader.slice(1), join('usr', loader));
    for (const library of libraries) {
      if (/^ld-linux/.test(library)) continue;
      await take(`${folder}/${library}`, `${folder}/${library}`);
    }
  };
  for (const program of programs) await take(`sbin/${basename(program)}`, program);
  return [...entries.values()];
};

export interface InitramfsOptions {
  /** Root that the programs come from, of the same architecture. */
  readonly root: string;
  readonly architecture: string;
  readonly kernel: Kernel;
  readonly modules: readonly string[];
  readonly scratch: string;
  readonly isDraft: boolean;
}

/** Compressed as the kernel takes it. */
export const makeInitramfs = async (options: InitramfsOptions): Promise<Uint8Array> => {
  const { root, architecture, kernel, modules, scratch } = options;
  const selected = await selectModules(kernel, modules);
  const names = selected.map((path) => basename(path).replace(/\.xz$/, ''));
  const entries: CpioEntry[] = [
    ...folders.map((path): CpioEntry => ({ kind: 'folder', path })),
    // The kernel opens it for the first process before anything is mounted.
    { kind: 'device', path: 'dev/console', major: 5, minor: 1 },
    file('init', await readFile(scriptPath('init')), true),
    ...(await Promise.all(sourced.map(async (name) => file(name, await readFile(scriptPath(name)), false)))),
    file('bin/busybox', await readFile(join(root, 'usr/bin/busybox')), true),
    ...applets.map((name): CpioEntry => ({ kind: 'link', path: `bin/${name}`, target: 'busybox' })),
    ...(await withLibraries(root, architecture)),
    file('modules/order', Buffer.from(names.map((name) => `${name}\n`).join('')), false),
  ];
  for (const [index, path] of selected.entries()) {
    entries.push(file(`modules/${names[index]}`, await readModule(kernel, path, scratch), false));
  }
  const plain = join(scratch, 'initramfs.cpio');
  await writeFile(plain, makeCpio(entries));
  await runTool('zstd', [
    '-q',
    '-f',
    options.isDraft ? '-1' : '-19',
    '-T1',
    '--no-progress',
    plain,
    '-o',
    `${plain}.zst`,
  ]);
  const compressed = await readFile(`${plain}.zst`);
  await rm(plain);
  await rm(`${plain}.zst`);
  return compressed;
};
