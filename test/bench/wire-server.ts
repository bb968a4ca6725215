// The server that the wire rows are measured at: otad and its peers fetch from the same one. Counts what its sockets carried
// both ways, headers included, and the requests. Keeps connections, answers one range and several.

import type { Stats } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { createServer, type IncomingMessage, type OutgoingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { parsePath } from '../../publish/serving/static-server.ts';
import { type ByteRange, parseRanges, partHead, partsEnd } from './byte-ranges.ts';

export interface WireCount {
  readonly requests: number;
  /** From the server, with headers. */
  readonly downBytes: number;
  readonly upBytes: number;
}

export interface WireServer {
  /** With a trailing slash. */
  readonly url: string;
  /** Since the start or the last {@link WireServer.reset}. */
  readonly count: () => WireCount;
  readonly reset: () => void;
  readonly close: () => Promise<void>;
}

const boundary = 'otad-bench-part';

/** As ordinary web servers name a file's state. */
const validators = ({ size, mtime }: Stats): OutgoingHttpHeaders => ({
  etag: `"${Math.floor(mtime.getTime() / 1000).toString(16)}-${size.toString(16)}"`,
  'last-modified': mtime.toUTCString(),
  'accept-ranges': 'bytes',
});

const sendParts = async (
  handle: FileHandle,
  ranges: readonly ByteRange[],
  facts: Stats,
  response: ServerResponse,
): Promise<void> => {
  const { size } = facts;
  const heads = ranges.map((range) => partHead(boundary, range, size));
  const bodyBytes = ranges.reduce((sum, { start, end }) => sum + end - start, 0);
  const end = partsEnd(boundary);
  response.writeHead(206, {
    ...validators(facts),
    'content-type': `multipart/byteranges; boundary=${boundary}`,
    'content-length': heads.join('').length + bodyBytes + end.length,
  });
  for (const [index, range] of ranges.entries()) {
    const body = Buffer.alloc(range.end - range.start);
    await handle.read(body, 0, body.length, range.start);
    response.write(heads[index]);
    if (!response.write(body)) await new Promise((drained) => response.once('drain', drained));
  }
  response.end(end);
};

const sendOne = async (handle: FileHandle, range: ByteRange | null, facts: Stats, response: ServerResponse) => {
  const { size } = facts;
  const { start, end } = range ?? { start: 0, end: size };
  response.writeHead(range === null ? 200 : 206, {
    ...validators(facts),
    'content-type': 'application/octet-stream',
    'content-length': end - start,
    ...(range === null ? {} : { 'content-range': `bytes ${start}-${end - 1}/${size}` }),
  });
  if (end === start) response.end();
  else await pipeline(handle.createReadStream({ start, end: end - 1, autoClose: false }), response);
};

const answer = async (folder: string, request: IncomingMessage, response: ServerResponse): Promise<void> => {
  const path = parsePath(request.url ?? '');
  const handle = path === null ? null : await open(join(folder, path), 'r').catch(() => null);
  if (handle === null) {
    response.writeHead(404, { 'content-length': 0 }).end();
    return;
  }
  try {
    const facts = await handle.stat();
    const ranges = parseRanges(request.headers.range, facts.size);
    if (ranges.length > 1) await sendParts(handle, ranges, facts, response);
    else await sendOne(handle, ranges[0] ?? null, facts, response);
  } finally {
    await handle.close();
  }
};

/** Serves `folder`, of the benchmark's own making, on loopback. */
export const createWireServer = async (folder: string): Promise<WireServer> => {
  const open = new Set<Socket>();
  const closed = { requests: 0, downBytes: 0, upBytes: 0 };
  const total = (): WireCount => ({
    requests: closed.requests,
    downBytes: [...open].reduce((sum, { bytesWritten }) => sum + bytesWritten, closed.downBytes),
    upBytes: [...open].reduce((sum, { bytesRead }) => sum + bytesRead, closed.upBytes),
  });
  let before: WireCount = total();
  const server = createServer((request, response) => {
    closed.requests += 1;
    // A client that goes away in the middle is its own affair.
    answer(folder, request, response).catch(() => response.destroy());
  });
  server.on('connection', (socket: Socket) => {
    open.add(socket);
    socket.once('close', () => {
      open.delete(socket);
      closed.downBytes += socket.bytesWritten;
      closed.upBytes += socket.bytesRead;
    });
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    count: () => {
      const now = total();
      return {
        requests: now.requests - before.requests,
        downBytes: now.downBytes - before.downBytes,
        upBytes: now.upBytes - before.upBytes,
      };
    },
    reset: () => {
      before = total();
    },
    close: () =>
      new Promise((done) => {
        server.close(() => done());
        server.closeAllConnections();
      }),
  };
};
