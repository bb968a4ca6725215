// A small static file server for trying a repository out, for tests and for the virtual gateway: what a CDN or nginx
// would answer, and nothing more. Sends files as they are (no compression), only from below its folder, and never a
// listing. Not meant to face the internet.

import { constants, type Stats } from 'node:fs';
import { type FileHandle, open, realpath } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { basename, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { OtadError } from '../../agent/core/errors.ts';
import { errorCodeOf, temporarySuffix } from '../durable-file.ts';

const urlLengthMax = 4096;
const headersTimeoutMs = 10_000;
const requestTimeoutMs = 30_000;
const connectionsMax = 1024;

/** One answered request. `bytes` counts the body bytes that were handed to the socket. */
export interface ServedRequest {
  readonly method: string;
  readonly path: string;
  readonly status: number;
  readonly bytes: number;
  readonly range: string | null;
}

export interface StaticServerOptions {
  /** Default 127.0.0.1. */
  readonly host?: string | undefined;
  /** Default 0: any free port. */
  readonly port?: number | undefined;
  /** Called once for each request, after its last byte or when the client went away. */
  readonly onRequest?: ((request: ServedRequest) => void) | undefined;
}

export interface StaticServer {
  readonly host: string;
  readonly port: number;
  /** Base URL with a trailing slash. */
  readonly url: string;
  /** Ends open connections too, and returns when every request has been reported. */
  close(): Promise<void>;
}

interface ByteRange {
  readonly start: number;
  /** Exclusive. */
  readonly end: number;
}

/** The one range asked for; null for none (or several, which the RFC lets us ignore), 'unsatisfiable' for 416. */
export const parseRange = (header: string | undefined, size: number): ByteRange | 'unsatisfiable' | null => {
  const match = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header ?? '');
  if (match === null || (match[1] === '' && match[2] === '')) return null;
  if (match[1] === '') {
    const suffix = Number(match[2]);
    return suffix === 0 || size === 0 ? 'unsatisfiable' : { start: Math.max(0, size - suffix), end: size };
  }
  const start = Number(match[1]);
  const last = match[2] === '' ? size - 1 : Number(match[2]);
  if (match[2] !== '' && last < start) return null;
  return start >= size ? 'unsatisfiable' : { start, end: Math.min(last + 1, size) };
};

