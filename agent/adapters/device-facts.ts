// Reads at start what the device itself shows: boot id, boot state, what the slots say of themselves. A slot that cannot be
// read is a problem to show, never a reason not to start; without the boot state nothing can be decided, and it throws.

import { type Failure, toFailure } from '../core/errors.ts';
import type { DeviceFacts } from '../core/events.ts';
import type { BootControl } from '../core/ports.ts';
import { blockSizeBytes, recordAreaBytes } from '../core/slot-layout.ts';
import type { ReleaseRef, SlotName, SlotRecord } from '../core/types.ts';
import type { LocalSlotDevices } from './slot-device.ts';

export interface FactsOptions {
  readonly boot: BootControl;
  readonly slots: LocalSlotDevices;
  readonly bootId: string;
  readonly bootedRelease: ReleaseRef | null;
  /** What was found wrong before. */
  readonly problems: readonly Failure[];
}

export interface Facts extends DeviceFacts {
  /** 0 for a slot that is not there: nothing fits into it. */
  readonly slotSizeBytes: Readonly<Record<SlotName, number>>;
}

interface SlotFacts {
  readonly record: SlotRecord | null;
  readonly sizeBytes: number;
  readonly problems: readonly Failure[];
}

/** Smaller than this is no slot: not even a block and the record fit. */
const slotBytesMin = blockSizeBytes + recordAreaBytes;

const readSlot = async (slots: LocalSlotDevices, slot: SlotName, signal: AbortSignal): Promise<SlotFacts> => {
  let sizeBytes = 0;
  try {
    sizeBytes = await slots.sizeBytes(slot);
    const record = sizeBytes < slotBytesMin ? null : await slots.readRecord(slot, signal);
    return { record, sizeBytes, problems: [] };
  } catch (error) {
    // A record that cannot be read now takes nothing from the slot's size: the next install writes it anew.
    return { record: null, sizeBytes, problems: [toFailure(error)] };
  }
};

/** Throws what reading the boot state throws: BOOT_EVIDENCE_MISSING, BOOT_ENV_*. */
export const readFacts = async (
  { boot, slots, bootId, bootedRelease, problems }: FactsOptions,
  signal: AbortSignal,
): Promise<Facts> => {
  const status = await boot.status(signal);
  const a = await readSlot(slots, 'a', signal);
  const b = await readSlot(slots, 'b', signal);
  return {
    bootId,
    bootedRelease,
    boot: status,
    records: { a: a.record, b: b.record },
    slotSizeBytes: { a: a.sizeBytes, b: b.sizeBytes },
    problems: [...problems, ...a.problems, ...b.problems],
  };
};
