// Asks the daemon over its unix sockets, as any program on the gateway would. Knows no state of its own: what a test or
// the demonstration says about the device comes from these answers.

import { type IncomingMessage, request } from 'node:http';
import { createInterface } from 'node:readline';
import type { DenylistBody, ErrorBody, HistoryBody, SlotsBody, StatusBody, WhyBody } from '../../agent/api/schema.ts';

const answerBytesMax = 4 * 1024 * 1024;
const requestTimeoutMs = 5000;
/** The most that the daemon gives at once. */
const historyLimit = 1000;

/** The daemon answered, and asking again would not change it. Any other error: there was no whole answer. */
export class RefusedError extends Error {}

export interface ApiClient {
  readonly status: () => Promise<StatusBody>;
  readonly slots: () => Promise<SlotsBody['slots']>;
  /** Newest first. */
  readonly history: () => Promise<HistoryBody['history']>;
  readonly why: () => Promise<WhyBody>;
  readonly denylist: () => Promise<DenylistBody['denylist']>;
  /** Sends a command to the control socket; gives the HTTP status and the body. */
  readonly command: (name: string, body?: object) => Promise<{ readonly httpStatus: number; readonly body: unknown }>;
  /** Calls back for each status that the daemon sends, until the stream or the signal ends. */
  readonly watch: (onStatus: (status: StatusBody) => void, signal: AbortSignal) => Promise<void>;
}

interface Ask {
  readonly socketPath: string;
  readonly path: string;
  readonly method: 'GET' | 'POST';
  readonly body?: object;
}

const open = ({ socketPath, path, method, body }: Ask, signal?: AbortSignal): Promise<IncomingMessage> =>
  new Promise((done, fail) => {
    const text = body === undefined ? undefined : JSON.stringify(body);
    const headers = text === undefined ? {} : { 'content-type': 'application/json', 'content-length': text.length };
    const options = { socketPath, path, method, headers, ...(signal === undefined ? {} : { signal }) };
    request(options, done).on('error', fail).end(text);
  });

const readAll = async (answer: IncomingMessage): Promise<string> => {
  let text = '';
  answer.setEncoding('utf8');
  for await (const piece of answer) {
    text += piece;
    if (text.length > answerBytesMax) throw new RefusedError('the daemon answered more than the client takes');
  }
  return text;
};

const ask = async (what: Ask): Promise<{ readonly httpStatus: number; readonly body: unknown }> => {
  const answer = await open(what, AbortSignal.timeout(requestTimeoutMs));
  const text = await readAll(answer);
  return { httpStatus: answer.statusCode ?? 0, body: text === '' ? null : JSON.parse(text) };
};

/** `runDir` is where the daemon's two sockets are. */
export const createApiClient = (runDir: string): ApiClient => {
  const get = async <T>(path: string): Promise<T> => {
    const { httpStatus, body } = await ask({ socketPath: `${runDir}/status.sock`, path, method: 'GET' });
    if (httpStatus !== 200)
      throw new RefusedError(`${path}: ${httpStatus} ${(body as ErrorBody | null)?.error.message ?? ''}`);
    return body as T;
  };
  return {
    status: () => get<StatusBody>('/v1/status'),
    slots: async () => (await get<SlotsBody>('/v1/slots')).slots,
    history: async () => (await get<HistoryBody>(`/v1/history?limit=${historyLimit}`)).history,
    why: () => get<WhyBody>('/v1/why'),
    denylist: async () => (await get<DenylistBody>('/v1/denylist')).denylist,
    command: (name, body = {}) =>
      ask({ socketPath: `${runDir}/control.sock`, path: `/v1/${name}`, method: 'POST', body }),
    watch: async (onStatus, signal) => {
      const answer = await open({ socketPath: `${runDir}/status.sock`, path: '/v1/events', method: 'GET' }, signal);
      for await (const line of createInterface({ input: answer })) {
        if (line.startsWith('data:')) onStatus(JSON.parse(line.slice('data:'.length)) as StatusBody);
      }
    },
  };
};
