// The bandwidth that otad may use, over all its connections together. Each piece is paid for after it was taken in: the stream
// that brought it is held back for as long as the piece takes at the allowed rate, behind all others that wait. Nothing is
// saved up while the line is idle, so a limit is never exceeded in bursts larger than one piece of each stream.

export interface RateLimit {
  /** Settles when the next piece may come; at once, and without an error, when the signal fires. Null: no need to wait. */
  pay(bytes: number, signal: AbortSignal): Promise<void> | null;
}

export interface RateClock {
  /** Monotonic. */
  nowMs(): number;
  /** Settles after this time, or when the signal fires. */
  wait(delayMs: number, signal: AbortSignal): Promise<void>;
}

const systemClock: RateClock = {
  nowMs: () => performance.now(),
  wait: (delayMs, signal) =>
    new Promise((resolve) => {
      const end = (): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', end);
        resolve();
      };
      const timer = setTimeout(end, delayMs);
      signal.addEventListener('abort', end, { once: true });
      if (signal.aborted) end();
    }),
};

/** Shorter waits are not made but added to the next one: timers are no finer. */
const waitMsMin = 2;

export const createRateLimit = (bytesPerS: number, clock: RateClock = systemClock): RateLimit => {
  /** When all that was taken in so far is paid for. */
  let paidUntilMs = Number.NEGATIVE_INFINITY;
  return {
    pay: (bytes, signal) => {
      const nowMs = clock.nowMs();
      paidUntilMs = Math.max(paidUntilMs, nowMs) + (bytes / bytesPerS) * 1000;
      const waitMs = paidUntilMs - nowMs;
      return waitMs < waitMsMin ? null : clock.wait(waitMs, signal);
    },
  };
};
