// What a Raspberry Pi's FAT partitions hold: the firmware's own files, its settings, and the kernel or U-Boot that it starts.
// Written for model 4 and the modules made of it, whose firmware reads GPT; the files of a Pi 5 lie beside them.

import { copyFile, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { OtadError } from '../agent/core/errors.ts';
import { type SlotName, slotNames } from '../agent/core/types.ts';
import { padAutoboot } from '../bootctl/tryboot/autoboot-txt.ts';
import { withSlotArguments } from '../bootctl/tryboot/command-line-file.ts';
import type { Board } from './boards.ts';
import type { BootSet } from './boot-files.ts';
import { partitionUuid } from './partitions.ts';

/** A Pi 5 has these in its EEPROM. */
const firmwareNames = ['start4.elf', 'fixup4.dat'];
const firmwareFolder = 'usr/lib/raspi-firmware';
const treeName = /^bcm271[12]-rpi-.*\.dtb$/;

const common = [
  'arm_64bit=1',
  '# Device trees are those of the kernel beside this file.',
  'upstream_kernel=1',
  'enable_uart=1',
  'disable_splash=1',
];
const forKernel = [...common, 'kernel=Image', 'initramfs initrd followkernel', 'cmdline=cmdline.txt'];
const forUboot = [...common, 'kernel=u-boot.bin'];

/** Where Debian's kernel package has the device trees of all boards. */
export const findTrees = async (bootRoot: string): Promise<readonly string[]> => {
  const lib = join(bootRoot, 'usr/lib');
  const folder = (await readdir(lib)).find((name) => name.startsWith('linux-image-'));
  const broadcom = join(lib, folder ?? '', 'broadcom');
  const names = (await readdir(broadcom).catch((): string[] => [])).filter((name) => treeName.test(name)).sort();
  if (names.length === 0) {
    throw new OtadError('IMAGE_UNUSABLE', { path: lib, problem: 'the kernel has no device trees of Raspberry Pis' });
  }
  return names.map((name) => join(broadcom, name));
};

const copyInto = async (folder: string, files: readonly string[]): Promise<void> => {
  await mkdir(folder, { recursive: true });
  for (const file of files) await copyFile(file, join(folder, file.slice(file.lastIndexOf('/') + 1)));
};

/** Firmware files and device trees. Throws IMAGE_UNUSABLE where one is missing. */
const putFirmware = async (folder: string, { bootRoot, firmwareFolder: given }: BootSet): Promise<void> => {
  const from = given ?? join(bootRoot, firmwareFolder);
  const there = await readdir(from).catch((): string[] => []);
  const missing = firmwareNames.find((name) => !there.includes(name));
  if (missing !== undefined) {
    throw new OtadError('IMAGE_UNUSABLE', { path: from, problem: `no ${missing}: name its folder with --firmware` });
  }
  await copyInto(
    folder,
    firmwareNames.map((name) => join(from, name)),
  );
  await copyInto(folder, await findTrees(bootRoot));
};

const lines = (text: readonly string[]): string => `${text.join('\n')}\n`;

/** Kernel command line of a slot: the factory's slot has a root, the other one has none until an update brings it. */
export const slotCommandLine = (board: Board, slot: SlotName, { image }: Pick<BootSet, 'image'>): string => {
  const rest = [...board.commandLine, `otad.disk=${partitionUuid(board, `boot_${slot}`)}`].join(' ');
  return withSlotArguments(`${rest}\n`, slot, slot === 'a' ? image.verity : null);
};

/** Partitions 2 and 3 are the boot partitions; the first one starts by default. */
export const factoryAutoboot = (): Uint8Array =>
  padAutoboot(['[all]', 'tryboot_a_b=1', 'boot_partition=2', '[tryboot]', 'boot_partition=3'].join('\n'));

export const makeTrybootFolders = async (folder: string, board: Board, set: BootSet): Promise<readonly string[]> => {
  await mkdir(join(folder, 'bootconfig'), { recursive: true });
  await writeFile(join(folder, 'bootconfig/autoboot.txt'), factoryAutoboot());
  for (const slot of slotNames) {
    const boot = join(folder, `boot_${slot}`);
    await putFirmware(boot, set);
    await copyFile(set.kernelPath, join(boot, 'Image'));
    await writeFile(join(boot, 'initrd'), set.initramfs);
    await writeFile(join(boot, 'config.txt'), lines(forKernel));
    await writeFile(join(boot, 'cmdline.txt'), slotCommandLine(board, slot, set));
  }
  return ['bootconfig', 'boot_a', 'boot_b'];
};

/** The first partition, which starts U-Boot; the rest is as on other boards with U-Boot. */
export const makeUbootFirmware = async (folder: string, set: BootSet): Promise<void> => {
  if (set.ubootPath === null) {
    throw new OtadError('IMAGE_UNUSABLE', { path: folder, problem: 'no U-Boot for this board: name it with --u-boot' });
  }
  await putFirmware(folder, set);
  await writeFile(join(folder, 'u-boot.bin'), await readFile(set.ubootPath));
  await writeFile(join(folder, 'config.txt'), lines(forUboot));
};
