// One GET from the first connection to the answer's head, through redirects, with deadlines; and the one place where what
// undici throws becomes a code of ours. Bodies are read elsewhere.

import type { Dispatcher } from 'undici';
import { OtadError } from '../core/errors.ts';
import type { Connections } from './http-dispatcher.ts';
import { checkPlainContent, followRedirect, headerOf, needsGuard, shownUrl, statusError } from './http-rules.ts';
import type { Traffic } from './http-traffic.ts';
import { type LongTimer, setLongTimer } from './long-timer.ts';
import { certificateForAnother } from './tls-rules.ts';

/** A signal with a reason of ours: the caller's, or a deadline's. */
export interface Watch {
  readonly signal: AbortSignal;
  /** Starts the deadline of the next phase and ends that of the phase before. */
  enter(phase: string, timeoutMs: number): void;
  close(): void;
}

/** How often the wire is looked at: a server that pours what is no file gets this much time at the link's full speed. */
const trafficLookMs = 100;

/**
 * Ends with CANCELLED when the caller's signal fires, with HTTP_TIMEOUT after `totalMs` or a phase's time, and with
 * FILE_TOO_LARGE when the wire brings too much that is no file.
 */
export const createWatch = (caller: AbortSignal, totalMs: number, traffic: Traffic): Watch => {
  const controller = new AbortController();
  const cancel = (): void => controller.abort(new OtadError('CANCELLED', {}, { cause: caller.reason }));
  const expire = (phase: string, timeoutMs: number) =>
    setLongTimer(timeoutMs, () => controller.abort(new OtadError('HTTP_TIMEOUT', { phase, timeoutMs })));
  const total = expire('total', totalMs);
  const mark = traffic.mark();
  const look = setInterval(() => {
    if (mark.isWasted())
      controller.abort(new OtadError('FILE_TOO_LARGE', { reason: 'far more was sent than the file' }));
  }, trafficLookMs);
  let phaseTimer: LongTimer | undefined;
  if (caller.aborted) {
    cancel();
  } else {
    caller.addEventListener('abort', cancel, { once: true });
  }
  return {
    signal: controller.signal,
    enter: (phase, timeoutMs) => {
      phaseTimer?.cancel();
      phaseTimer = timeoutMs === 0 ? undefined : expire(phase, timeoutMs);
    },
    close: () => {
      total.cancel();
      phaseTimer?.cancel();
      clearInterval(look);
      caller.removeEventListener('abort', cancel);
    },
  };
};

const errnoOf = (error: unknown): string => {
  const { code, cause } = (error ?? {}) as { code?: unknown; cause?: { code?: unknown } };
  return typeof code === 'string' ? code : typeof cause?.code === 'string' ? cause.code : 'unknown';
};

/** What a TLS error of these names means here; null for the others. */
const tlsProblem = (errno: string, phase: 'head' | 'body'): string | null => {
  if (/CERTIFICATE_REQUIRED/.test(errno)) return 'the server wants a client certificate (http.clientCertFile)';
  // The alerts of a server that looked at a certificate of ours; TLS 1.2 has no word for a missing one.
  const isRefusal = /ALERT_(BAD_CERTIFICATE|UNSUPPORTED_CERT|CERTIFICATE|UNKNOWN_CA|ACCESS_DENIED|HANDSHAKE_FAIL)/;
  if (isRefusal.test(errno)) return 'the server refuses the client certificate, or the lack of one';
  // The alert is often lost behind the end of the connection.
  const isHungUp = phase === 'head' && (errno === 'UND_ERR_SOCKET' || errno === 'ECONNRESET');
  return isHungUp ? 'the server hung up without an answer, as one that wants another client certificate does' : null;
};

/** What undici or a socket threw, as a code: before the head nothing was said, after it the body broke off. */
export const toHttpError = (cause: unknown, phase: 'head' | 'body', url: URL, watch: Watch): OtadError => {
  if (watch.signal.reason instanceof OtadError) {
    return watch.signal.reason;
  }
  if (cause instanceof OtadError) {
    return cause;
  }
  const errno = errnoOf(cause);
  const details = { url: shownUrl(url), errno, problem: url.protocol === 'https:' ? tlsProblem(errno, phase) : null };
  if (errno === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    return new OtadError('CAPTIVE_PORTAL', { url: details.url, problem: certificateForAnother }, { cause });
  }
  if (/TIMEOUT|ETIMEDOUT/.test(details.errno)) {
    return new OtadError('HTTP_TIMEOUT', { phase, ...details }, { cause });
  }
  return new OtadError(phase === 'body' ? 'HTTP_TRUNCATED' : 'HTTP_UNREACHABLE', details, { cause });
};

const discard = (response: Dispatcher.ResponseData): void => {
  response.body.on('error', () => undefined);
  if (response.statusCode === 304) {
    // No body follows: the connection stays for the next poll.
    response.body.resume();
  } else {
    response.body.destroy();
  }
};

export interface Answer {
  readonly url: URL;
  readonly status: 200 | 206 | 304;
  readonly headers: Dispatcher.ResponseData['headers'];
  readonly body: Dispatcher.ResponseData['body'];
  /** For an answer whose body is not wanted. */
  discard(): void;
}

export interface Request {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly headersTimeoutMs: number;
}

const isContent = (status: number): status is 200 | 206 | 304 => status === 200 || status === 206 || status === 304;

const baseUrl = (text: string): URL => {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    throw new OtadError('CONFIG_INVALID', { key: 'url', expected: 'an http or https URL' });
  }
  return url;
};

/** The head of an answer that may be read: 200, 206 or 304, not encoded, not a page. Throws OtadError for all others. */
export const openExchange = async (connections: Connections, request: Request, watch: Watch): Promise<Answer> => {
  const origin = baseUrl(request.url);
  let url = origin;
  for (let hops = 0; ; hops += 1) {
    watch.enter('headers', request.headersTimeoutMs);
    let response: Dispatcher.ResponseData;
    try {
      response = await connections.dispatcherFor(url, needsGuard(origin, url)).request({
        origin: url.origin,
        path: url.pathname + url.search,
        method: 'GET',
        headers: { ...request.headers, 'accept-encoding': 'identity' },
        signal: watch.signal,
      });
    } catch (cause) {
      throw toHttpError(cause, 'head', url, watch);
    }
    watch.enter('body', 0);
    const { statusCode, headers } = response;
    try {
      const location = headerOf(headers, 'location');
      if ([301, 302, 303, 307, 308].includes(statusCode) && location !== null) {
        url = followRedirect(origin, url, location, hops);
        discard(response);
        continue;
      }
      if (!isContent(statusCode)) {
        throw statusError(statusCode, headers, url, Date.now());
      }
      checkPlainContent(headers, url);
      return { url, status: statusCode, headers, body: response.body, discard: () => discard(response) };
    } catch (error) {
      discard(response);
      throw error;
    }
  }
};
