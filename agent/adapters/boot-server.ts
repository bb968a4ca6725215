// The boot helper's side of its socket: takes one request a connection, bounded in number, size and time, and answers it.
// Looks run beside each other, changes one after another. Ends when nobody has asked for a while; systemd starts it again
// with the next connection, so nothing is lost by it.

import { createServer, type Server, type Socket } from 'node:net';
import { OtadError } from '../core/errors.ts';
import {
  type BootRequest,
  type BootValue,
  type BootVerb,
  encodeRefusal,
  encodeValue,
  parseRequest,
  requestBytesMax,
} from './boot-protocol.ts';

/** One function for each verb. A mapped type: a verb without its function does not compile. */
export type BootVerbs = {
  readonly [V in BootVerb]: (request: Extract<BootRequest, { verb: V }>, signal: AbortSignal) => Promise<BootValue[V]>;
};

export interface BootServerOptions {
  readonly verbs: BootVerbs;
  /** Time for a whole request to arrive. */
  readonly requestTimeoutMs?: number;
  /** Ends the server after so long without a connection; null: never. */
  readonly idleMs: number | null;
  /** `verb` null: it was no request. */
  readonly onRefusal?: (verb: BootVerb | null, error: unknown) => void;
}

export interface BootServer {
  readonly server: Server;
  /** Resolves when it has been idle, or was closed, and everything is answered. */
  readonly ended: Promise<void>;
  close(): void;
}

/** One for otad's current step, the others for people who look. */
export const connectionsMax = 4;
/** Beyond that a caller is not even told that it is too many. */
const callersMax = 256;
const requestTimeoutMsDefault = 10_000;
/** Time for the other side to take its answer. */
const lingerMs = 2000;

const isLook = (verb: BootVerb): boolean => verb === 'status' || verb === 'inspect' || verb === 'bootFile';

/** The line that ends the first request. Throws BAD_REQUEST; CANCELLED when the other side has gone. */
const readLine = (socket: Socket, timeoutMs: number): Promise<Uint8Array> =>
  new Promise((resolve, reject) => {
    const pieces: Buffer[] = [];
    let length = 0;
    const refuse = (reason: string): void =>
      settle(() => reject(new OtadError('BAD_REQUEST', { what: 'request', reason })));
    const timer = setTimeout(() => refuse(`not whole within ${timeoutMs} ms`), timeoutMs);
    const settle = (finish: () => void): void => {
      clearTimeout(timer);
      socket.removeListener('data', onData);
      socket.removeListener('end', onEnd);
      socket.removeListener('close', onEnd);
      finish();
    };
    const onEnd = (): void => refuse('it ends without a line end');
    const onData = (piece: Buffer): void => {
      length += piece.length;
      pieces.push(piece);
      const end = piece.indexOf(0x0a);
      if (length > requestBytesMax) refuse(`longer than ${requestBytesMax} bytes`);
      else if (end === piece.length - 1) settle(() => resolve(Buffer.concat(pieces)));
      else if (end >= 0) refuse('more than one line');
    };
    socket.on('data', onData);
    socket.once('end', onEnd);
    socket.once('close', onEnd);
  });

/** What is left unread would break the connection before the answer is taken, so it is read and dropped. */
const conclude = (socket: Socket, text: string): Promise<void> =>
  new Promise((resolve) => {
    if (socket.destroyed) return resolve();
    const timer = setTimeout(() => socket.destroy(), lingerMs);
    socket.once('close', () => {
      clearTimeout(timer);
      resolve();
    });
    socket.resume();
    socket.end(text);
  });

export const createBootServer = ({
  verbs,
  requestTimeoutMs = requestTimeoutMsDefault,
  idleMs,
  onRefusal = () => undefined,
}: BootServerOptions): BootServer => {
  let changes: Promise<unknown> = Promise.resolve();
  let open = 0;
  let idle: NodeJS.Timeout | null = null;

  const run = <V extends BootVerb>(request: Extract<BootRequest, { verb: V }>, signal: AbortSignal) =>
    (verbs[request.verb] as (request: BootRequest, signal: AbortSignal) => Promise<unknown>)(request, signal);

  const carryOut = (request: BootRequest, signal: AbortSignal): Promise<unknown> => {
    if (isLook(request.verb)) return run(request, signal);
    const turn = changes.then(() => {
      if (signal.aborted) throw new OtadError('CANCELLED');
      return run(request, signal);
    });
    changes = turn.catch(() => undefined);
    return turn;
  };

  const answer = async (socket: Socket): Promise<string> => {
    let verb: BootVerb | null = null;
    try {
      const request = parseRequest(await readLine(socket, requestTimeoutMs));
      verb = request.verb;
      // Whoever asked and went away wants nothing done any more.
      const gone = new AbortController();
      for (const event of ['end', 'close']) socket.once(event, () => gone.abort());
      return encodeValue((await carryOut(request, gone.signal)) ?? null);
    } catch (error) {
      onRefusal(verb, error);
      return encodeRefusal(error);
    }
  };

  const restIdle = (): void => {
    if (idle !== null) clearTimeout(idle);
    if (idleMs !== null && open === 0 && server.listening) idle = setTimeout(() => server.close(), idleMs);
  };

  const serve = async (socket: Socket): Promise<void> => {
    socket.on('error', () => undefined);
    if (idle !== null) clearTimeout(idle);
    if (open >= connectionsMax) {
      return conclude(socket, encodeRefusal(new OtadError('BUSY', { connectionsMax })));
    }
    open += 1;
    const text = await answer(socket);
    // Free before the answer goes out: whoever has it may ask again at once.
    open -= 1;
    await conclude(socket, text);
    restIdle();
  };

  const server = createServer({ allowHalfOpen: true }, (socket) => void serve(socket));
  server.maxConnections = callersMax;
  server.on('listening', restIdle);
  const ended = new Promise<void>((resolve) => server.once('close', resolve));
  return {
    server,
    ended,
    close: () => {
      if (idle !== null) clearTimeout(idle);
      server.close();
    },
  };
};