/** Path below the folder for a request target, or null where it may not name a file. */
export const parsePath = (target: string): string | null => {
  if (target.length > urlLengthMax || !target.startsWith('/')) return null;
  let path: string;
  try {
    path = decodeURIComponent(target.split(/[?#]/, 1)[0] ?? '');
  } catch {
    return null;
  }
  const parts = path.slice(1).split('/');
  // No empty part, no dot file, nothing unfinished: so neither '..' nor what a publication has not committed.
  const isServed = parts.every((part) => part !== '' && !part.startsWith('.') && !/[\0\\]/.test(part));
  return isServed && !path.endsWith(temporarySuffix) ? parts.join('/') : null;
};

/** Opens the file if it lies below `root` even after following links. */
const openBelow = async (root: string, path: string): Promise<{ handle: FileHandle; facts: Stats } | null> => {
  let handle: FileHandle;
  try {
    const real = await realpath(join(root, path));
    if (!real.startsWith(`${root}/`)) return null;
    handle = await open(real, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'ELOOP', 'EACCES', 'ENAMETOOLONG', 'ENXIO'].includes(errorCodeOf(error) ?? ''))
      return null;
    throw error;
  }
  const facts = await handle.stat();
  if (facts.isFile()) return { handle, facts };
  await handle.close();
  return null;
};

/** Files that never change under their name: hash-prefixed targets and numbered metadata. */
const isImmutable = (path: string): boolean => /^([0-9a-f]{64}\.|\d+\.)/.test(basename(path));

const baseHeaders = (path: string, facts: Stats, etag: string): Record<string, string> => ({
  'accept-ranges': 'bytes',
  'cache-control': isImmutable(path) ? 'public, max-age=31536000, immutable' : 'no-cache',
  'content-type': path.endsWith('.json') ? 'application/json' : 'application/octet-stream',
  etag,
  'last-modified': facts.mtime.toUTCString(),
  'x-content-type-options': 'nosniff',
});

const matchesEtag = (header: string | undefined, etag: string): boolean =>
  header !== undefined &&
  (header.trim() === '*' || header.split(',').some((tag) => tag.trim().replace(/^W\//, '') === etag));

const refuse = (response: ServerResponse, status: number, headers: Record<string, string> = {}): void => {
  response.writeHead(status, { 'content-length': '0', 'cache-control': 'no-store', ...headers }).end();
};

/** Answers one request and gives the number of body bytes sent. */
const answer = async (root: string, request: IncomingMessage, response: ServerResponse): Promise<number> => {
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    refuse(response, 405, { allow: 'GET, HEAD', connection: 'close' });
    return 0;
  }
  const path = parsePath(request.url ?? '');
  const file = path === null ? null : await openBelow(root, path);
  if (path === null || file === null) {
    refuse(response, 404);
    return 0;
  }
  const { handle, facts } = file;
  try {
    // A publication replaces files by rename, so inode and time together name the content.
    const etag = `"${facts.ino.toString(16)}-${facts.mtimeMs.toString(16)}-${facts.size.toString(16)}"`;
    const headers = baseHeaders(path, facts, etag);
    if (matchesEtag(request.headers['if-none-match'], etag)) {
      response.writeHead(304, headers).end();
      return 0;
    }
    const ifRange = request.headers['if-range'];
    const range = ifRange === undefined || ifRange === etag ? parseRange(request.headers.range, facts.size) : null;
    if (range === 'unsatisfiable') {
      refuse(response, 416, { 'content-range': `bytes */${facts.size}` });
      return 0;
    }
    const { start, end } = range ?? { start: 0, end: facts.size };
    response.writeHead(range === null ? 200 : 206, {
      ...headers,
      'content-length': String(end - start),
      ...(range === null ? {} : { 'content-range': `bytes ${start}-${end - 1}/${facts.size}` }),
    });
    if (request.method === 'HEAD' || end === start) {
      response.end();
      return 0;
    }
    const body = handle.createReadStream({ start, end: end - 1, autoClose: false });
    try {
      await pipeline(body, response);
    } catch (error) {
      // The client went away: nothing to answer to. Anything else broke the file under us.
      if (errorCodeOf(error) !== 'ERR_STREAM_PREMATURE_CLOSE' && errorCodeOf(error) !== 'ECONNRESET') throw error;
    }
    return body.bytesRead;
  } finally {
    await handle.close();
  }
};

const listenError = (cause: Error, host: string, port: number): OtadError => {
  switch (errorCodeOf(cause)) {
    case 'EADDRINUSE':
      return new OtadError('PORT_IN_USE', { host, port, hint: 'choose another one: --port N, or --port 0' }, { cause });
    case 'EACCES':
      return new OtadError(
        'BAD_REQUEST',
        { problem: `port ${port} is for root only: --port 1024 or higher` },
        { cause },
      );
    default:
      return new OtadError(
        'BAD_REQUEST',
        { problem: `cannot listen on ${host}: give --host an address of here` },
        { cause },
      );
  }
};

/** Starts serving `folder` and resolves when the port is open. */
export const createStaticServer = async (folder: string, options: StaticServerOptions = {}): Promise<StaticServer> => {
  const host = options.host ?? '127.0.0.1';
  const root = await realpath(folder).catch((cause: unknown) => {
    throw new OtadError('REPOSITORY_INVALID', { folder, problem: 'cannot be read' }, { cause });
  });
  const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    let bytes = 0;
    try {
      bytes = await answer(root, request, response);
    } catch {
      if (response.headersSent) response.destroy();
      else refuse(response, 500);
    }
    options.onRequest?.({
      method: request.method ?? '',
      path: request.url ?? '',
      status: response.statusCode,
      bytes,
      range: request.headers.range ?? null,
    });
  };
  const pending = new Set<Promise<void>>();
  const server = createServer(
    { headersTimeout: headersTimeoutMs, requestTimeout: requestTimeoutMs },
    (request, response) => {
      const done = serve(request, response).finally(() => pending.delete(done));
      pending.add(done);
    },
  );
  server.maxConnections = connectionsMax;
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) => reject(listenError(cause, host, options.port ?? 0)));
    server.listen(options.port ?? 0, host, resolve);
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new OtadError('INTERNAL', { host });
  return {
    host,
    port: address.port,
    url: `http://${host.includes(':') ? `[${host}]` : host}:${address.port}/`,
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
      await Promise.all(pending);
    },
  };
};
