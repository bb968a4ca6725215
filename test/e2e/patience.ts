// Asks a daemon that may be restarting: a question without an answer is asked again until the daemon is back. An answer
// is an answer, also when it is a refusal. Bounded by the time without any answer at all.

import { setTimeout as delay } from 'node:timers/promises';
import { type ApiClient, RefusedError } from './api-client.ts';

/** Longer than a reboot of the virtual gateway on a busy machine. */
export const silenceMsMax = 20_000;
const retryMs = 100;

/** The first result of `ask` that is one. Throws the last error after {@link silenceMsMax}. */
export const untilAnswered = async <T>(ask: () => Promise<T>, signal: AbortSignal): Promise<T> => {
  const sinceMs = performance.now();
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      if (error instanceof RefusedError || performance.now() - sinceMs > silenceMsMax) throw error;
    }
    await delay(retryMs, undefined, { signal });
  }
};

export type PatientReads = Pick<ApiClient, 'status' | 'slots' | 'history' | 'denylist'>;

/** The reads of `api`, each of which outlasts a restart of the daemon. */
export const createPatientReads = (api: ApiClient, signal: AbortSignal): PatientReads => ({
  status: () => untilAnswered(api.status, signal),
  slots: () => untilAnswered(api.slots, signal),
  history: () => untilAnswered(api.history, signal),
  denylist: () => untilAnswered(api.denylist, signal),
});
