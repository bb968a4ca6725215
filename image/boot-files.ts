// What the bootloader of a new disk finds: kernel and initramfs of each slot, and which slot is whole. Written with the
// same code that otad changes it with later.

import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type SlotName, slotNames } from '../agent/core/types.ts';
import { entryStemsDefault } from '../bootctl/systemd-boot/control.ts';
import { entriesFolder } from '../bootctl/systemd-boot/loader-entries.ts';
import { encodeSlotEntry } from '../bootctl/systemd-boot/slot-entry.ts';
import type { Board } from './boards.ts';
import type { SealedImage } from './factory-slot.ts';

export interface BootSet {
  readonly kernelPath: string;
  readonly initramfs: Uint8Array;
  readonly image: SealedImage;
  readonly version: string;
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

/** Fills `folder` with the EFI system partition. */
export const makeEspTree = async (folder: string, board: Board, set: BootSet, loaderPath: string): Promise<void> => {
  const upper = board.efiName.toUpperCase();
  for (const path of [`EFI/BOOT/BOOT${upper}.EFI`, `EFI/systemd/systemd-boot${board.efiName}.efi`]) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await copyFile(loaderPath, join(folder, path));
  }
  await put(folder, 'loader/loader.conf', settings);
  for (const slot of slotNames) {
    await put(folder, `${entriesFolder}/${entryStemsDefault[slot]}.conf`, slotEntry(slot, board, set));
    await mkdir(join(folder, 'otad', slot), { recursive: true });
    await copyFile(set.kernelPath, join(folder, 'otad', slot, 'linux'));
    await put(folder, `otad/${slot}/initrd`, set.initramfs);
  }
};
