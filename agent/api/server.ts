// The REST API over two unix sockets (status: everyone, read-only; control: the admin group) and an optional read-only
// loopback port. It turns requests into port calls and errors into bodies; it decides nothing about updates. No request
// that a web page can cause is answered: any Origin header is refused, and TCP answers to known Host names only.

import type { IncomingMessage } from 'node:http';
import fastify, { type FastifyError, type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { errorCodes, OtadError } from '../core/errors.ts';
import type { RuntimeLog } from '../core/ports.ts';
import { answerExpectation, answerMalformed, errorBody, sendError, toOtadError } from './answer.ts';
import type { ApiContext } from './context.ts';
import { EventStream } from './event-stream.ts';
import { openFolderDoor, type ParkFolder } from './folder-door.ts';
import { metricsText } from './metrics.ts';
import { openApiDocument } from './openapi.ts';
import { pageHtml, pagePolicy } from './page.ts';
import { commandRoutes, readRoutes } from './route.ts';
import type { AcceptedBody } from './schema.ts';
import { statusBody } from './status.ts';
import { bindUnixSocket } from './unix-socket.ts';

export interface ApiOptions extends ApiContext {
  readonly log: RuntimeLog;
  readonly statusSocket: string;
  readonly controlSocket: string;
  /** Group of the control socket; null when there is no such group: only otad's own user and root may then use it. */
  readonly controlGid: number | null;
  /** Read-only TCP on loopback; port 0 takes a free one. */
  readonly http: { readonly host: '127.0.0.1' | '::1'; readonly port: number } | null;
  /** Takes a connection on which a technician's folder is offered. Absent: none can be offered. */
  readonly parkFolder?: ParkFolder;
  /** Host names beside localhost that the TCP port answers to, without port. */
  readonly hostNames: readonly string[];
}

export interface Api {
  readonly addresses: { readonly status: string; readonly control: string; readonly http: string | null };
  close(): Promise<void>;
}

type Door = 'status' | 'control' | 'http';

const bodyBytesMax = 4096;
const headerBytesMax = 8192;
const connectionsMax = 32;
const requestTimeoutMs = 10_000;
const keepAliveMs = 5_000;
const pageHistory = 10;

/** The name in a Host header, without port and brackets. */
const hostName = (host: string): string =>
  host
    .replace(/:\d*$/, '')
    .replace(/^\[(.*)\]$/, '$1')
    .toLowerCase();

const refuseForeign = (request: IncomingMessage, door: Door, hostNames: readonly string[]): void => {
  if (request.headers.origin !== undefined)
    throw new OtadError('FORBIDDEN', { problem: 'the request has an Origin header' });
  if (door !== 'http') return;
  const name = hostName(request.headers.host ?? '');
  if (!['localhost', '127.0.0.1', '::1', ...hostNames].includes(name)) {
    throw new OtadError('FORBIDDEN', { problem: 'unknown Host', host: name.slice(0, 100) });
  }
};

const noSchemas = () => {
  throw new OtadError('INTERNAL', { reason: 'a route has a JSON schema' });
};

const createApp = (door: Door, options: ApiOptions): FastifyInstance => {
  const app = fastify({
    logger: false,
    // Routes carry no JSON schemas (zod checks in the routes); saying so keeps ajv from being loaded for nothing.
    schemaController: { compilersFactory: { buildValidator: noSchemas, buildSerializer: noSchemas } },
    bodyLimit: bodyBytesMax,
    requestTimeout: requestTimeoutMs,
    keepAliveTimeout: keepAliveMs,
    // A missing Host is ours to refuse, in our words; over a unix socket nobody needs one.
    http: { maxHeaderSize: headerBytesMax, requireHostHeader: false },
    forceCloseConnections: true,
    exposeHeadRoutes: false,
    clientErrorHandler: answerMalformed,
    frameworkErrors: (error, _request, reply) => sendError(reply as FastifyReply, toOtadError(error)),
  });
  app.server.maxConnections = connectionsMax;
  // Without this Node answers 417 without a body, the one error that would not have our shape.
  app.server.on('checkExpectation', answerExpectation);
  app.removeAllContentTypeParsers();
  const parseJson = app.getDefaultJsonParser('error', 'error');
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (request, body, done) => {
    // An empty body with the type set is what many clients send for 'nothing to say'.
    if (body === '') done(null, undefined);
    else parseJson(request, body as string, done);
  });
  app.addHook('onRequest', async (request, reply) => {
    reply.headers({ 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' });
    refuseForeign(request.raw, door, options.hostNames);
  });
  app.setNotFoundHandler((request) => {
    throw new OtadError('NOT_FOUND', { method: request.method, path: request.url.slice(0, 200) });
  });
  app.setErrorHandler((error: FastifyError | Error, request: FastifyRequest, reply) => {
    const known = toOtadError(error);
    if (known.code === 'INTERNAL') {
      options.log.warn('request failed', {
        method: request.method,
        path: request.url,
        error: error.stack ?? error.message,
      });
    }
    return sendError(reply, known);
  });
  return app;
};

const mountReads = (app: FastifyInstance, options: ApiOptions, events: EventStream): void => {
  const status = () => statusBody(options.control.snapshot(), options.clock.now(), options);
  for (const route of readRoutes) app.get(route.path, (request) => route.read(request.query, options));
  app.get('/v1/metrics', async (_, reply) => {
    const { user, system } = process.cpuUsage();
    reply.type('text/plain; version=0.0.4; charset=utf-8');
    return metricsText(status(), {
      residentBytes: process.memoryUsage.rss(),
      cpuSeconds: (user + system) / 1e6,
    });
  });
  app.get('/v1/openapi.json', async () => openApiDocument(options.identity.agentVersion));
  app.get('/v1/events', async (_, reply) => {
    events.add(reply.raw);
    reply.hijack();
  });
  app.get('/', async (_, reply) => {
    const history = [...(await options.store.readHistory(pageHistory))];
    reply.headers({ 'content-security-policy': pagePolicy(), 'referrer-policy': 'no-referrer' });
    reply.type('text/html; charset=utf-8');
    return pageHtml(status(), { history });
  });
};

const mountCommands = (app: FastifyInstance, door: Door, options: ApiOptions): void => {
  for (const route of commandRoutes) {
    app.post(route.path, async (request, reply) => {
      if (door !== 'control') throw new OtadError('FORBIDDEN', { path: route.path, useInstead: options.controlSocket });
      const answer = await options.control.submit(route.toCommand(request.body));
      if (!answer.isAccepted) {
        return reply.code(errorCodes[answer.code].httpStatus).send(errorBody(answer.code, answer.message));
      }
      return reply.code(202).send({ message: answer.message } satisfies AcceptedBody);
    });
  }
};

interface Listener {
  readonly address: string;
  close(): Promise<void>;
}

const openDoor = async (
  door: Door,
  options: ApiOptions,
  bind: (app: FastifyInstance) => Promise<{ address: string; remove(): Promise<void> }>,
): Promise<Listener> => {
  const app = createApp(door, options);
  const events = new EventStream(options);
  mountReads(app, options, events);
  mountCommands(app, door, options);
  const isForFolders = door === 'control' && options.parkFolder !== undefined;
  const folders = isForFolders ? openFolderDoor(app.server, options.parkFolder) : null;
  const { address, remove } = await bind(app);
  return {
    address,
    close: async () => {
      await remove();
      events.close();
      folders?.close();
      await app.close();
    },
  };
};

const openUnix = (door: 'status' | 'control', options: ApiOptions): Promise<Listener> =>
  openDoor(door, options, async (app) => {
    const place =
      door === 'status'
        ? { path: options.statusSocket, mode: 0o666, gid: null }
        : { path: options.controlSocket, mode: 0o660, gid: options.controlGid };
    const { remove } = await bindUnixSocket(place, app.server, async (path) => {
      await app.listen({ path });
    });
    return { address: place.path, remove };
  });

const openHttp = (options: ApiOptions & { http: NonNullable<ApiOptions['http']> }): Promise<Listener> =>
  openDoor('http', options, async (app) => ({
    address: await app.listen({ host: options.http.host, port: options.http.port }),
    remove: async () => {},
  }));

/**
 * Opens the sockets and serves until `close`. Throws SOCKET_IN_USE when another otad answers there, SOCKET_UNUSABLE when
 * one cannot be made; nothing stays open then.
 */
export const createApi = async (options: ApiOptions): Promise<Api> => {
  const open: Listener[] = [];
  const close = async () => {
    for (const listener of open) await listener.close();
  };
  try {
    const status = await openUnix('status', options);
    open.push(status);
    const control = await openUnix('control', options);
    open.push(control);
    const http = options.http === null ? null : await openHttp({ ...options, http: options.http });
    if (http !== null) open.push(http);
    return { addresses: { status: status.address, control: control.address, http: http?.address ?? null }, close };
  } catch (error) {
    await close();
    throw error;
  }
};
