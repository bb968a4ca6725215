// Looks at boot control as it stands now: the bootloader's state, where the slots really are, what keeps one from being
// written. For people; nothing is decided from it. What cannot be read is a problem to show, never a reason not to answer.

import { stat } from 'node:fs/promises';
import { type Failure, toFailure } from '../core/errors.ts';
import type { BootInspection, InspectBoot, SlotPlace } from '../core/ports.ts';
import { otherSlot, type SlotName } from '../core/types.ts';
import { nameDevice, readBlockDevice } from './block-device.ts';
import type { BootDevice, BootloaderSettings } from './boot-control.ts';
import { readBootRecords } from './boot-records.ts';
import { identify, kernelViews } from './slot-identity.ts';

export interface InspectorOptions {
  readonly device: BootDevice;
  readonly settings: BootloaderSettings;
  readonly slotPaths: Readonly<Record<SlotName, string>>;
}

const nowhere: SlotPlace = { device: null, disk: null, label: null, uuid: null, sizeBytes: 0 };

const placeOf = async (slot: SlotName, path: string): Promise<SlotPlace> => {
  const identity = await identify(slot, path).catch(() => null);
  if (identity === null) return nowhere;
  if (identity.device === null) return { ...nowhere, sizeBytes: (await stat(path)).size };
  const device = await readBlockDevice(identity.device, kernelViews);
  if (device === null) return { ...nowhere, device: identity.device };
  const { disk, label, uuid, sizeBytes } = device;
  return { device: nameDevice(device), disk: `/dev/${disk}`, label, uuid, sizeBytes };
};

export const createBootInspector =
  ({ device, settings, slotPaths }: InspectorOptions): InspectBoot =>
  async (signal): Promise<BootInspection> => {
    const problems: Failure[] = [];
    const asking = async <T>(read: () => Promise<T>): Promise<T | null> => {
      try {
        return await read();
      } catch (error) {
        problems.push(toFailure(error));
        return null;
      }
    };
    const status = await asking(() => device.boot.status(signal));
    // The same answer as an install would get.
    if (status !== null) await asking(() => device.slots.refuse(otherSlot(status.booted)));
    return {
      bootloader: device.found.kind,
      foundBy: device.found.why,
      status,
      slots: { a: await placeOf('a', slotPaths.a), b: await placeOf('b', slotPaths.b) },
      problems,
      records: await readBootRecords(device.found.kind, settings),
    };
  };
