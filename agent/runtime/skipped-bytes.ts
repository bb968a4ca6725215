// Bytes of a file that come once more because no server gives ranges: they lie before those that are missing, and are paid for all the
// same. Says when they were all that an attempt brought; must never hide that the step was cancelled.

import { OtadError } from '../core/errors.ts';

export interface Skipped {
  note(lengthBytes: number): void;
  /**
   * What ended an attempt that came no further. A link that breaks is tried again soon and without end; where each try reads again
   * what is here already and nothing else, the server is what is wrong: that is counted, and ends in a long pause.
   */
  asFault(error: unknown, path: string): unknown;
}

export const createSkipped = (onBytes: (lengthBytes: number) => void): Skipped => {
  let skippedBytes = 0;
  return {
    note: (lengthBytes) => {
      skippedBytes += lengthBytes;
      onBytes(lengthBytes);
    },
    asFault: (error, path) => {
      const isCut = error instanceof OtadError && error.class === 'transient' && error.code !== 'CANCELLED';
      if (!isCut || skippedBytes === 0) return error;
      const reason = 'it sends the file from its start, and the link breaks before the bytes that are missing';
      return new OtadError('HTTP_RANGE_MISMATCH', { path, skippedBytes, reason }, { cause: error });
    },
  };
};
