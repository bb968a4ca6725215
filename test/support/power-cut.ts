// Slots on a medium that keeps what it was given in its own memory until it is told to flush, the worst one that there is: when the
// power goes, every write since then is undone. Counts what it is asked for.

import { OtadError } from '../../agent/core/errors.ts';
import type { SlotDevices, SlotHandle } from '../../agent/core/ports.ts';

export interface PowerCut {
  readonly devices: SlotDevices;
  /** The power goes now. */
  cut(): Promise<void>;
  readonly counts: { writes: number; writtenBytes: number; flushes: number };
}

const gone = (): OtadError => new OtadError('SLOT_IO', { reason: 'no power' });
const steady = new AbortController().signal;

/** The power goes at the write of this number; never where there are fewer. */
export const cutAtWrite = (real: SlotDevices, at: number): PowerCut => {
  let cut = async (): Promise<void> => {};
  const counts = { writes: 0, writtenBytes: 0, flushes: 0 };
  const open = async (...args: Parameters<SlotDevices['open']>): Promise<SlotHandle> => {
    const handle = await real.open(...args);
    let undo: { readonly offsetBytes: number; readonly bytes: Uint8Array }[] = [];
    let isDead = false;
    const alive = <T>(work: () => Promise<T>): Promise<T> => (isDead ? Promise.reject(gone()) : work());
    cut = async () => {
      isDead = true;
      for (const { offsetBytes, bytes } of undo.reverse()) await handle.write(offsetBytes, bytes, steady);
    };
    const die = async (): Promise<never> => {
      await cut();
      throw gone();
    };
    return {
      sizeBytes: handle.sizeBytes,
      read: (...of) => alive(() => handle.read(...of)),
      write: (offsetBytes, bytes, signal) =>
        alive(async () => {
          counts.writes += 1;
          if (counts.writes >= at) return die();
          counts.writtenBytes += bytes.length;
          undo.push({ offsetBytes, bytes: Uint8Array.from(await handle.read(offsetBytes, bytes.length, steady)) });
          await handle.write(offsetBytes, bytes, signal);
        }),
      // The file below is not flushed: nothing takes its power, and a flush is most of what a test would wait for.
      flush: () =>
        alive(async () => {
          counts.flushes += 1;
          undo = [];
        }),
      requireSamePlace: () => handle.requireSamePlace(),
      close: () => handle.close(),
    };
  };
  return { devices: { ...real, open }, cut: () => cut(), counts };
};
