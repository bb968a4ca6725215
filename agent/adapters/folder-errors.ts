// Says of a folder what the client says of a server: the same bytes, checks and codes, in words that fit a stick in a hand.

import { type ErrorCode, OtadError } from '../core/errors.ts';
import type { OfferedFolder } from '../core/types.ts';
import type { HttpClient } from './http.ts';
import { createMirrors, type Mirrors } from './mirrors.ts';

interface Wanted {
  readonly channel: string;
  readonly compatible: string;
}

/** Errors about this device, and those that name the folder already, pass as they are. */
const inFolder = (error: unknown, { path: folder }: OfferedFolder, wanted: Wanted): unknown => {
  if (!(error instanceof OtadError) || error.code === 'CANCELLED' || error.code === 'FOLDER_GONE') return error;
  const { code, details } = error;
  const as = (named: ErrorCode, facts: OtadError['details']) =>
    new OtadError(named, { folder, ...facts }, { cause: error });
  if (code === 'METADATA_MISSING') return as('FOLDER_INVALID', { missing: details.path });
  if (code === 'HTTP_STATUS' && details.status === 404) return as('FOLDER_INVALID', { missing: details.url });
  if (code === 'TARGET_UNKNOWN') return as('RELEASE_MISSING', { ...wanted });
  // It came to its end, and that was too early or too late: no broken connection, but a copy that is not whole.
  const isOtherLength = code === 'HTTP_RANGE_MISMATCH' || (code === 'HTTP_TRUNCATED' && details.signed !== undefined);
  if (isOtherLength) return as('FOLDER_INVALID', { file: details.url, problem: 'not of the signed length' });
  if (code.startsWith('HTTP_')) return as('FOLDER_GONE', { reason: code });
  return error.class === 'source' || error.class === 'release' ? as(code, details) : error;
};

/** The folder as a mirror, for as long as `use` takes. */
export const throughFolder = async <T>(
  http: HttpClient,
  folder: OfferedFolder,
  wanted: Wanted,
  use: (from: Mirrors) => Promise<T>,
): Promise<T> => {
  try {
    return await use(createMirrors(http, ['http://folder.invalid']));
  } catch (error) {
    throw inFolder(error, folder, wanted);
  } finally {
    await http.close();
  }
};
