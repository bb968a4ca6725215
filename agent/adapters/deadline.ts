// A bound on how long a piece of work may take in all. It ends the attempt, and what the attempt has made durable stays: the
// next one goes on there.

import { OtadError } from '../core/errors.ts';

/** Throws HTTP_TIMEOUT when `work` was ended by the deadline, else what `work` throws. Null: no deadline. */
export const withDeadline = async <T>(
  deadlineMs: number | null,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> => {
  if (deadlineMs === null) return work(signal);
  const deadline = new AbortController();
  const timer = setTimeout(() => deadline.abort(), deadlineMs);
  try {
    return await work(AbortSignal.any([signal, deadline.signal]));
  } catch (error) {
    if (!deadline.signal.aborted || signal.aborted) throw error;
    throw new OtadError('HTTP_TIMEOUT', { phase: 'download', timeoutMs: deadlineMs }, { cause: error });
  } finally {
    clearTimeout(timer);
  }
};
