// Range requests that run ahead of what is written: a few at a time, each into memory of its own, all of them bounded together,
// because what is in memory is lost with the process: by a number of bytes, and by what the link brings in a second. The bytes of a
// request are one server's, so that who sent wrong ones is known. Says what arrived; whether it is right is the caller's business.

import { OtadError } from '../core/errors.ts';
import type { ByteRange, ReleaseSource } from '../core/ports.ts';
import type { ArtifactFile } from '../core/types.ts';
import type { LinkPace } from './link-pace.ts';

export const requestsInFlightMax = 4;
/** Asked for and not yet taken, on the fastest link: with what waits in the writer less than 1 MiB. */
export const aheadBytesMax = 768 * 1024;

/** One request under way. */
export interface PendingRange {
  /** Begun anew where another server had to be asked. */
  readonly bytes: Uint8Array;
  /** Waits for the first `lengthBytes` bytes. Throws what ended the request before they were there. */
  arrived(lengthBytes: number): Promise<void>;
  /** The server that sent all that has arrived. */
  readonly server: string;
  /** The first `lengthBytes` bytes are not needed any more. */
  taken(lengthBytes: number): void;
}

export interface RangeWindow {
  /**
   * True when another request of this length fits. The only one always does; another one runs beside it when all that was asked
   * for before will be here half a second after its own bytes begin to come: so latency costs nothing, and on a slow link a cut little.
   */
  hasRoom(lengthBytes: number): boolean;
  start(range: ByteRange): PendingRange;
  /** Ends all requests; none writes or counts afterwards. */
  close(): Promise<void>;
}

export interface WindowPorts {
  readonly source: ReleaseSource;
  readonly file: ArtifactFile;
  readonly pace: LinkPace;
  readonly onFetched: (lengthBytes: number) => void;
  /** So many of them are to come once more, from another server. */
  readonly onDropped: (lengthBytes: number) => void;
  readonly signal: AbortSignal;
}

export const createRangeWindow = ({ source, file, pace, onFetched, onDropped, signal }: WindowPorts): RangeWindow => {
  const ending = new AbortController();
  const both = AbortSignal.any([signal, ending.signal]);
  const running = new Set<Promise<void>>();
  let aheadBytes = 0;
  let missingBytes = 0;

  const start = (range: ByteRange): PendingRange => {
    let bytes = new Uint8Array(range.lengthBytes);
    let arrivedBytes = 0;
    let server = '';
    let end: { readonly error: unknown } | null = null;
    let wake: () => void = () => {};
    let takenBytes = 0;
    const answered = pace.asked();
    aheadBytes += bytes.length;
    missingBytes += bytes.length;
    const sink = (piece: Uint8Array, from: string): void => {
      if (from !== server) {
        // Whoever has some of the bytes before keeps them as they are.
        if (arrivedBytes > 0) bytes = new Uint8Array(range.lengthBytes);
        onDropped(arrivedBytes);
        missingBytes += arrivedBytes;
        arrivedBytes = 0;
        server = from;
      }
      if (arrivedBytes + piece.length > bytes.length) {
        throw new OtadError('FILE_TOO_LARGE', { path: file.path, ...range });
      }
      if (arrivedBytes === 0) answered();
      bytes.set(piece, arrivedBytes);
      arrivedBytes += piece.length;
      missingBytes -= piece.length;
      pace.note(piece.length);
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
      get bytes() {
        return bytes;
      },
      get server() {
        return server;
      },
      async arrived(lengthBytes) {
        while (arrivedBytes < lengthBytes) {
          if (end !== null) throw end.error;
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
      },
      taken(lengthBytes) {
        aheadBytes -= Math.max(0, lengthBytes - takenBytes);
        takenBytes = Math.max(takenBytes, lengthBytes);
      },
    };
  };

  return {
    hasRoom: (lengthBytes) =>
      aheadBytes === 0 ||
      (running.size < requestsInFlightMax &&
        aheadBytes + lengthBytes <= aheadBytesMax &&
        missingBytes <= pace.aheadBytes()),
    start,
    async close() {
      ending.abort();
      await Promise.all(running);
    },
  };
};
