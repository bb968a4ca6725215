// Brings a response body to a sink, in order and with back-pressure, and judges how fast the server is meanwhile.
// undici may deliver chunks after pause(): they wait in a bounded queue. No sink call is under way once this has settled.

import type { Readable } from 'node:stream';
import { OtadError } from '../core/errors.ts';
import type { ByteSink } from '../core/ports.ts';
import type { RateLimit } from './rate-limit.ts';

/** What may arrive after pause(); undici stops at a socket buffer or two. */
const queuedBytesMax = 8 * 1024 * 1024;

export interface Pace {
  readonly minRateBytesPerS: number;
  /** The rate is judged over this much time of waiting for the server. */
  readonly rateWindowMs: number;
  /** Longest silence of the server. */
  readonly idleTimeoutMs: number;
  /** Shared by all bodies; null: none. The time that it holds a body back is not the server's. */
  readonly limit: RateLimit | null;
}

interface PaceKeeper {
  received(bytes: number): void;
  /** The sink holds the stream back: the server is not to blame for this time. */
  hold(): void;
  release(): void;
  stop(): void;
}

const keepPace = (pace: Pace, fail: (error: OtadError) => void): PaceKeeper => {
  let isHeld = false;
  let lastTickMs = performance.now();
  let silentMs = 0;
  let windowMs = 0;
  let windowBytes = 0;

  const account = (): void => {
    const nowMs = performance.now();
    if (!isHeld) {
      silentMs += nowMs - lastTickMs;
      windowMs += nowMs - lastTickMs;
    }
    lastTickMs = nowMs;
  };
  const judge = (): void => {
    account();
    if (silentMs >= pace.idleTimeoutMs) {
      fail(new OtadError('HTTP_TIMEOUT', { phase: 'body', silentMs: Math.round(silentMs) }));
    } else if (windowMs >= pace.rateWindowMs) {
      const rate = Math.floor(windowBytes / (windowMs / 1000));
      if (rate < pace.minRateBytesPerS) {
        fail(new OtadError('HTTP_TOO_SLOW', { bytesPerS: rate, minimum: pace.minRateBytesPerS }));
      }
      windowMs = 0;
      windowBytes = 0;
    }
  };
  const timer = setInterval(judge, Math.max(Math.min(pace.rateWindowMs, pace.idleTimeoutMs) / 4, 10));

  return {
    received: (bytes) => {
      account();
      silentMs = 0;
      windowBytes += bytes;
    },
    hold: () => {
      account();
      isHeld = true;
    },
    release: () => {
      account();
      isHeld = false;
    },
    stop: () => clearInterval(timer),
  };
};

/** The sink, and the pause behind each piece that the limit asks for. */
const limitSink = (sink: ByteSink, limit: RateLimit | null, signal: AbortSignal): ByteSink => {
  if (limit === null) return sink;
  return (bytes) => {
    const paying = limit.pay(bytes.length, signal);
    const taking = sink(bytes);
    return paying === null ? taking : Promise.all([taking, paying]).then(() => undefined);
  };
};

/** Resolves at the body's end with its length; rejects with the body's, the sink's or the pace's error. */
export const deliverBody = (
  body: Readable,
  target: ByteSink,
  pace: Pace,
  onArrival: (bytes: number) => void,
): Promise<number> =>
  new Promise((resolve, reject) => {
    const broken = new AbortController();
    const sink = limitSink(target, pace.limit, broken.signal);
    const queue: Uint8Array[] = [];
    let queuedBytes = 0;
    let receivedBytes = 0;
    let isSinkBusy = false;
    let isEnded = false;
    let error: unknown = null;

    const settle = (): void => {
      if (isSinkBusy || (!isEnded && error === null)) {
        return;
      }
      keeper.stop();
      if (error !== null) {
        reject(error);
      } else {
        resolve(receivedBytes);
      }
    };
    const fail = (cause: unknown): void => {
      error ??= cause ?? new OtadError('HTTP_TRUNCATED');
      queue.length = 0;
      broken.abort();
      body.destroy();
      settle();
    };
    const keeper = keepPace(pace, fail);

    const waitForSink = async (first: Promise<void>): Promise<void> => {
      isSinkBusy = true;
      body.pause();
      keeper.hold();
      try {
        await first;
        for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
          queuedBytes -= next.length;
          await sink(next);
        }
      } catch (cause) {
        error ??= cause;
      }
      isSinkBusy = false;
      keeper.release();
      if (error !== null) {
        fail(error);
      } else if (isEnded) {
        settle();
      } else {
        body.resume();
      }
    };

    body.on('data', (chunk: Uint8Array) => {
      if (error !== null) {
        return;
      }
      receivedBytes += chunk.length;
      keeper.received(chunk.length);
      onArrival(chunk.length);
      if (isSinkBusy) {
        queue.push(chunk);
        queuedBytes += chunk.length;
        if (queuedBytes > queuedBytesMax) {
          fail(new OtadError('INTERNAL', { reason: 'the body went on after pause', queuedBytes }));
        }
        return;
      }
      try {
        const pending = sink(chunk);
        if (pending !== undefined) {
          void waitForSink(pending);
        }
      } catch (cause) {
        fail(cause);
      }
    });
    body.on('end', () => {
      isEnded = true;
      settle();
    });
    body.on('error', fail);
    body.on('close', () => {
      if (!isEnded) {
        fail(new OtadError('HTTP_TRUNCATED', { receivedBytes }));
      }
    });
  });
