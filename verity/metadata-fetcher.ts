// The one thing the TUF client needs from a network, and the caps on what it may bring.

import { OtadError } from '../agent/core/errors.ts';

export interface FreshFile {
  readonly bytes: Uint8Array;
  /** Handed back with the next conditional request; opaque here. Null when the server gives none. */
  readonly validator: string | null;
}

/** Gets files of a repository by their path below its base: `metadata/...` and `targets/...`. */
export interface MetadataFetcher {
  /** The whole file; null when the server has none. Never more than `maxLengthBytes` (FILE_TOO_LARGE). */
  fetch(path: string, maxLengthBytes: number, signal: AbortSignal): Promise<Uint8Array | null>;
  /** Conditional. 'unchanged' only in answer to a validator that came with the very bytes that the server still has. */
  fetchFresh?(
    path: string,
    maxLengthBytes: number,
    validator: string | null,
    signal: AbortSignal,
  ): Promise<FreshFile | 'unchanged' | null>;
}

/** Caps for files whose length no parent has signed (W, X, Y and Z of the specification), and for signed lengths too. */
export const metadataLimits = {
  rootRotationsMax: 256,
  rootBytesMax: 128 * 1024,
  timestampBytesMax: 16 * 1024,
  snapshotBytesMax: 256 * 1024,
  targetsBytesMax: 2 * 1024 * 1024,
} as const;

/** The fetcher has the cap as well; a file beyond it must not be parsed even if that one fails. */
export const checkCap = (bytes: Uint8Array, path: string, maxLengthBytes: number): void => {
  if (bytes.length > maxLengthBytes) {
    throw new OtadError('FILE_TOO_LARGE', { path, maximum: maxLengthBytes });
  }
};

/** A file that must be there. Throws METADATA_MISSING. */
export const fetchRequired = async (
  fetcher: MetadataFetcher,
  path: string,
  maxLengthBytes: number,
  signal: AbortSignal,
): Promise<Uint8Array> => {
  const bytes = await fetcher.fetch(path, maxLengthBytes, signal);
  if (bytes === null) {
    throw new OtadError('METADATA_MISSING', { path });
  }
  checkCap(bytes, path, maxLengthBytes);
  return bytes;
};
