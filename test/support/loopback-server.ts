// A real HTTP server on loopback whose answers a test writes by hand: it can truncate, stall, lie about ranges, compress and
// redirect. It also keeps what was asked, and serves a map of files honestly with ETag and ranges.

import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';
import type { KeyPair } from './certificates.ts';

export interface LoopbackServer {
  readonly url: string;
  readonly port: number;
  /** `METHOD path` of every request, in order. */
  readonly requests: IncomingMessage[];
  paths(): readonly string[];
  /** Breaks all connections and refuses new ones. */
  close(): Promise<void>;
}

const listen = async (t: TestContext, scheme: 'http' | 'https', server: Server, requests: IncomingMessage[]) => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const close = (): Promise<void> =>
    new Promise((resolve) => {
      server.closeAllConnections();
      server.close(() => resolve());
    });
  t.after(close);
  const paths = () => requests.map((request) => request.url ?? '');
  return { url: `${scheme}://127.0.0.1:${port}`, port, requests, paths, close };
};

const keeping =
  (requests: IncomingMessage[], answer: RequestListener): RequestListener =>
  (request, response) => {
    requests.push(request);
    answer(request, response);
  };

/** Ends with the test. */
export const aServer = async (t: TestContext, answer: RequestListener): Promise<LoopbackServer> => {
  const requests: IncomingMessage[] = [];
  return listen(t, 'http', createServer(keeping(requests, answer)), requests);
};

/** The same under a certificate. */
export const aTlsServer = async (t: TestContext, pair: KeyPair, answer: RequestListener): Promise<LoopbackServer> => {
  const requests: IncomingMessage[] = [];
  return listen(t, 'https', createTlsServer({ key: pair.key, cert: pair.cert }, keeping(requests, answer)), requests);
};

const etagOf = (bytes: Uint8Array): string => `"${createHash('sha256').update(bytes).digest('hex').slice(0, 16)}"`;

/** What any static server does. */
export const serveFiles =
  (files: ReadonlyMap<string, Uint8Array>): RequestListener =>
  (request: IncomingMessage, response: ServerResponse) => {
    const path = (request.url ?? '/').slice(1);
    // A name that holds a separator is a file of its encoded name.
    const bytes = files.get(decodeURIComponent(path)) ?? files.get(path);
    if (bytes === undefined) {
      response.writeHead(404, { 'content-type': 'text/html' }).end('<h1>Not found</h1>');
      return;
    }
    const etag = etagOf(bytes);
    if (request.headers['if-none-match'] === etag) {
      response.writeHead(304, { etag }).end();
      return;
    }
    const start = /^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1];
    if (start === undefined) {
      response.writeHead(200, { etag, 'content-length': bytes.length }).end(bytes);
      return;
    }
    const part = bytes.subarray(Number(start));
    const range = `bytes ${start}-${bytes.length - 1}/${bytes.length}`;
    response.writeHead(206, { etag, 'content-range': range, 'content-length': part.length }).end(part);
  };
