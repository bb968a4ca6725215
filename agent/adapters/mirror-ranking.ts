// In which order mirrors are asked: as they are set, but who lied last from then on, and who was silent last for some minutes.
// Knows nothing of files; remembers one entry for each mirror, and nothing beyond the process.

import { OtadError } from '../core/errors.ts';

/** It did not even begin to answer, and whoever asks has waited for nothing. */
export const isSilence = (error: unknown): boolean =>
  error instanceof OtadError &&
  (error.code === 'HTTP_UNREACHABLE' ||
    (error.code === 'HTTP_TIMEOUT' && ['head', 'headers'].includes(String(error.details.phase))));

/** So long who was silent is asked last: not for every part of an image anew, and again by the next attempts. */
export const silenceMs = 5 * 60_000;

export interface Ranking {
  inOrder(): readonly string[];
  /** It lied. */
  demote(base: string): void;
  noteSilent(base: string): void;
}

export const createRanking = (baseUrls: readonly string[], monoMs: () => number): Ranking => {
  // Each once: a mirror is known by its URL.
  let ordered: readonly string[] = [...new Set(baseUrls)];
  const silentUntilMs = new Map<string, number>();
  const isSilent = (base: string): boolean => monoMs() < (silentUntilMs.get(base) ?? 0);
  return {
    inOrder: () => [...ordered.filter((base) => !isSilent(base)), ...ordered.filter(isSilent)],
    demote: (base) => {
      ordered = [...ordered.filter((one) => one !== base), ...ordered.filter((one) => one === base)];
      // Who did not answer is still better than who lies.
      silentUntilMs.clear();
    },
    noteSilent: (base) => {
      silentUntilMs.set(base, monoMs() + silenceMs);
    },
  };
};
