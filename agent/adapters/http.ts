// The HTTP client of the agent: whole small files, and long ones from an offset. It trusts nothing that a server says beyond
// what the caller asked for: lengths, ranges, encodings and redirects are checked, everything is bounded in bytes and time.

import { OtadError } from '../core/errors.ts';
import type { ByteSink } from '../core/ports.ts';
import { deliverBody, type Pace } from './body-delivery.ts';
import { type ConnectionSettings, type Connections, openConnections } from './http-dispatcher.ts';
import { type Answer, createWatch, openExchange, toHttpError, type Watch } from './http-exchange.ts';
import {
  checkRange,
  contentLength,
  type FileRange,
  headerOf,
  isSurelyPage,
  looksLikePage,
  shownUrl,
} from './http-rules.ts';
import { createTraffic, type Traffic } from './http-traffic.ts';
import { createRateLimit } from './rate-limit.ts';

export interface HttpSettings extends ConnectionSettings {
  readonly userAgent: string;
  readonly headersTimeoutMs: number;
  readonly idleTimeoutMs: number;
  /** For a whole small file, redirects included. */
  readonly fetchDeadlineMs: number;
  /** For one stream, pauses of the own rate limit included; what it brought before stays. */
  readonly streamDeadlineMs: number;
  readonly minRateBytesPerS: number;
  readonly rateWindowMs: number;
  /** Over all connections of this client; null: as fast as it goes. */
  readonly bytesPerSMax: number | null;
}

export const defaultHttpSettings: HttpSettings = {
  userAgent: 'otad',
  connectTimeoutMs: 15_000,
  headersTimeoutMs: 30_000,
  idleTimeoutMs: 30_000,
  fetchDeadlineMs: 120_000,
  streamDeadlineMs: 24 * 3600 * 1000,
  minRateBytesPerS: 512,
  rateWindowMs: 60_000,
  proxy: { http: null, https: null, except: '' },
  caFile: null,
  clientCertificate: null,
  bytesPerSMax: null,
};

export interface FetchOptions {
  readonly maxBytes: number;
  readonly signal: AbortSignal;
  /** Asks for the file only if it is not this one any more. */
  readonly etag?: string | null;
  /** JSON that begins like markup is a login page. */
  readonly expects?: 'json' | 'bytes';
}

export interface FetchedFile {
  readonly bytes: Uint8Array;
  readonly etag: string | null;
}

export interface StreamOptions {
  /** Bytes before it are not asked for. */
  readonly offset: number;
  /** Bytes from it on are not asked for either. Default: the whole file's length. */
  readonly end?: number;
  /** The whole file's length, as it is signed. */
  readonly lengthTotal: number;
  readonly sink: ByteSink;
  readonly signal: AbortSignal;
}

export interface HttpClient {
  /** The whole file, at most `maxBytes`; 'unchanged' for a 304 to the given ETag. Throws OtadError (HTTP_*, FILE_TOO_LARGE). */
  fetchBytes(url: string, options: FetchOptions): Promise<FetchedFile | 'unchanged'>;
  /** Exactly the bytes from `offset` to `end`, to the sink in order. Throws OtadError, or what the sink throws. */
  streamRange(url: string, options: StreamOptions): Promise<void>;
  close(): Promise<void>;
}

const fetchBytes = async (
  answer: Answer,
  { maxBytes, etag = null, expects = 'bytes' }: FetchOptions,
  pace: Pace,
  traffic: Traffic,
): Promise<FetchedFile | 'unchanged'> => {
  const url = shownUrl(answer.url);
  const tooLarge = () => new OtadError('FILE_TOO_LARGE', { url, maximum: maxBytes });
  if (answer.status === 304 && etag !== null) {
    answer.discard();
    return 'unchanged';
  }
  if (answer.status !== 200 || (contentLength(answer.headers) ?? 0) > maxBytes) {
    answer.discard();
    throw answer.status === 200 ? tooLarge() : new OtadError('HTTP_STATUS', { status: answer.status, url });
  }
  const chunks: Uint8Array[] = [];
  let length = 0;
  await deliverBody(
    answer.body,
    (chunk) => {
      length += chunk.length;
      if (length > maxBytes) {
        throw tooLarge();
      }
      chunks.push(Buffer.from(chunk));
    },
    pace,
    traffic.countBody,
  );
  const bytes = Buffer.concat(chunks);
  if (expects === 'json' && looksLikePage(bytes)) {
    throw new OtadError('CAPTIVE_PORTAL', { url });
  }
  return { bytes, etag: headerOf(answer.headers, 'etag')?.slice(0, 256) ?? null };
};

