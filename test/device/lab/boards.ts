// The two boot paths of the lab: what QEMU has to be to start the image of a board, and how one looks into its bootloader
// from the running system. A case sees nothing else of a board.

import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { SlotName } from '../../../agent/core/types.ts';
import { type Board, findBoard } from '../../../image/boards.ts';
import type { DebianRoot } from '../debian-root.ts';
import { buildUboot } from '../u-boot-build.ts';
import { hardware } from './emulator.ts';

/** Without the two that let the kernel clear and copy by single bytes, which is slow under emulation: a boot takes 6 % less. */
const processor = ['-cpu', 'max,erms=off,fsrm=off'];

export interface LabBoard {
  /** The boot path. */
  readonly name: 'systemd-boot' | 'u-boot';
  readonly image: Board;
  /** What tells this board from others, as its firmware hands it on to Linux. */
  readonly hardwareId: string;
  /** Files of the firmware: what it is, and what it keeps while the power is off. */
  readonly memoryFiles: readonly string[];
  /** Makes them as the factory has them. */
  prepareMemory(debian: DebianRoot, folder: string): Promise<void>;
  emulatorArguments(debian: DebianRoot, folder: string): readonly string[];
  /** What the firmware says on the console when it starts. */
  readonly firmwareSays: RegExp;
  /** Shell command that makes the bootloader hand a wrong dm-verity root to this slot's kernel. */
  spoilRoot(slot: SlotName): string;
  /**
   * Shell commands that put a word on the kernel command line of a slot, and take it away; null: nothing in the running
   * system can, because the arguments are compiled into the bootloader.
   */
  readonly argument: {
    add(slot: SlotName, word: string): string;
    drop(slot: SlotName, word: string): string;
  } | null;
  /** Shell command that prints what the bootloader holds, for the record. */
  readonly showBoot: string;
  /** Where the bootloader's own files are written to: nobody but the agent and root may. */
  readonly bootMedium: string;
  /** Where the running system finds the boot files of a slot. */
  bootPlace(slot: SlotName): string;
}

const imageBoard = (name: string): Board =>
  findBoard(name, (known) => new Error(`image/boards.ts has no board ${name}, only ${known}`));

const wrongRoot = '0'.repeat(64);

/** Whatever its counter says. */
const entryOf = (slot: SlotName): string => `/efi/loader/entries/otad-${slot}*.conf`;

const systemdBoot: LabBoard = {
  name: 'systemd-boot',
  image: imageBoard('qemu-amd64'),
  hardwareId: hardware.uuid,
  memoryFiles: ['vars.fd'],
  prepareMemory: (debian, folder) =>
    copyFile(join(debian.root, 'usr/share/OVMF/OVMF_VARS_4M.fd'), join(folder, 'vars.fd')),
  emulatorArguments: (debian, folder) => {
    const code = join(debian.root, 'usr/share/OVMF/OVMF_CODE_4M.fd');
    return [
      ...['-machine', 'q35', ...processor],
      ...['-drive', `if=pflash,format=raw,unit=0,readonly=on,file=${code}`],
      ...['-drive', `if=pflash,format=raw,unit=1,file=${join(folder, 'vars.fd')}`],
    ];
  },
  firmwareSays: /BdsDxe: starting/,
  spoilRoot: (slot) => `sed -i -E 's/otad.root=[0-9a-f]{64}/otad.root=${wrongRoot}/' ${entryOf(slot)} && sync`,
  argument: {
    add: (slot, word) => `sed -i 's/^options .*/& ${word}/' ${entryOf(slot)} && sync`,
    drop: (slot, word) => `sed -i 's/ ${word}//' ${entryOf(slot)} && sync`,
  },
  showBoot: 'bootctl list --json=short --no-pager; ls -l /efi/loader/entries; cat /efi/loader/entries/*',
  bootMedium: '/efi',
  bootPlace: (slot) => `/efi/otad/${slot}`,
};

/** Both copies of the environment lie there as files; fw_setenv of libubootenv writes them as otad does. */
const ubootVariable = (slot: SlotName, name: string): string => `otad_${slot}_${name}`;

const uboot: LabBoard = {
  name: 'u-boot',
  image: imageBoard('qemu-amd64-uboot'),
  // This U-Boot hands on no table that has a number.
  hardwareId: hardware.address,
  memoryFiles: ['u-boot.rom'],
  prepareMemory: async (_, folder) => {
    const build = await buildUboot('qemu-amd64');
    await copyFile(join(build.folder, 'u-boot-redundant.rom'), join(folder, 'u-boot.rom'));
  },
  emulatorArguments: (_, folder) => ['-machine', 'pc', ...processor, '-bios', join(folder, 'u-boot.rom')],
  firmwareSays: /U-Boot 20/,
  spoilRoot: (slot) => `fw_setenv ${ubootVariable(slot, 'root')} ${wrongRoot} && sync`,
  argument: null,
  showBoot: 'fw_printenv',
  bootMedium: '/boot/env',
  bootPlace: (slot) => `/boot/${slot}`,
};

export const labBoards: readonly LabBoard[] = [systemdBoot, uboot];
