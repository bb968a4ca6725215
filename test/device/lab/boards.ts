// The two boot paths of the lab: what QEMU has to be to start the image of a board, and how one looks into its bootloader
// from the running system. A case sees nothing else of a board.

import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { SlotName } from '../../../agent/core/types.ts';
import { type Board, boards as imageBoards } from '../../../image/boards.ts';
import type { DebianRoot } from '../debian-root.ts';

export interface LabBoard {
  /** The boot path. */
  readonly name: 'systemd-boot' | 'u-boot';
  readonly image: Board;
  /** Files that keep their bytes while the power is off, besides the disk. */
  readonly memoryFiles: readonly string[];
  /** Makes them as the factory has them. */
  prepareMemory(debian: DebianRoot, folder: string): Promise<void>;
  emulatorArguments(debian: DebianRoot, folder: string): readonly string[];
  /** What the firmware says on the console when it starts. */
  readonly firmwareSays: RegExp;
  /** Shell command that makes the bootloader hand a wrong dm-verity root to this slot's kernel. */
  spoilRoot(slot: SlotName): string;
  /** Shell commands that put a word on the kernel command line of a slot, and take it away. */
  addArgument(slot: SlotName, word: string): string;
  dropArgument(slot: SlotName, word: string): string;
  /** Shell command that prints what the bootloader holds, for the record. */
  readonly showBoot: string;
  /** Where the bootloader's own files are written to: nobody but the agent and root may. */
  readonly bootMedium: string;
}

const imageBoard = (name: string): Board => {
  const found = imageBoards.find((board) => board.name === name);
  if (found === undefined) throw new Error(`image/boards.ts has no board ${name}`);
  return found;
};

const wrongRoot = '0'.repeat(63);

/** Whatever its counter says. */
const entryOf = (slot: SlotName): string => `/efi/loader/entries/otad-${slot}*.conf`;

const systemdBoot: LabBoard = {
  name: 'systemd-boot',
  image: imageBoard('qemu-amd64'),
  memoryFiles: ['vars.fd'],
  prepareMemory: (debian, folder) =>
    copyFile(join(debian.root, 'usr/share/OVMF/OVMF_VARS_4M.fd'), join(folder, 'vars.fd')),
  emulatorArguments: (debian, folder) => {
    const code = join(debian.root, 'usr/share/OVMF/OVMF_CODE_4M.fd');
    return [
      ...['-machine', 'q35', '-cpu', 'max'],
      ...['-drive', `if=pflash,format=raw,unit=0,readonly=on,file=${code}`],
      ...['-drive', `if=pflash,format=raw,unit=1,file=${join(folder, 'vars.fd')}`],
    ];
  },
  firmwareSays: /BdsDxe: starting/,
  spoilRoot: (slot) => `sed -i -E 's/otad.root=[0-9a-f]{63}/otad.root=${wrongRoot}/' ${entryOf(slot)} && sync`,
  addArgument: (slot, word) => `sed -i 's/^options .*/& ${word}/' ${entryOf(slot)} && sync`,
  dropArgument: (slot, word) => `sed -i 's/ ${word}//' ${entryOf(slot)} && sync`,
  showBoot: 'bootctl list --json=short --no-pager; ls -l /efi/loader/entries; cat /efi/loader/entries/*',
  bootMedium: '/efi',
};

export const labBoards: readonly LabBoard[] = [systemdBoot];
