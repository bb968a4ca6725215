// What the bootloader of a new disk finds: kernel and initramfs of each slot, and which slot is whole. Written with the
// same code that otad changes it with later. One folder for each FAT partition, by the partition's label.

import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { assertNever } from '../agent/core/errors.ts';
import { type SlotName, slotNames } from '../agent/core/types.ts';
import { activate, invalidate, lostModel, markGood, triesDefault } from '../bootctl/model.ts';
import { entryStemsDefault } from '../bootctl/systemd-boot/control.ts';
import { entriesFolder } from '../bootctl/systemd-boot/loader-entries.ts';
import { encodeSlotEntry } from '../bootctl/systemd-boot/slot-entry.ts';
import { encodeCopy, sequenceName } from '../bootctl/uboot/environment.ts';
import { applyModel } from '../bootctl/uboot/variables.ts';
import type { Board, Root } from './boards.ts';
import type { SealedImage } from './factory-slot.ts';
import { findTrees, makeTrybootFolders, makeUbootFirmware } from './pi-files.ts';

export interface BootSet {
  readonly kernelPath: string;
  readonly initramfs: Uint8Array;
  readonly image: SealedImage;
  /** Packages of the board's root that were unpacked for booting. */
  readonly bootRoot: string;
  /** Of a Raspberry Pi; null: the package's. */
  readonly firmwareFolder: string | null;
  /** U-Boot, for boards that have it on their disk. */
  readonly ubootPath: string | null;
}

const put = async (folder: string, path: string, bytes: Uint8Array | string): Promise<void> => {
  await mkdir(dirname(join(folder, path)), { recursive: true });
  await writeFile(join(folder, path), bytes);
};

const settings = ['timeout 0', 'editor no', 'auto-entries no', 'auto-firmware no', 'console-mode keep', ''].join('\n');

/** Entry of a slot: the factory's is confirmed; the other one is there, so that an update has what to change. */
const slotEntry = (slot: SlotName, { commandLine }: Board, set: BootSet): string => {
  const isFactory = slot === 'a';
  const { rootHex, hashOffsetBytes } = set.image.verity;
  return encodeSlotEntry(
    {
      state: isFactory ? 'live' : 'parked',
      // 0 would say nothing of the order, and otad would write the file anew.
      rank: isFactory ? 2 : 1,
      boot: { key: 'linux', path: `/otad/${slot}/linux` },
      verity: isFactory ? { rootHex, hashOffsetBytes } : null,
      rest: [`title Gateway, slot ${slot}`, `initrd /otad/${slot}/initrd`, `options ${commandLine.join(' ')}`],
    },
    slot,
  );
};

/** As the bootloaders of the boards name it. */
export const kernelName = ({ architecture }: Root): string => (architecture === 'arm64' ? 'Image' : 'linux');

/**
 * The folder that is published with the root, `otapub release --boot`: what lies in the boot place of a slot on every board of this
 * root, and no settings or firmware of a board.
 */
export const makeBootSetFolder = async (
  folder: string,
  root: Root,
  { kernelPath, initramfs, bootRoot }: Pick<BootSet, 'kernelPath' | 'initramfs' | 'bootRoot'>,
): Promise<void> => {
  await put(folder, 'initrd', initramfs);
  await copyFile(kernelPath, join(folder, kernelName(root)));
  const trees = root.architecture === 'arm64' ? await findTrees(bootRoot) : [];
  for (const tree of trees) await copyFile(tree, join(folder, basename(tree)));
};

/** Kernel and initramfs in a folder of their own for each slot: an update changes one of them. */
const putKernel = async (folder: string, path: string, set: BootSet, name: string): Promise<void> => {
  await mkdir(join(folder, path), { recursive: true });
  await copyFile(set.kernelPath, join(folder, path, name));
  await put(folder, join(path, 'initrd'), set.initramfs);
};

const makeEsp = async (folder: string, board: Board, set: BootSet): Promise<void> => {
  const { efiName } = board.root;
  const loader = join(set.bootRoot, 'usr/lib/systemd/boot/efi', `systemd-boot${efiName}.efi`);
  for (const path of [`EFI/BOOT/BOOT${efiName.toUpperCase()}.EFI`, `EFI/systemd/systemd-boot${efiName}.efi`]) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await copyFile(loader, join(folder, path));
  }
  await put(folder, 'loader/loader.conf', settings);
  for (const slot of slotNames) {
    await put(folder, `${entriesFolder}/${entryStemsDefault[slot]}.conf`, slotEntry(slot, board, set));
    await putKernel(folder, `otad/${slot}`, set, kernelName(board.root));
  }
};

export const environmentBytes = 0x4000;
export const environmentNames = ['uboot.env', 'uboot-redund.env'] as const;

/** Both copies of the environment that a new board has: slot a confirmed, nothing in slot b. */
export const factoryEnvironment = ({ verity }: SealedImage): readonly [Uint8Array, Uint8Array] => {
  const empty = invalidate(lostModel, 'b', 'a');
  const model = markGood(activate(empty, 'a', triesDefault, verity), 'a');
  // The second as if written after the first: U-Boot and otad then agree on which one counts.
  const copy = (number: number): Uint8Array =>
    encodeCopy(applyModel(new Map([[sequenceName, String(number)]]), model), environmentBytes, number);
  return [copy(1), copy(2)];
};

const makeUbootFolders = async (folder: string, set: BootSet, kernelName: string): Promise<readonly string[]> => {
  for (const [index, copy] of factoryEnvironment(set.image).entries()) {
    await put(join(folder, 'uboot-files'), environmentNames[index] ?? '', copy);
  }
  // Beside the copies, so that the image need not know where a board has them: /etc/fw_env.config points here.
  const lines = environmentNames.map((name) => `/boot/env/${name} 0x0 0x${environmentBytes.toString(16)}\n`);
  await put(join(folder, 'uboot-files'), 'fw_env.config', lines.join(''));
  for (const slot of slotNames) await putKernel(join(folder, `boot_${slot}`), '', set, kernelName);
  return ['uboot-files', 'boot_a', 'boot_b'];
};

/** Fills `folder` with one folder for each partition that is FAT, and names these. */
export const makeBootFolders = async (folder: string, board: Board, set: BootSet): Promise<readonly string[]> => {
  const { start } = board;
  switch (start.kind) {
    case 'systemd-boot':
      await makeEsp(join(folder, 'esp'), board, set);
      return ['esp'];
    case 'u-boot':
      return makeUbootFolders(folder, set, kernelName(board.root));
    case 'pi-u-boot':
      await makeUbootFirmware(join(folder, 'firmware'), set);
      return ['firmware', ...(await makeUbootFolders(folder, set, kernelName(board.root)))];
    case 'tryboot':
      return makeTrybootFolders(folder, board, set);
    default:
      return assertNever(start);
  }
};
