// The slots of this gateway: block devices, or regular files in the virtual gateway. Decides who may be opened; must never
// open the running slot for writing, whatever name it is called by (I2).

import { decodeRecord } from '../../verity/slot-record.ts';
import { OtadError } from '../core/errors.ts';
import type { SlotDevices, SlotHandle } from '../core/ports.ts';
import { blockSizeBytes, recordAreaBytes, recordAreaOffsetBytes } from '../core/slot-layout.ts';
import { otherSlot, type SlotName } from '../core/types.ts';
import { openSlot } from './slot-handle.ts';
import { identify, type KernelViews, kernelViews, refuseInUse, refuseShared } from './slot-identity.ts';
import { lockFile } from './slot-lock.ts';

export interface SlotDeviceSettings {
  /** Block device or regular file of each slot; links are followed. */
  readonly paths: Readonly<Record<SlotName, string>>;
  /** The slot that runs, as the bootloader's evidence says; what it throws stops the opening. */
  readonly bootedSlot: () => SlotName | Promise<SlotName>;
  readonly views?: KernelViews;
}

const noLock = async (): Promise<void> => {};

/** The record's two blocks; one that cannot be read counts as zeros, so it does not hide the other one. */
const readRecordArea = async (handle: SlotHandle, signal: AbortSignal): Promise<Uint8Array> => {
  const area = new Uint8Array(recordAreaBytes);
  const start = recordAreaOffsetBytes(handle.sizeBytes);
  for (let offset = 0; offset < recordAreaBytes; offset += blockSizeBytes) {
    try {
      area.set(await handle.read(start + offset, blockSizeBytes, signal), offset);
    } catch (error) {
      if (!(error instanceof OtadError) || error.code !== 'SLOT_IO') throw error;
    }
  }
  return area;
};

export interface LocalSlotDevices extends SlotDevices {
  /** Size of the slot in bytes, whole blocks. */
  sizeBytes(slot: SlotName): Promise<number>;
}

export const createSlotDevices = (settings: SlotDeviceSettings): LocalSlotDevices => {
  const { paths, bootedSlot, views = kernelViews } = settings;

  const open = async (slot: SlotName, signal: AbortSignal): Promise<SlotHandle> => {
    if (signal.aborted) throw new OtadError('CANCELLED', { slot, step: 'open' });
    const path = paths[slot];
    if ((await bootedSlot()) === slot) throw new OtadError('SLOT_RUNNING', { slot, path });
    const identity = await identify(slot, path);
    // The running slot must be there too: without it nothing proves that `path` is not the running one by another name.
    const running = await identify(otherSlot(slot), paths[otherSlot(slot)]);
    await refuseShared(slot === 'a' ? identity : running, slot === 'a' ? running : identity, views);
    await refuseInUse(slot, identity, views);
    const unlock = identity.kind === 'file' ? await lockFile(slot, identity) : noLock;
    try {
      return await openSlot(slot, identity, views, true, unlock);
    } catch (error) {
      await unlock();
      throw error;
    }
  };

  const reading = async <T>(slot: SlotName, read: (handle: SlotHandle) => Promise<T>): Promise<T> => {
    const handle = await openSlot(slot, await identify(slot, paths[slot]), views, false, noLock);
    try {
      return await read(handle);
    } finally {
      await handle.close();
    }
  };

  return {
    open,
    readRecord: (slot, signal) =>
      reading(slot, async (handle) =>
        recordAreaOffsetBytes(handle.sizeBytes) < 0
          ? null
          : (decodeRecord(await readRecordArea(handle, signal))?.record ?? null),
      ),
    sizeBytes: (slot) => reading(slot, async (handle) => handle.sizeBytes),
  };
};
