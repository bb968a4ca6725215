// Range requests that run ahead of what is written: a few at a time, each into memory of its own, all of them bounded together,
// because what is in memory is lost with the process. Says what arrived; whether it is right is the caller's business.

import { OtadError } from '../core/errors.ts';
import type { ByteRange, ReleaseSource } from '../core/ports.ts';
import type { ArtifactFile } from '../core/types.ts';

export const requestsInFlightMax = 4;
/** Asked for and not yet taken: with what waits in the writer less than 1 MiB. */
export const aheadBytesMax = 768 * 1024;

/** One request under way. */
export interface PendingRange {
  readonly bytes: Uint8Array;
  /** Waits for the first `lengthBytes` bytes. Throws what ended the request before they were there. */
  arrived(lengthBytes: number): Promise<void>;
  /** The server that sent the byte at `offsetBytes` of the range, which has arrived. */
  serverAt(offsetBytes: number): string;
  /** The bytes are not needed any more. */
  release(): void;
}

export interface RangeWindow {
  /** True when another request of this length fits. The only one always does. */
  hasRoom(lengthBytes: number): boolean;
  start(range: ByteRange): PendingRange;
  /** Ends all requests; none writes or counts afterwards. */
  close(): Promise<void>;
}

export interface WindowPorts {
  readonly source: ReleaseSource;
  readonly file: ArtifactFile;
  readonly onFetched: (lengthBytes: number) => void;
  readonly signal: AbortSignal;
}

export const createRangeWindow = ({ source, file, onFetched, signal }: WindowPorts): RangeWindow => {
  const ending = new AbortController();
  const both = AbortSignal.any([signal, ending.signal]);
  const running = new Set<Promise<void>>();
  let aheadBytes = 0;

  const start = (range: ByteRange): PendingRange => {
    const bytes = new Uint8Array(range.lengthBytes);
    let arrivedBytes = 0;
    let end: { readonly error: unknown } | null = null;
    let wake: () => void = () => {};
    let isReleased = false;
    aheadBytes += bytes.length;
    /** Who sent what, up to where: a few at the most, since a part that breaks off goes from one server to the next. */
    const served: { readonly server: string; endBytes: number }[] = [];
    const sink = (piece: Uint8Array, server: string): void => {
      if (arrivedBytes + piece.length > bytes.length) {
        throw new OtadError('FILE_TOO_LARGE', { path: file.path, ...range });
      }
      bytes.set(piece, arrivedBytes);
      arrivedBytes += piece.length;
      const last = served.at(-1);
      if (last?.server === server) last.endBytes = arrivedBytes;
      else served.push({ server, endBytes: arrivedBytes });
      onFetched(piece.length);
      wake();
    };
    const run = async (): Promise<void> => {
      try {
        await source.streamRange(file, range, sink, both);
        end = { error: new OtadError('HTTP_TRUNCATED', { path: file.path, ...range, arrivedBytes }) };
      } catch (error) {
        end = { error };
      }
      wake();
    };
    const request = run();
    running.add(request);
    void request.then(() => running.delete(request));
    return {
      bytes,
      async arrived(lengthBytes) {
        while (arrivedBytes < lengthBytes) {
          if (end !== null) throw end.error;
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
      },
      serverAt: (offsetBytes) => served.find(({ endBytes }) => offsetBytes < endBytes)?.server ?? '',
      release() {
        if (!isReleased) aheadBytes -= bytes.length;
        isReleased = true;
      },
    };
  };

  return {
    hasRoom: (lengthBytes) =>
      running.size < requestsInFlightMax && (aheadBytes === 0 || aheadBytes + lengthBytes <= aheadBytesMax),
    start,
    async close() {
      ending.abort();
      await Promise.all(running);
    },
  };
};
