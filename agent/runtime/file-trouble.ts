// When a file that would only shorten an update is done without: at once where another attempt would not help, after a few where
// it might. A link that breaks now and then must not cost the whole image; a file that never comes must not keep the image away.

import { OtadError } from '../core/errors.ts';

/** What is remembered from one attempt to the next: a file that could not be fetched, for a reason that may pass. */
export interface FileTrouble {
  path: string;
  failures: number;
}

export const noTrouble = (): FileTrouble => ({ path: '', failures: 0 });

const failuresMax = 3;

/** It has failed so often that asking for it again only takes what the link still gives. */
export const isGivenUp = (trouble: FileTrouble, path: string): boolean =>
  trouble.path === path && trouble.failures >= failuresMax;

/** Why it is done without, as a sentence about `what`. What another attempt could mend is thrown instead. */
export const asReason = (error: unknown, what: string, path: string, trouble: FileTrouble): string => {
  if (!(error instanceof OtadError) || error.code === 'CANCELLED') throw error;
  const { status } = error.details;
  const isRefused = error.code === 'HTTP_STATUS' && typeof status === 'number' && status < 500 && status !== 429;
  if (error.class !== 'source' && !isRefused) {
    trouble.failures = trouble.path === path ? trouble.failures + 1 : 1;
    trouble.path = path;
    if (error.class !== 'transient' || trouble.failures < failuresMax) throw error;
  }
  return `${what} cannot be had: ${error.message}`;
};
