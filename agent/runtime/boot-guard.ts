// What the boot helper agrees to. It works out by itself which slot runs and which one is meant, reads that slot itself, and
// believes signed metadata and its own ledger only: whoever asks can delay an update or go back to what was confirmed here,
// and nothing else.

import {
  type BootLedger,
  isBelowFloor,
  isConfirmed,
  noteConfirmed,
  noteSigned,
  signedAs,
  signedRelease,
} from '../core/boot-ledger.ts';
import { OtadError } from '../core/errors.ts';
import type { BootControl, Sealing, SlotHandle } from '../core/ports.ts';
import {
  type BootStatus,
  otherSlot,
  type Release,
  type SlotName,
  type SlotRecord,
  type Verified,
  type VerityParameters,
} from '../core/types.ts';
import { readBack } from './slot-medium.ts';

export interface LedgerStore {
  read(): Promise<BootLedger>;
  /** One after another. Never throws for a disk that fails: what was noted then lasts for this boot. */
  update(edit: (ledger: BootLedger) => BootLedger): Promise<void>;
}

export interface GuardPorts {
  readonly boot: BootControl;
  readonly slots: {
    openForReading(slot: SlotName, signal: AbortSignal): Promise<SlotHandle>;
    readRecord(slot: SlotName, signal: AbortSignal): Promise<SlotRecord | null>;
  };
  readonly sealing: Sealing;
  readonly ledger: LedgerStore;
  /** Tells the rest of this boot that what runs is confirmed. Called often; idempotent. */
  readonly onConfirmed: () => Promise<void>;
}

/** What signed metadata names, read and verified from the root that the image carries. */
export type ReadSigned = (signal: AbortSignal) => Promise<Verified<Release>>;

export interface BootGuard {
  status(signal: AbortSignal): Promise<BootStatus>;
  invalidate(slot: SlotName, readSigned: ReadSigned, signal: AbortSignal): Promise<void>;
  activate(
    slot: SlotName,
    tries: number,
    verity: VerityParameters,
    readSigned: ReadSigned,
    signal: AbortSignal,
  ): Promise<void>;
  markGood(slot: SlotName, signal: AbortSignal): Promise<void>;
  markBad(slot: SlotName, signal: AbortSignal): Promise<void>;
  prepareReboot(signal: AbortSignal): Promise<void>;
  /** Throws NOTHING_TO_DO where a reboot would only start again what runs and is confirmed. */
  refuseReboot(signal: AbortSignal): Promise<void>;
}

const isSameVerity = (one: VerityParameters, two: VerityParameters): boolean =>
  one.rootHex === two.rootHex && one.saltHex === two.saltHex && one.hashOffsetBytes === two.hashOffsetBytes;

