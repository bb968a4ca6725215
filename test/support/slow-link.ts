// A link with a rate, and the clock that goes with it: time passes by the bytes that come and by nothing else, so what a second of it
// brings is exact. Requests at once share it evenly. Nothing comes while the medium works, which takes time for flushes alone.

import { OtadError } from '../../agent/core/errors.ts';
import type { ReleaseSource, ServedSink, SlotDevices, SlotHandle, SlotReader } from '../../agent/core/ports.ts';
import { streamOnly } from './slot-bench.ts';

const pieceBytes = 4096;

export interface SlowLink {
  readonly source: ReleaseSource;
  readonly monoMs: () => number;
  /** The same slots: while they work nothing comes, and after one of their failures nothing comes or works any more. */
  readonly watched: (devices: SlotDevices) => SlotDevices;
  /** Of all files, or of one. */
  sentBytes(path?: string): number;
  /** After so many bytes the process is gone: nothing comes or works any more. */
  endAfter(bytes: number, onEnd?: () => Promise<void>): void;
}

export const aSlowLink = (files: ReadonlyMap<string, Uint8Array>, bytesPerSecond: number, flushMs = 0): SlowLink => {
  const sent = new Map<string, number>();
  const working = new Set<Promise<unknown>>();
  let sentBytes = 0;
  let flushedMs = 0;
  let endBytes = Number.POSITIVE_INFINITY;
  let onEnd = async (): Promise<void> => {};
  let isGone = false;

  const atRest = async (): Promise<void> => {
    do {
      await Promise.allSettled([...working]);
      await new Promise(setImmediate);
    } while (working.size > 0);
  };
  const at = async <T>(work: () => Promise<T>): Promise<T> => {
    if (isGone) throw new OtadError('SLOT_IO', { reason: 'the process is gone' });
    const done = work();
    working.add(done);
    try {
      return await done;
    } catch (error) {
      isGone = true;
      throw error;
    } finally {
      working.delete(done);
    }
  };
  const watchReads = (reader: SlotReader): SlotReader => ({
    sizeBytes: reader.sizeBytes,
    read: (...args) => at(() => reader.read(...args)),
    close: () => reader.close(),
  });
  const watch = (handle: SlotHandle): SlotHandle => ({
    ...watchReads(handle),
    write: (...args) => at(() => handle.write(...args)),
    flush: (...args) =>
      at(async () => {
        flushedMs += flushMs;
        await handle.flush(...args);
      }),
    requireSamePlace: (...args) => handle.requireSamePlace(...args),
  });

  const send = async (path: string, from: number, to: number, sink: ServedSink, signal: AbortSignal): Promise<void> => {
    const file = files.get(path);
    if (file === undefined) throw new OtadError('HTTP_STATUS', { status: 404 });
    for (let offset = from; offset < to; offset += pieceBytes) {
      await atRest();
      if (sentBytes >= endBytes && !isGone) {
        isGone = true;
        await onEnd();
      }
      if (isGone || signal.aborted) throw new OtadError('CANCELLED');
      const piece = Buffer.from(file.subarray(offset, Math.min(to, offset + pieceBytes)));
      sentBytes += piece.length;
      sent.set(path, (sent.get(path) ?? 0) + piece.length);
      await sink(piece, 'server');
      piece.fill(0xdd); // the bytes belong to the sink only until then
    }
  };

  return {
    source: {
      ...streamOnly,
      check: () => Promise.reject(new OtadError('INTERNAL')),
      stream: ({ path, lengthBytes }, offset, sink, signal) => send(path, offset, lengthBytes, sink, signal),
      streamRange: ({ path }, { offsetBytes, lengthBytes }, sink, signal) =>
        send(path, offsetBytes, offsetBytes + lengthBytes, sink, signal),
    },
    monoMs: () => (sentBytes * 1000) / bytesPerSecond + flushedMs,
    watched: (devices) => ({
      ...devices,
      open: async (...args) => watch(await devices.open(...args)),
      openForReading: async (...args) => watchReads(await devices.openForReading(...args)),
    }),
    sentBytes: (path) => (path === undefined ? sentBytes : (sent.get(path) ?? 0)),
    endAfter(bytes, tell = onEnd) {
      endBytes = bytes;
      onEnd = tell;
    },
  };
};
