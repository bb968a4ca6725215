// In which order mirrors are asked: as they are set, but who lied last from then on, and who could not serve last for some minutes:
// for everything, or where it gives no ranges for what needs them. Knows nothing of files; remembers nothing beyond the process.

import { isRangeless, OtadError } from '../core/errors.ts';

/** It did not even begin to answer, and whoever asks has waited for nothing. */
const isSilence = (error: OtadError): boolean =>
  error.code === 'HTTP_UNREACHABLE' ||
  (error.code === 'HTTP_TIMEOUT' && ['head', 'headers'].includes(String(error.details.phase)));

/** It says that it has too much to do, or that something is wrong with it. */
const isBusy = ({ code, details: { status } }: OtadError): boolean =>
  code === 'HTTP_STATUS' && typeof status === 'number' && (status === 429 || status >= 500);

/** So long who could not serve is asked last: not for every part of an image anew, and again by the next attempts. */
export const silenceMs = 5 * 60_000;

/** Parts need a server that gives ranges, whole files do not. */
export type Wanted = 'file' | 'part';

export interface Ranking {
  inOrder(wanted: Wanted): readonly string[];
  /** It lied. */
  demote(base: string): void;
  /** It was asked for this, and failed like this: that may say something of the next request. */
  noteFailure(base: string, wanted: Wanted, error: unknown): void;
}

export const createRanking = (baseUrls: readonly string[], monoMs: () => number): Ranking => {
  // Each once: a mirror is known by its URL.
  let ordered: readonly string[] = [...new Set(baseUrls)];
  const awayUntilMs = new Map<string, number>();
  const rangelessUntilMs = new Map<string, number>();
  const isNow = (untilMs: ReadonlyMap<string, number>, base: string): boolean => monoMs() < (untilMs.get(base) ?? 0);
  return {
    inOrder: (wanted) => {
      const isLast = (base: string): boolean =>
        isNow(awayUntilMs, base) || (wanted === 'part' && isNow(rangelessUntilMs, base));
      return [...ordered.filter((base) => !isLast(base)), ...ordered.filter(isLast)];
    },
    demote: (base) => {
      ordered = [...ordered.filter((one) => one !== base), ...ordered.filter((one) => one === base)];
      // Who could not serve is still better than who lies.
      awayUntilMs.clear();
      rangelessUntilMs.clear();
    },
    noteFailure: (base, wanted, error) => {
      if (!(error instanceof OtadError)) return;
      const askedMs = Number(error.details.retryAfterS ?? 0) * 1000;
      if (isSilence(error) || isBusy(error)) awayUntilMs.set(base, monoMs() + Math.max(silenceMs, askedMs));
      // Each answer with the whole file would fill the sockets first.
      if (wanted === 'part' && isRangeless(error)) rangelessUntilMs.set(base, monoMs() + silenceMs);
    },
  };
};