const streamRange = async (
  answer: Answer,
  { offset, end, lengthTotal, sink }: StreamOptions & FileRange,
  pace: Pace,
  traffic: Traffic,
): Promise<void> => {
  const url = shownUrl(answer.url);
  const wanted = end - offset;
  try {
    checkRange(answer.status, answer.headers, { offset, end, lengthTotal }, answer.url);
  } catch (error) {
    answer.discard();
    throw error;
  }
  const isOddLength = contentLength(answer.headers) !== wanted;
  let received = 0;
  await deliverBody(
    answer.body,
    (chunk) => {
      // Before a byte of it is used: a login page at the start of an image would spoil all that is fetched behind it.
      if (offset === 0 && received === 0 && isOddLength && isSurelyPage(chunk)) {
        throw new OtadError('CAPTIVE_PORTAL', { url });
      }
      received += chunk.length;
      if (received > wanted) {
        throw new OtadError('FILE_TOO_LARGE', { url, signed: lengthTotal });
      }
      return sink(chunk);
    },
    pace,
    traffic.countBody,
  );
  if (received < wanted) {
    throw new OtadError('HTTP_TRUNCATED', { url, received: offset + received, signed: lengthTotal });
  }
};

/** Errors of the connection become codes; an error that the sink threw passes as it is. */
const settleBody = async <T>(answer: Answer, watch: Watch, read: Promise<T>, sinkError: () => unknown): Promise<T> => {
  try {
    return await read;
  } catch (cause) {
    throw cause === sinkError() ? cause : toHttpError(cause, 'body', answer.url, watch);
  }
};

/** Remembers what a sink throws, to tell it from what the connection throws. */
const watchSink = (sink: ByteSink): { readonly sink: ByteSink; readonly error: () => unknown } => {
  let error: unknown;
  const keep = (cause: unknown): never => {
    error = cause;
    throw cause;
  };
  return {
    sink: (bytes) => {
      try {
        return sink(bytes)?.catch(keep);
      } catch (cause) {
        return keep(cause);
      }
    },
    error: () => error,
  };
};

/** A client that loads and connects with its first request. */
export const createHttpClient = (
  settings: HttpSettings = defaultHttpSettings,
  open: (settings: ConnectionSettings, traffic: Traffic) => Promise<Connections> = openConnections,
): HttpClient => {
  const traffic = createTraffic();
  const { bytesPerSMax } = settings;
  const pace = { ...settings, limit: bytesPerSMax === null ? null : createRateLimit(bytesPerSMax) };
  let opening: Promise<Connections> | null = null;
  /** Requests under way keep the certificate that they began with; the next one shows the renewed one. */
  const retireOutdated = async (): Promise<void> => {
    const known = opening;
    if (known === null || (await (await known).isCurrent()) || opening !== known) return;
    opening = null;
    void known.then((connections) => connections.retire());
  };
  const connect = async (): Promise<Connections> => {
    await retireOutdated();
    opening ??= open(settings, traffic).catch((error) => {
      opening = null;
      throw error;
    });
    return opening;
  };
  const exchange = async <T>(
    request: { readonly url: string; readonly headers: Readonly<Record<string, string>>; readonly deadlineMs: number },
    signal: AbortSignal,
    read: (answer: Answer) => Promise<T>,
    sinkError: () => unknown = () => undefined,
  ): Promise<T> => {
    const connections = await connect();
    const watch = createWatch(signal, request.deadlineMs, traffic);
    try {
      const headers = { 'user-agent': settings.userAgent, ...request.headers };
      const { url } = request;
      const answer = await openExchange(
        connections,
        { url, headers, headersTimeoutMs: settings.headersTimeoutMs },
        watch,
      );
      return await settleBody(answer, watch, read(answer), sinkError);
    } finally {
      watch.close();
    }
  };

  return {
    fetchBytes: (url, options) => {
      const headers: Record<string, string> = options.etag ? { 'if-none-match': options.etag } : {};
      const request = { url, headers, deadlineMs: settings.fetchDeadlineMs };
      return exchange(request, options.signal, (answer) => fetchBytes(answer, options, pace, traffic));
    },
    streamRange: async (url, options) => {
      const { offset, lengthTotal, end = lengthTotal } = options;
      if (offset >= end) {
        return;
      }
      const part = options.end === undefined ? '' : `${end - 1}`;
      const range = part !== '' || offset > 0 ? `bytes=${offset}-${part}` : null;
      const headers: Record<string, string> = range === null ? {} : { range };
      const request = { url, headers, deadlineMs: settings.streamDeadlineMs };
      const { sink, error } = watchSink(options.sink);
      await exchange(
        request,
        options.signal,
        (answer) => streamRange(answer, { ...options, end, sink }, pace, traffic),
        error,
      );
    },
    close: async () => {
      await (await opening?.catch(() => null))?.close();
      opening = null;
    },
  };
};
