// What the boot helper agrees to. It works out by itself which slot runs and which one is meant, reads that slot itself, and
// believes signed metadata and its own ledger only: whoever asks can delay an update or go back to what was confirmed here,
// and nothing else.

import {
  type BootLedger,
  confirmedAs,
  isBelowFloor,
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
import { bootManifestOf } from './boot-manifest.ts';
import { type PlacingPorts, requirePlace, requireRoom, settleBootSet } from './boot-placing.ts';
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
  readonly bootSets: Pick<PlacingPorts, 'places' | 'staged'>;
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

export const createBootGuard = ({ boot, slots, sealing, ledger, bootSets, onConfirmed }: GuardPorts): BootGuard => {
  const placing: PlacingPorts = { ...bootSets, sealing };

  /** The running system is good: remembered as a place to return to, and as the floor. */
  const noteRunning = async ({ booted, bootedRoot, slots: states }: BootStatus, signal: AbortSignal): Promise<void> => {
    if (states[booted].state !== 'good') return;
    await onConfirmed();
    if (bootedRoot === null) return;
    // Only what runs from this very root speaks for itself, and only where no metadata did.
    const record = await slots.readRecord(booted, signal).catch(() => null);
    const own = record?.verity.rootHex === bootedRoot ? record : null;
    await ledger.update((before) => noteConfirmed(before, bootedRoot, own));
  };

  const look = async (signal: AbortSignal): Promise<BootStatus> => {
    const status = await boot.status(signal);
    await noteRunning(status, signal);
    return status;
  };

  /** Remembered before the first byte is written: by the time of the flip the repository may name the release after it. */
  const noteRelease = async (readSigned: ReadSigned, signal: AbortSignal): Promise<Release | OtadError> => {
    try {
      const named = await readSigned(signal);
      const release = signedRelease(named, bootManifestOf(named, sealing)?.sha256Hex ?? null);
      if (release !== null) await ledger.update((before) => noteSigned(before, release));
      return named;
    } catch (error) {
      if (error instanceof OtadError) return error;
      throw error;
    }
  };

  /** Refused before the slot loses what it holds: nothing is fetched for a boot place that cannot take it. */
  const requirePlaceFor = async (slot: SlotName, release: Release): Promise<void> => {
    const manifest = bootManifestOf(release, sealing);
    if (manifest !== null) await requireRoom(slot, requirePlace(placing, slot), manifest.files);
  };

  /**
   * Throws RELEASE_UNSIGNED or RELEASE_BELOW_FLOOR. `why`: what was wrong with the metadata that came along. What ran here may be
   * started again; what may be written into the slot's boot place was signed together with this very root.
   */
  const requireVouched = async (
    slot: SlotName,
    record: SlotRecord,
    why: OtadError | null,
  ): Promise<{ readonly mayPlace: boolean }> => {
    const known = await ledger.read();
    const { rootHex } = record.verity;
    const release = signedAs(known, record);
    const ran = confirmedAs(known, rootHex);
    const bootSet = record.bootSetSha256Hex ?? null;
    if (ran !== null && (ran.bootSetSha256Hex === null || ran.bootSetSha256Hex === bootSet)) {
      return { mayPlace: release !== null || ran.bootSetSha256Hex !== null };
    }
    const facts = { slot, version: record.release.version, sequence: record.release.sequence, root: rootHex };
    if (release === null) throw new OtadError('RELEASE_UNSIGNED', { ...facts, metadata: why?.message });
    if (isBelowFloor(known, release)) {
      throw new OtadError('RELEASE_BELOW_FLOOR', { ...facts, floor: known.floor.sequence, epoch: known.floor.epoch });
    }
    return { mayPlace: true };
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

  /**
   * The root of what runs, where the bootloader has lost it and the slot went by its own record: one that was signed or ran here
   * before, of bytes that are still there. undefined: the bootloader has one, or nobody vouches for what runs.
   */
  const lostRoot = async (
    { booted, bootedRoot, roots }: BootStatus,
    signal: AbortSignal,
  ): Promise<VerityParameters | undefined> => {
    if (roots?.[booted] !== null) return undefined;
    const record = await slots.readRecord(booted, signal).catch(() => null);
    if (record === null || (bootedRoot !== null && record.verity.rootHex !== bootedRoot)) return undefined;
    const known = await ledger.read();
    if (signedAs(known, record) === null && confirmedAs(known, record.verity.rootHex) === null) return undefined;
    try {
      await requireBytes(booted, record, signal);
    } catch (error) {
      if (error instanceof OtadError && error.code !== 'CANCELLED') return undefined;
      throw error;
    }
    return record.verity;
  };

  return {
    status: look,

    invalidate: async (slot, readSigned, signal) => {
      const { booted, slots: states } = await look(signal);
      if (slot === booted) throw new OtadError('SLOT_RUNNING', { slot });
      if (states[booted].state === 'pending' && states[slot].state === 'good')
        throw new OtadError('UNCONFIRMED', { slot });
      const release = await noteRelease(readSigned, signal);
      if (!(release instanceof OtadError)) await requirePlaceFor(slot, release);
      await boot.invalidate(slot, signal);
    },

    activate: async (slot, tries, verity, readSigned, signal) => {
      const { booted, slots: states } = await look(signal);
      if (slot === booted) throw new OtadError('SLOT_RUNNING', { slot });
      const named = await noteRelease(readSigned, signal);
      const why = named instanceof OtadError ? named : null;
      const record = await slots.readRecord(slot, signal);
      if (record === null) throw new OtadError('RELEASE_UNSIGNED', { slot, record: 'none that is whole' });
      if (!isSameVerity(verity, record.verity)) {
        throw new OtadError('VERITY_ROOT_MISMATCH', { slot, asked: verity.rootHex, inSlot: record.verity.rootHex });
      }
      const { mayPlace } = await requireVouched(slot, record, why);
      await requireBytes(slot, record, signal);
      const isBootable = states[slot].state !== 'bad';
      const bootSetSha256Hex = record.bootSetSha256Hex ?? null;
      const invalidate = (): Promise<void> => boot.invalidate(slot, signal);
      await settleBootSet({ slot, bootSetSha256Hex, mayPlace, isBootable, invalidate }, placing, signal);
      await boot.activate(slot, tries, record.verity, signal);
    },

    markGood: async (slot, signal) => {
      const status = await look(signal);
      if (slot !== status.booted)
        throw new OtadError('BAD_REQUEST', { slot, reason: 'only the running slot can be confirmed' });
      await boot.markGood(slot, signal, await lostRoot(status, signal));
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
