// Talks to otad over its unix sockets with plain node:http: nothing to load, so otactl starts fast. Every answer is
// bounded in size and time; every failure is an OtadError that says what to do.

import { statSync } from 'node:fs';
import { type ClientRequest, type IncomingMessage, request } from 'node:http';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import type { ErrorBody, StatusBody } from '../api/schema.ts';
import { type ErrorCode, errorCodes, OtadError } from '../core/errors.ts';

const answerBytesMax = 4 * 1024 * 1024;

export type Door = 'status' | 'control';

export interface Sockets extends Readonly<Record<Door, string>> {
  /** Who named the place, such as `--socket`; null: it is where this system's otad listens. */
  readonly namedBy: string | null;
}

/** `path` is a directory that holds both sockets, or one socket that is used for everything. */
export const socketsAt = (path: string, namedBy: string | null = null): Sockets => {
  const isOneSocket = statSync(path, { throwIfNoEntry: false })?.isSocket() === true;
  return isOneSocket
    ? { status: path, control: path, namedBy }
    : { status: join(path, 'status.sock'), control: join(path, 'control.sock'), namedBy };
};

/** An error as the server words it; its message already holds the details. */
export class AnswerError extends OtadError {
  constructor(code: ErrorCode, message: string) {
    super(code);
    this.message = message;
  }
}

const nobodyAnswers = (path: string, namedBy: string | null): string =>
  namedBy === null
    ? `otad is not running: nobody answers at ${path}. Start it with: sudo systemctl start otad. If it does not stay up: journalctl -u otad -n 50`
    : `Nobody answers at ${path}. ${namedBy} names that place: check that it is where otad has its sockets. While otad starts and while its gateway reboots, nobody answers; try again then.`;

const connectionError = (error: NodeJS.ErrnoException, path: string, namedBy: string | null): OtadError => {
  switch (error.code) {
    case 'EACCES':
    case 'EPERM':
      return new AnswerError(
        'FORBIDDEN',
        `You may not use ${path}. Run with sudo, or join the group otad-admin: sudo usermod -aG otad-admin $USER, then log in again.`,
      );
    case 'ENOENT':
    case 'ECONNREFUSED':
      return new AnswerError('AGENT_UNREACHABLE', nobodyAnswers(path, namedBy));
    default:
      return new OtadError(
        'AGENT_UNREACHABLE',
        { socket: path, problem: error.code ?? error.message },
        { cause: error },
      );
  }
};

const tooSlow = (path: string, timeoutMs: number): OtadError =>
  new AnswerError(
    'AGENT_UNREACHABLE',
    `otad did not answer at ${path} within ${timeoutMs / 1000} s. See: systemctl status otad`,
  );

const isErrorBody = (body: unknown): body is ErrorBody => {
  const error = (body as Partial<ErrorBody> | null)?.error;
  return typeof error === 'object' && typeof error.message === 'string' && Object.hasOwn(errorCodes, error.code);
};

const parseAnswer = (status: number, text: string): object => {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch (cause) {
    throw new OtadError('AGENT_UNREACHABLE', { problem: 'the answer is not JSON', httpStatus: status }, { cause });
  }
  if (status >= 200 && status < 300 && typeof body === 'object' && body !== null) return body;
  if (isErrorBody(body)) throw new AnswerError(body.error.code, body.error.message);
  throw new OtadError('AGENT_UNREACHABLE', { problem: 'unexpected answer', httpStatus: status });
};

interface Call {
  readonly socket: string;
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly body: object | null;
  readonly signal: AbortSignal;
}

const open = ({ socket, method, path, body, signal }: Call): ClientRequest => {
  const text = body === null ? null : JSON.stringify(body);
  const headers =
    text === null ? {} : { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(text)) };
  const call = request({ socketPath: socket, method, path, headers, signal, agent: false });
  call.end(text ?? undefined);
  return call;
};

const responseOf = (call: ClientRequest): Promise<IncomingMessage> =>
  new Promise((resolve, reject) => {
    call.once('response', resolve);
    call.once('error', reject);
  });

