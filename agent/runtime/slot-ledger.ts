// The slot's record of itself, as a journal of two places written in turn. Invariant: a record is written only after
// everything that it claims is durable, and is durable itself when `commit` returns.

import type { Sealing, SlotHandle } from '../core/ports.ts';
import {
  blockSizeBytes,
  recordAreaBytes,
  recordAreaOffsetBytes,
  recordOffsetBytes,
  recordReasonCharsMax,
} from '../core/slot-layout.ts';
import type { SlotRecord } from '../core/types.ts';
import { isEqual, isUnreadable } from './slot-medium.ts';

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
      if (!isUnreadable(error)) throw error; // one bad copy must not hide the other
    }
  }
  let newest = sealing.decodeRecord(area);
  const isSame = (a: SlotRecord, b: SlotRecord): boolean =>
    isEqual(sealing.encodeRecord(a, 0), sealing.encodeRecord(b, 0));
  return {
    current: () => newest?.record ?? null,
    async commit(record, commitSignal) {
      await handle.flush(commitSignal);
      if (newest !== null && isSame(newest.record, record)) return newest.record;
      // In turn: the place of the newest record is not touched until the next one is durable in the other place.
      const serial = (newest?.serial ?? 0) + 1;
      const block = sealing.encodeRecord(record, serial);
      await handle.write(recordOffsetBytes(handle.sizeBytes, serial), block, commitSignal);
      await handle.flush(commitSignal);
      newest = { record, serial };
      return record;
    },
  };
};
