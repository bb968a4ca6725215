// Reads at start what the device itself shows: boot id, boot state, what the slots say of themselves. A slot that is not
// there yet is waited for a while, because size and record are read here only. One that stays away or cannot be read is a
// problem to show, never a reason not to start; without the boot state nothing can be decided, and it throws.

import { setTimeout as delay } from 'node:timers/promises';
import { type Failure, OtadError, toFailure } from '../core/errors.ts';
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
  /** How long a slot may take to appear. */
  readonly slotWaitMs?: number;
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

/** udev names partitions while services start already; the unit's TimeoutStartSec is far longer than this. */
const slotWaitMsDefault = 20_000;
const slotLookMs = 250;

/** Returns when the slot is there, or else after `waitMs`. Throws CANCELLED. */
const waitForSlot = async (
  slots: LocalSlotDevices,
  slot: SlotName,
  waitMs: number,
  signal: AbortSignal,
): Promise<void> => {
  for (let waitedMs = 0; waitedMs < waitMs; waitedMs += slotLookMs) {
    try {
      await slots.sizeBytes(slot);
      return;
    } catch (error) {
      if (!(error instanceof OtadError) || error.code !== 'SLOT_MISSING') return;
    }
    await delay(slotLookMs, undefined, { signal }).catch(() => {
      throw new OtadError('CANCELLED', { step: 'wait for a slot', slot });
    });
  }
};

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
  { boot, slots, bootId, bootedRelease, problems, slotWaitMs = slotWaitMsDefault }: FactsOptions,
  signal: AbortSignal,
): Promise<Facts> => {
  const status = await boot.status(signal);
  // Both at once: two missing slots cost no more than one.
  await Promise.all((['a', 'b'] as const).map((slot) => waitForSlot(slots, slot, slotWaitMs, signal)));
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