const readText = async (response: IncomingMessage): Promise<string> => {
  const pieces: Buffer[] = [];
  let size = 0;
  for await (const piece of response as AsyncIterable<Buffer>) {
    size += piece.length;
    if (size > answerBytesMax) throw new OtadError('AGENT_UNREACHABLE', { problem: 'the answer is too long' });
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString('utf8');
};

/** The connection once the other end has agreed; throws its refusal. The signal counts until then. */
const upgraded = (call: ClientRequest, signal: AbortSignal): Promise<Socket> =>
  new Promise((resolve, reject) => {
    const abort = (): void => void call.destroy(new Error('no answer in time'));
    signal.addEventListener('abort', abort, { once: true });
    call.once('error', reject);
    call.once('upgrade', (_response, socket) => {
      signal.removeEventListener('abort', abort);
      resolve(socket);
    });
    call.once('response', (response) => {
      readText(response)
        .then((text) => parseAnswer(response.statusCode ?? 0, text))
        .then(() => reject(new OtadError('AGENT_UNREACHABLE', { problem: 'no upgrade' })), reject);
    });
  });

export interface ApiClient {
  get<T extends object>(path: string): Promise<T>;
  post<T extends object>(path: string, body?: object): Promise<T>;
  /** The status at once and after every change. Ends when otad closes the connection; throws when `signal` fires. */
  events(door: Door, signal: AbortSignal): AsyncGenerator<StatusBody>;
  /** A connection of the control socket on which another protocol goes on. */
  upgrade(path: string, protocol: string): Promise<Socket>;
}

/** Server-sent events of kind `status`, as they come. */
async function* readEvents(response: IncomingMessage): AsyncGenerator<StatusBody> {
  let rest = '';
  response.setEncoding('utf8');
  for await (const piece of response as AsyncIterable<string>) {
    rest += piece;
    if (rest.length > answerBytesMax) throw new OtadError('AGENT_UNREACHABLE', { problem: 'an event is too long' });
    const blocks = rest.split('\n\n');
    rest = blocks.pop() ?? '';
    for (const block of blocks) {
      const data = block.split('\n').find((line) => line.startsWith('data: '));
      if (data !== undefined) yield parseAnswer(200, data.slice('data: '.length)) as StatusBody;
    }
  }
}

export const createClient = (sockets: Sockets, timeoutMs: number): ApiClient => {
  const exchange = async <T extends object>(call: Omit<Call, 'signal'>): Promise<T> => {
    const signal = AbortSignal.timeout(timeoutMs);
    try {
      const response = await responseOf(open({ ...call, signal }));
      return parseAnswer(response.statusCode ?? 0, await readText(response)) as T;
    } catch (error) {
      if (error instanceof OtadError) throw error;
      if (signal.aborted) throw tooSlow(call.socket, timeoutMs);
      throw connectionError(error as NodeJS.ErrnoException, call.socket, sockets.namedBy);
    }
  };
  return {
    get: (path) => exchange({ socket: sockets.status, method: 'GET', path, body: null }),
    post: (path, body = {}) => exchange({ socket: sockets.control, method: 'POST', path, body }),
    upgrade: async (path, protocol) => {
      const signal = AbortSignal.timeout(timeoutMs);
      try {
        const headers = { connection: 'Upgrade', upgrade: protocol };
        const call = request({ socketPath: sockets.control, path, headers, agent: false });
        call.end();
        return await upgraded(call, signal);
      } catch (error) {
        if (error instanceof OtadError) throw error;
        if (signal.aborted) throw tooSlow(sockets.control, timeoutMs);
        throw connectionError(error as NodeJS.ErrnoException, sockets.control, sockets.namedBy);
      }
    },
    async *events(door, signal) {
      try {
        const call = open({ socket: sockets[door], method: 'GET', path: '/v1/events', body: null, signal });
        const response = await responseOf(call);
        if (response.statusCode !== 200) parseAnswer(response.statusCode ?? 0, await readText(response));
        yield* readEvents(response);
      } catch (error) {
        if (signal.aborted || error instanceof OtadError) throw error;
        // The connection broke in the middle: the same as its end, since otad may go away at any time.
        if ((error as NodeJS.ErrnoException).code === 'ECONNRESET') return;
        throw connectionError(error as NodeJS.ErrnoException, sockets[door], sockets.namedBy);
      }
    },
  };
};
