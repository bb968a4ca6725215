// A bound on how long an attempt may spend on what it fetches, however many pieces that comes in. It ends the attempt, and what the
// attempt has made durable stays: the next one goes on there.

import { OtadError } from '../core/errors.ts';
import type { TimeBudget } from '../core/ports.ts';
import { setLongTimer } from './long-timer.ts';

/** What lies between two pieces of work costs nothing. Null: there is no bound. */
export const createTimeBudget = (timeoutMs: number | null, monoMs: () => number): TimeBudget => {
  let leftMs = timeoutMs;
  return async (signal, work) => {
    if (leftMs === null) return work(signal);
    const over = new OtadError('HTTP_TIMEOUT', { phase: 'download', timeoutMs });
    const deadline = new AbortController();
    const startMs = monoMs();
    const timer = setLongTimer(leftMs, () => deadline.abort(over));
    try {
      return await work(AbortSignal.any([signal, deadline.signal]));
    } catch (error) {
      if (!deadline.signal.aborted || signal.aborted) throw error;
      // What a server did wrong in that time would take all of the next attempt's time as well.
      if (error instanceof OtadError && error.class === 'source') throw error;
      throw new OtadError(over.code, over.details, { cause: error });
    } finally {
      timer.cancel();
      leftMs -= monoMs() - startMs;
    }
  };
};
