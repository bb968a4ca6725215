// otad's side of the boot helper: the boot ports over its socket. One connection a request. The helper's refusals come
// through as they were thrown there; that it cannot be asked has a code of its own.

import { connect, type Socket } from 'node:net';
import type { CarriedFile } from '../../verity/carried-metadata.ts';
import { OtadError } from '../core/errors.ts';
import type { BootControl, HeldBootFiles, InspectBoot, Rebooter } from '../core/ports.ts';
import {
  answerBytesMax,
  type BootRequest,
  type BootValue,
  encodeRequest,
  parseAnswer,
  toWire,
  type WireMetadata,
} from './boot-protocol.ts';

export interface BootClientOptions {
  readonly socketPath: string;
  /** The signed metadata that this otad believes now; the helper believes only what it verifies itself. */
  readonly carry: (signal: AbortSignal) => Promise<readonly CarriedFile[]>;
  readonly timeoutMs?: number;
  readonly readingTimeoutMs?: number;
}

export interface BootClient {
  readonly boot: BootControl;
  readonly inspect: InspectBoot;
  readonly rebooter: Rebooter;
  readonly heldBootFiles: HeldBootFiles;
}

/** The helper may have to be started first, on a busy board. */
const timeoutMsDefault = 120_000;
/** It reads the whole slot: 8 GiB from a slow card. */
const readingTimeoutMsDefault = 3_600_000;
const readingVerbs: readonly string[] = ['activate', 'markGood'];

const unreachable = (socketPath: string, reason: string, cause?: unknown): OtadError =>
  new OtadError('BOOT_HELPER_UNREACHABLE', { socket: socketPath, reason }, { cause });

/** The bytes up to the line's end. Throws BOOT_HELPER_UNREACHABLE, BAD_REQUEST, CANCELLED. */
const exchange = (socketPath: string, line: string, timeoutMs: number, signal: AbortSignal): Promise<Uint8Array> =>
  new Promise((resolve, reject) => {
    const socket: Socket = connect(socketPath);
    const pieces: Buffer[] = [];
    let length = 0;
    const settle = (finish: () => void): void => {
      signal.removeEventListener('abort', onAbort);
      clearTimeout(timer);
      socket.destroy();
      finish();
    };
    const onAbort = (): void => settle(() => reject(new OtadError('CANCELLED')));
    const timer = setTimeout(
      () => settle(() => reject(unreachable(socketPath, `no answer within ${timeoutMs} ms`))),
      timeoutMs,
    );
    signal.addEventListener('abort', onAbort, { once: true });
    // A refusal may come, and the connection end, before all of a long request was taken: what was answered still counts.
    let broken: NodeJS.ErrnoException | null = null;
    socket.once('connect', () => socket.write(line));
    socket.on('data', (piece: Buffer) => {
      length += piece.length;
      if (length > answerBytesMax) {
        return settle(() => reject(new OtadError('BAD_REQUEST', { what: 'answer', reason: 'too long' })));
      }
      pieces.push(piece);
      if (piece.includes(0x0a)) settle(() => resolve(Buffer.concat(pieces)));
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      broken = error;
    });
    socket.once('close', () =>
      settle(() => reject(unreachable(socketPath, broken?.code ?? 'it ended the connection', broken))),
    );
  });

export const createBootClient = ({
  socketPath,
  carry,
  timeoutMs = timeoutMsDefault,
  readingTimeoutMs = readingTimeoutMsDefault,
}: BootClientOptions): BootClient => {
  const ask = async <R extends BootRequest>(request: R, signal: AbortSignal): Promise<BootValue[R['verb']]> => {
    if (signal.aborted) throw new OtadError('CANCELLED');
    const limitMs = readingVerbs.includes(request.verb) ? readingTimeoutMs : timeoutMs;
    return parseAnswer<R['verb']>(request.verb, await exchange(socketPath, encodeRequest(request), limitMs, signal));
  };
  const tell = async (request: BootRequest, signal: AbortSignal): Promise<void> => {
    await ask(request, signal);
  };
  /** Without metadata the helper goes by what it remembers: a way back must be there without any. */
  const metadata = async (signal: AbortSignal): Promise<WireMetadata> =>
    carry(signal).then(toWire, (error: unknown) => {
      if (error instanceof OtadError) return [];
      throw error;
    });
  return {
    boot: {
      status: (signal) => ask({ verb: 'status' }, signal),
      invalidate: async (slot, signal) => tell({ verb: 'invalidate', slot, metadata: await metadata(signal) }, signal),
      activate: async (slot, tries, verity, signal) =>
        tell({ verb: 'activate', slot, tries, verity, metadata: await metadata(signal) }, signal),
      markGood: (slot, signal) => tell({ verb: 'markGood', slot }, signal),
      markBad: (slot, signal) => tell({ verb: 'markBad', slot }, signal),
      prepareReboot: (signal) => tell({ verb: 'prepareReboot' }, signal),
    },
    inspect: (signal) => ask({ verb: 'inspect' }, signal),
    heldBootFiles: {
      read: async (slot, { name, lengthBytes, sha256Hex }, offsetBytes, signal) => {
        const file = { name, lengthBytes, sha256Hex };
        const piece = await ask({ verb: 'bootFile', slot, file, offsetBytes }, signal);
        return piece === null ? null : Buffer.from(piece, 'base64');
      },
    },
    rebooter: { request: (slot, signal) => tell({ verb: 'reboot', slot }, signal) },
  };
};
