// What a hostile, broken or overloaded server does to one file, and what must come of it. A behaviour writes the bytes of the
// answer itself, head included: no HTTP library between it and the client.

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { HttpSettings } from '../../../agent/adapters/http.ts';
import type { Attack } from '../attack-table.ts';
import type { Outcome } from '../gateway.ts';
import type { FileKind } from '../vendor.ts';

/** One request for the file that is spoiled, and what an honest server would say. */
export interface Asked {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** The whole file. */
  readonly file: Uint8Array;
  /** What the Range header leaves of it. */
  readonly part: Uint8Array;
  readonly offset: number | null;
  /** The same kind of file as the gateway trusts it, and from before that. */
  readonly stale: Uint8Array;
  readonly ancient: Uint8Array;
  /** Other servers: base URLs that serve everything honestly, or only under a bad certificate. */
  readonly others: Others;
}

export interface Others {
  readonly honest: string;
  readonly portal: string;
  readonly tls: Readonly<Record<'good' | 'downgrading' | 'expired' | 'future' | 'elsewhere' | 'stranger', string>>;
}

export interface Behaviour {
  readonly name: string;
  /** What it is a case of, in the attack table; none for what is only broken or overloaded. */
  readonly attack?: Attack;
  readonly answer: (asked: Asked) => void;
  /** One outcome for every kind of file, and where a kind differs. 'taken' means tolerated by design. */
  readonly wanted: Outcome;
  readonly except?: Readonly<Partial<Record<FileKind, Outcome>>>;
  /** Why it is tolerated, where it is. */
  readonly because?: string;
  /** Another spelling of a behaviour that meets every kind: this one meets a small file and a long one. */
  readonly isVariant?: boolean;
  readonly retryAfterS?: number;
  /** Where it is time that bounds the bytes: as much as loopback brings in some tenths of a second. */
  readonly readBytesMax?: number;
  /** For servers that only cost time: an honest one that a loaded machine delays meets the same limit, and the same code. */
  readonly limits?: Partial<HttpSettings>;
}

export const impatient: Partial<HttpSettings> = { headersTimeoutMs: 120, idleTimeoutMs: 120 };
export const demanding: Partial<HttpSettings> = { rateWindowMs: 160, minRateBytesPerS: 2000 };

type Headers = Readonly<Record<string, string | null>>;

/** Head and body as an honest server sends them, but for the changes; null takes a header away. The connection stays open. */
export const say = (
  asked: Asked,
  status: string | null,
  changes: Headers = {},
  body: Uint8Array = asked.part,
): Socket => {
  const { socket } = asked.request;
  const { offset, file, part } = asked;
  const range = offset === null ? {} : { 'content-range': `bytes ${offset}-${file.length - 1}/${file.length}` };
  const all: Headers = { 'content-length': String(part.length), ...range, ...changes };
  const lines = Object.entries(all).flatMap(([name, value]) => (value === null ? [] : [`${name}: ${value}`]));
  socket.on('error', () => undefined);
  socket.write(
    [status ?? (offset === null ? 'HTTP/1.1 200 OK' : 'HTTP/1.1 206 Partial Content'), ...lines, '', ''].join('\r\n'),
  );
  if (body.length > 0) socket.write(body);
  return socket;
};

/** Bytes as they are, from the first one on. */
export const sayRaw = (asked: Asked, text: string | Uint8Array): Socket => {
  const { socket } = asked.request;
  socket.on('error', () => undefined);
  socket.write(text);
  return socket;
};

export const nothing = new Uint8Array(0);
export const half = ({ part }: Asked): Uint8Array => part.subarray(0, part.length >> 1);
export const chunked: Headers = { 'content-length': null, 'transfer-encoding': 'chunked' };
export const asChunk = (bytes: Uint8Array): Buffer =>
  Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from('\r\n')]);

/** Goes on for ever, as fast as the other side reads. */
export const pour = (socket: Socket, piece: Uint8Array): void => {
  const more = (): void => {
    while (!socket.destroyed && socket.write(piece));
  };
  socket.on('drain', more);
  more();
};

/** One piece at a time, for ever. */
export const drip = (socket: Socket, piece: string, everyMs: number): void => {
  const timer = setInterval(() => socket.write(piece), everyMs);
  socket.on('close', () => clearInterval(timer));
};
