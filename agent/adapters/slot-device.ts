// The slots of this gateway: block devices, or regular files in the virtual gateway. Decides who may be opened; must never
// open the running slot for writing, whatever name it is called by (I2).

import { decodeRecord } from '../../verity/slot-record.ts';
import { OtadError } from '../core/errors.ts';
import type { SlotDevices, SlotHandle } from '../core/ports.ts';
import { blockSizeBytes, recordAreaBytes, recordAreaOffsetBytes } from '../core/slot-layout.ts';
import { otherSlot, type SlotName } from '../core/types.ts';
import type { BlockDevice } from './block-device.ts';
import { refuseDoubles } from './slot-doubles.ts';
import { openSlot } from './slot-handle.ts';
import {
  identify,
  type KernelViews,
  kernelViews,
  refuseInUse,
  refuseShared,
  type SlotIdentity,
} from './slot-identity.ts';
import { lockFile } from './slot-lock.ts';

export interface SlotDeviceSettings {
  /** Block device or regular file of each slot; links are followed. */
  readonly paths: Readonly<Record<SlotName, string>>;
  /** The slot that runs, as the bootloader's evidence says; what it throws stops the opening. */
  readonly bootedSlot: () => SlotName | Promise<SlotName>;
  /** What the running root file system stands on. */
  readonly rootStack?: () => Promise<readonly BlockDevice[]>;
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

/** Slots that say beforehand what would keep them from being opened for writing. */
export interface GuardedSlotDevices extends LocalSlotDevices {
  /** Throws what {@link SlotDevices.open} would throw before it opens anything. */
  refuse(slot: SlotName): Promise<void>;
  /** For a look at what the medium holds; the running slot as well. Whoever may not write the device can do this. */
  openForReading(slot: SlotName, signal: AbortSignal): Promise<SlotHandle>;
}

export interface LocalSlotDevices extends SlotDevices {
  /** Size of the slot in bytes, whole blocks. */
  sizeBytes(slot: SlotName): Promise<number>;
}

export const createSlotDevices = (settings: SlotDeviceSettings): GuardedSlotDevices => {
  const { paths, bootedSlot, rootStack = async () => [], views = kernelViews } = settings;

  /** What may be opened for writing, by its identity. */
  const requireWritable = async (slot: SlotName): Promise<SlotIdentity> => {
    const path = paths[slot];
    const booted = await bootedSlot();
    if (booted === slot) throw new OtadError('SLOT_RUNNING', { slot, path });
    const identity = await identify(slot, path);
    const stack = await rootStack();
    if (stack.some(({ number }) => number === identity.device)) {
      throw new OtadError('SLOT_RUNNING', {
        slot,
        path,
        device: identity.device,
        reason: 'the root file system stands on it',
      });
    }
    // The running slot must be there too: without it nothing proves that `path` is not the running one by another name.
    const running = await identify(otherSlot(slot), paths[otherSlot(slot)]);
    const identities = slot === 'a' ? { a: identity, b: running } : { a: running, b: identity };
    await refuseShared(identities.a, identities.b, views);
    await refuseDoubles({ paths, identities, booted, rootStack: stack }, views);
    await refuseInUse(slot, identity, views);
    return identity;
  };

  const open = async (slot: SlotName, signal: AbortSignal): Promise<SlotHandle> => {
    if (signal.aborted) throw new OtadError('CANCELLED', { slot, step: 'open' });
    const identity = await requireWritable(slot);
    const unlock = identity.kind === 'file' ? await lockFile(slot, identity) : noLock;
    try {
      return await openSlot(slot, identity, views, true, unlock);
    } catch (error) {
      await unlock();
      throw error;
    }
  };

  const openForReading = async (slot: SlotName): Promise<SlotHandle> =>
    openSlot(slot, await identify(slot, paths[slot]), views, false, noLock);

  const reading = async <T>(slot: SlotName, read: (handle: SlotHandle) => Promise<T>): Promise<T> => {
    const handle = await openForReading(slot);
    try {
      return await read(handle);
    } finally {
      await handle.close();
    }
  };

  return {
    open,
    openForReading: async (slot, signal) => {
      if (signal.aborted) throw new OtadError('CANCELLED', { slot, step: 'open' });
      return openForReading(slot);
    },
    refuse: async (slot) => {
      await requireWritable(slot);
    },
    readRecord: (slot, signal) =>
      reading(slot, async (handle) =>
        recordAreaOffsetBytes(handle.sizeBytes) < 0
          ? null
          : (decodeRecord(await readRecordArea(handle, signal))?.record ?? null),
      ),
    sizeBytes: (slot) => reading(slot, async (handle) => handle.sizeBytes),
  };
};
