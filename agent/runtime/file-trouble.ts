// When a file that would only shorten an update is done without: at once where another attempt would not help, after a few where
// it might. A link that breaks now and then must not cost the whole image; a file that never comes must not keep the image away.

import { OtadError } from '../core/errors.ts';

/** What is remembered from one attempt to the next: a file that could not be fetched, for a reason that may pass. */
export interface FileTrouble {
  path: string;
  failures: number;
  /** Of the newest one, by `monoMs`. */
  failedAtMs: number;
  readonly monoMs: () => number;
}

export const noTrouble = (monoMs: () => number): FileTrouble => ({ path: '', failures: 0, failedAtMs: 0, monoMs });

const failuresMax = 3;
/** A link that was bad then says nothing of the link now. */
const forgetMs = 3_600_000;

/** It went well after all, or it is another file's turn. */
export const forgetTrouble = (trouble: FileTrouble, path = ''): void => {
  trouble.path = path;
  trouble.failures = 0;
};

const fade = (trouble: FileTrouble): void => {
  if (trouble.monoMs() - trouble.failedAtMs >= forgetMs) trouble.failures = 0;
};

/** It has failed so often, not long ago, that asking for it again only takes what the link still gives. */
export const isGivenUp = (trouble: FileTrouble, path: string): boolean => {
  fade(trouble);
  return trouble.path === path && trouble.failures >= failuresMax;
};

/** True when it has failed so often by now that it is done without. */
export const noteFailure = (trouble: FileTrouble, path: string): boolean => {
  if (trouble.path !== path) forgetTrouble(trouble, path);
  fade(trouble);
  trouble.failures += 1;
  trouble.failedAtMs = trouble.monoMs();
  return trouble.failures >= failuresMax;
};

/** Below 500, and yet no word of the file: it waited too long, was asked too early or on the wrong connection, or too often. */
const passingStatuses: readonly number[] = [408, 421, 425, 429];

/** Why it is done without, as a sentence about `what`. What another attempt could mend is thrown instead. */
export const asReason = (error: unknown, what: string, path: string, trouble: FileTrouble): string => {
  if (!(error instanceof OtadError) || error.code === 'CANCELLED') throw error;
  const { status } = error.details;
  const isRefused =
    error.code === 'HTTP_STATUS' && typeof status === 'number' && status < 500 && !passingStatuses.includes(status);
  if (error.class !== 'source' && !isRefused) {
    if (error.class !== 'transient' || !noteFailure(trouble, path)) throw error;
  }
  return `${what} cannot be had: ${error.message}`;
};
