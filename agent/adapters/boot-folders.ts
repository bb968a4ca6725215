// Holds the folders of tryboot's per-slot boot partitions against what is mounted there: with the two exchanged in fstab, what is
// written for one slot would land in the other's command line. Only reads.

import { realpath } from 'node:fs/promises';
import { OtadError } from '../core/errors.ts';
import { type SlotName, slotNames } from '../core/types.ts';
import { nameDevice, readBlockDevice } from './block-device.ts';
import { readMounts } from './mount-table.ts';
import type { KernelViews } from './slot-identity.ts';

type PerSlot<T> = Readonly<Record<SlotName, T>>;

/**
 * Throws BOOT_EVIDENCE_CONFLICT where another partition is mounted than the slot's. A folder where nothing is mounted, or no
 * partition, is not judged here.
 */
export const refuseOtherFolders = async (
  folders: PerSlot<string>,
  partitions: PerSlot<number>,
  views: KernelViews,
): Promise<void> => {
  const mounts = await readMounts(views.proc);
  for (const slot of slotNames) {
    const folder = await realpath(folders[slot]).catch(() => folders[slot]);
    const mount = mounts.findLast(({ mountPoint }) => mountPoint === folder);
    const device = mount === undefined ? null : await readBlockDevice(mount.number, views);
    if (device === null || device.partition === null || device.partition === partitions[slot]) continue;
    throw new OtadError('BOOT_EVIDENCE_CONFLICT', {
      [`bootloader.tryboot.bootFolders.${slot}`]: `${folder} is partition ${device.partition} (${nameDevice(device)})`,
      [`bootloader.tryboot.partitions.${slot}`]: partitions[slot],
    });
  }
};
