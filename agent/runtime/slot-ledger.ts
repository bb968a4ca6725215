// The slot's record of itself, as a journal of two places written in turn. Invariant: a record is written only after
// everything that it claims is durable, and is durable itself when `commit` returns.

import { OtadError } from '../core/errors.ts';
import type { Sealing, SlotHandle } from '../core/ports.ts';
import {
  blockSizeBytes,
  recordAreaBytes,
  recordAreaOffsetBytes,
  recordCopies,
  recordOffsetBytes,
  recordReasonCharsMax,
} from '../core/slot-layout.ts';
import type { SlotRecord } from '../core/types.ts';
import { isEqual, isMediumFault, isOnMedium } from './slot-medium.ts';

export interface SlotLedger {
  /** The newest record, or null where there is none that is whole. */
  current(): SlotRecord | null;
  /** Flushes what was written before, then makes `record` the newest one, durably; one that is so already is not written. */
  commit(record: SlotRecord, signal: AbortSignal): Promise<SlotRecord>;
}

/** Free text as a record keeps it: one line, well-formed, of bounded length. */
export const asReason = (text: string): string =>
  text
    .replace(/\p{Cc}+/gu, ' ')
    .replace(/\p{Cs}/gu, '\ufffd')
    .slice(0, recordReasonCharsMax)
    .replace(/\p{Cs}$/u, '');

export const openLedger = async (handle: SlotHandle, sealing: Sealing, signal: AbortSignal): Promise<SlotLedger> => {
  const area = new Uint8Array(recordAreaBytes);
  const start = recordAreaOffsetBytes(handle.sizeBytes);
  for (let offset = 0; start >= 0 && offset < recordAreaBytes; offset += blockSizeBytes) {
    try {
      area.set(await handle.read(start + offset, blockSizeBytes, signal), offset);
    } catch (error) {
      if (!isMediumFault(error)) throw error; // one bad copy must not hide the other
    }
  }
  let newest = sealing.decodeRecord(area);
  const isSame = (a: SlotRecord, b: SlotRecord): boolean =>
    isEqual(sealing.encodeRecord(a, 0), sealing.encodeRecord(b, 0));
  /** True when the medium gives the record back from the place of this serial. */
  const place = async (record: SlotRecord, serial: number, placeSignal: AbortSignal): Promise<boolean> => {
    const offsetBytes = recordOffsetBytes(handle.sizeBytes, serial);
    const bytes = sealing.encodeRecord(record, serial);
    try {
      await handle.write(offsetBytes, bytes, placeSignal);
    } catch (error) {
      if (!isMediumFault(error)) throw error;
      return false;
    }
    await handle.flush(placeSignal);
    return isOnMedium(handle, { offsetBytes, bytes }, placeSignal);
  };
  return {
    current: () => newest?.record ?? null,
    async commit(record, commitSignal) {
      await handle.flush(commitSignal);
      if (newest !== null && isSame(newest.record, record)) return newest.record;
      // In turn: the place of the newest record is not touched until the next one is durable in the other place. A place
      // that does not take the record or give it back is worn out: the record goes to the other one, the only one left.
      for (let attempt = 0; attempt < recordCopies; attempt += 1) {
        const serial = (newest?.serial ?? 0) + 1 + attempt;
        if (!(await place(record, serial, commitSignal))) continue;
        newest = { record, serial };
        return record;
      }
      throw new OtadError('SLOT_READBACK_MISMATCH', { part: 'record' });
    },
  };
};