export const createBootGuard = ({ boot, slots, sealing, ledger, onConfirmed }: GuardPorts): BootGuard => {
  /** The running system is good: remembered as a place to return to, and as the floor. */
  const noteRunning = async ({ booted, bootedRoot, slots: states }: BootStatus, signal: AbortSignal): Promise<void> => {
    if (states[booted].state !== 'good') return;
    await onConfirmed();
    if (bootedRoot === null) return;
    // Only what runs from this very root speaks for itself, and only where no metadata did.
    const record = await slots.readRecord(booted, signal).catch(() => null);
    const sequence = record?.verity.rootHex === bootedRoot ? record.release.sequence : null;
    await ledger.update((before) => noteConfirmed(before, bootedRoot, sequence));
  };

  const look = async (signal: AbortSignal): Promise<BootStatus> => {
    const status = await boot.status(signal);
    await noteRunning(status, signal);
    return status;
  };

  /** Remembered before the first byte is written: by the time of the flip the repository may name the release after it. */
  const noteRelease = async (readSigned: ReadSigned, signal: AbortSignal): Promise<OtadError | null> => {
    try {
      const release = signedRelease(await readSigned(signal));
      if (release !== null) await ledger.update((before) => noteSigned(before, release));
      return null;
    } catch (error) {
      if (error instanceof OtadError) return error;
      throw error;
    }
  };

  /** Throws RELEASE_UNSIGNED or RELEASE_BELOW_FLOOR. `why`: what was wrong with the metadata that came along. */
  const requireVouched = async (slot: SlotName, record: SlotRecord, why: OtadError | null): Promise<void> => {
    const known = await ledger.read();
    const { rootHex } = record.verity;
    if (isConfirmed(known, rootHex)) return;
    const release = signedAs(known, record);
    const facts = { slot, version: record.release.version, sequence: record.release.sequence, root: rootHex };
    if (release === null) throw new OtadError('RELEASE_UNSIGNED', { ...facts, metadata: why?.message });
    if (isBelowFloor(known, release)) {
      throw new OtadError('RELEASE_BELOW_FLOOR', { ...facts, floor: known.floor.sequence, epoch: known.floor.epoch });
    }
  };

  /** Throws SLOT_READBACK_MISMATCH where the medium does not hold the bytes of this root. */
  const requireBytes = async (slot: SlotName, record: SlotRecord, signal: AbortSignal): Promise<void> => {
    const handle = await slots.openForReading(slot, signal);
    try {
      const found = await readBack(handle, sealing, record, () => undefined, signal);
      if (found.kind === 'same') return;
      const { part, rootHex: actual } = found;
      throw new OtadError('SLOT_READBACK_MISMATCH', { slot, part, expected: record.verity.rootHex, actual });
    } finally {
      await handle.close();
    }
  };

  return {
    status: look,

    invalidate: async (slot, readSigned, signal) => {
      const { booted, slots: states } = await look(signal);
      if (slot === booted) throw new OtadError('SLOT_RUNNING', { slot });
      if (states[booted].state === 'pending' && states[slot].state === 'good')
        throw new OtadError('UNCONFIRMED', { slot });
      await noteRelease(readSigned, signal);
      await boot.invalidate(slot, signal);
    },

    activate: async (slot, tries, verity, readSigned, signal) => {
      const { booted } = await look(signal);
      if (slot === booted) throw new OtadError('SLOT_RUNNING', { slot });
      const why = await noteRelease(readSigned, signal);
      const record = await slots.readRecord(slot, signal);
      if (record === null) throw new OtadError('RELEASE_UNSIGNED', { slot, record: 'none that is whole' });
      if (!isSameVerity(verity, record.verity)) {
        throw new OtadError('VERITY_ROOT_MISMATCH', { slot, asked: verity.rootHex, inSlot: record.verity.rootHex });
      }
      await requireVouched(slot, record, why);
      await requireBytes(slot, record, signal);
      await boot.activate(slot, tries, record.verity, signal);
    },

    markGood: async (slot, signal) => {
      const { booted } = await look(signal);
      if (slot !== booted)
        throw new OtadError('BAD_REQUEST', { slot, reason: 'only the running slot can be confirmed' });
      await boot.markGood(slot, signal);
      await look(signal);
    },

    markBad: async (slot, signal) => {
      const { booted, slots: states, roots } = await look(signal);
      const other = otherSlot(booted);
      // Without a root the slot would be believed by its own, unsigned word; only a count that ran out may lead there.
      if (slot === booted && states[booted].state === 'good' && roots?.[other] === null) {
        throw new OtadError('NO_ROLLBACK_TARGET', { slot: other, reason: 'the bootloader holds no root for it' });
      }
      await boot.markBad(slot, signal);
    },

    prepareReboot: (signal) => boot.prepareReboot(signal),

    refuseReboot: async (signal) => {
      const { booted, primary, slots: states } = await look(signal);
      if (primary === booted && states[booted].state === 'good') {
        throw new OtadError('NOTHING_TO_DO', { booted, primary });
      }
    },
  };
};
