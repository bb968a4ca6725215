// A static server on loopback that counts every byte of a body that leaves it, for all requests together, and misbehaves with
// ranges in the ways that caches, proxies and liars do.

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { TestContext } from 'node:test';
import { aServer, type LoopbackServer } from './loopback-server.ts';

export interface RangeRequest {
  readonly path: string;
  /** Null: the whole file was asked for. */
  readonly range: { readonly from: number; readonly to: number } | null;
  /** The range has no end of its own. */
  readonly isOpen: boolean;
  sentBytes: number;
}

export interface RangeBehaviour {
  /** After so many bytes of bodies in all, every connection breaks, until {@link RangeServer.renew}. */
  readonly cutAfterBytes?: number;
  /** whole: 200 with the file from its start. shifted: 206 of the bytes before. refused: 416. */
  readonly ranges?: 'honest' | 'whole' | 'shifted' | 'refused';
  /** What is sent instead of these bytes of the file. */
  readonly spoil?: (path: string, offsetBytes: number, bytes: Buffer) => Buffer;
  /** By request, so that it may change from one to the next. */
  readonly etag?: (request: number) => string;
  readonly missing?: readonly string[];
  /** The first so many Range requests are answered when all of them are there. */
  readonly gathers?: number;
}

export interface RangeServer {
  readonly url: string;
  readonly requests: readonly RangeRequest[];
  /** Of bodies, since the start. */
  sentBytes(path?: string): number;
  /** The most requests that were answered at once. */
  inFlightMax(): number;
  behave(behaviour: RangeBehaviour): void;
}

const pieceBytes = 16 * 1024;

const parseRange = (header: string | undefined, length: number): RangeRequest['range'] => {
  const match = /^bytes=(\d+)-(\d*)$/.exec(header ?? '');
  if (match === null) return null;
  const from = Number(match[1]);
  const to = match[2] === '' ? length : Number(match[2]) + 1;
  return { from, to: Math.min(to, length) };
};

export const aRangeServer = async (t: TestContext, files: ReadonlyMap<string, Uint8Array>): Promise<RangeServer> => {
  const requests: RangeRequest[] = [];
  let behaviour: RangeBehaviour = {};
  let sinceBehaviour = 0;
  let inFlight = 0;
  let inFlightMax = 0;
  const gathered: (() => void)[] = [];

  const send = async (response: ServerResponse, entry: RangeRequest, body: Buffer): Promise<void> => {
    for (let sent = 0; sent < body.length; sent += pieceBytes) {
      const room = (behaviour.cutAfterBytes ?? Number.POSITIVE_INFINITY) - sinceBehaviour;
      const piece = body.subarray(sent, Math.min(sent + pieceBytes, sent + Math.max(0, room)));
      entry.sentBytes += piece.length;
      sinceBehaviour += piece.length;
      const isCut = sent + piece.length < body.length && piece.length < pieceBytes;
      await new Promise<void>((resolve) => response.write(piece, () => resolve()));
      if (isCut || response.destroyed) {
        setImmediate(() => response.destroy());
        return;
      }
    }
    response.end();
  };

  const answer = (request: IncomingMessage, response: ServerResponse): void => {
    const path = decodeURIComponent((request.url ?? '/').slice(1));
    const file = behaviour.missing?.includes(path) ? undefined : files.get(path);
    if (file === undefined) {
      response.writeHead(404).end();
      return;
    }
    const asked = parseRange(request.headers.range, file.length);
    const { ranges = 'honest', spoil, etag } = behaviour;
    if (asked !== null && ranges === 'refused') {
      response.writeHead(416, { 'content-range': `bytes */${file.length}` }).end();
      return;
    }
    const range = asked !== null && ranges === 'whole' ? null : asked;
    const back = ranges === 'shifted' && range !== null ? Math.min(range.from, 4096) : 0;
    const [from, to] = range === null ? [0, file.length] : [range.from - back, range.to - back];
    const entry: RangeRequest = { path, range: asked, isOpen: /-$/.test(request.headers.range ?? ''), sentBytes: 0 };
    requests.push(entry);
    inFlight += 1;
    inFlightMax = Math.max(inFlightMax, inFlight);
    response.on('close', () => {
      inFlight -= 1;
    });
    const headers = { 'content-length': to - from, ...(etag === undefined ? {} : { etag: etag(requests.length) }) };
    if (range === null) response.writeHead(200, headers);
    else response.writeHead(206, { ...headers, 'content-range': `bytes ${from}-${to - 1}/${file.length}` });
    const bytes = Buffer.from(file.subarray(from, to));
    const go = (): void => void send(response, entry, spoil?.(path, from, bytes) ?? bytes);
    gathered.push(go);
    if (asked !== null && gathered.length < (behaviour.gathers ?? 0)) return;
    if (asked !== null) behaviour = { ...behaviour, gathers: 0 };
    for (const release of gathered.splice(0)) release();
  };

  const server: LoopbackServer = await aServer(t, answer);
  return {
    url: server.url,
    requests,
    sentBytes: (path) =>
      requests.reduce((sum, entry) => sum + (path === undefined || entry.path === path ? entry.sentBytes : 0), 0),
    inFlightMax: () => inFlightMax,
    behave: (next) => {
      behaviour = next;
      sinceBehaviour = 0;
    },
  };
};
