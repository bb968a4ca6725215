// Follows the roots of a repository from the first to the newest, as gateways do that slept through all changes of keys. The
// newest root is trusted already; this shows that every older one still leads to it.

import { isDeepStrictEqual } from 'node:util';
import { OtadError } from '../../agent/core/errors.ts';
import { metadataLimits } from '../../verity/metadata-fetcher.ts';
import type { RootMetadata } from '../../verity/tuf-metadata.ts';
import { verifyInitialRoot, verifyNextRoot } from '../../verity/tuf-verify.ts';
import { metadataFolder } from '../repository/publisher-folder.ts';
import type { RepositoryReader } from './repository-reader.ts';

export const rootPath = (version: number): string => `${metadataFolder}/${version}.root.json`;

const verifyFirst = (bytes: Uint8Array): RootMetadata => {
  const { signed } = verifyInitialRoot(bytes);
  if (signed.version === 1) return signed;
  throw new OtadError('METADATA_MISMATCH', { role: 'root', reason: 'version', actual: signed.version, wanted: 1 });
};

/** Throws at the first root that is missing or does not follow; `onRoot` hears the path of each before it is read. */
export const checkRootChain = async (
  reader: RepositoryReader,
  newest: RootMetadata,
  signal: AbortSignal,
  onRoot: (path: string) => void,
): Promise<void> => {
  let current: RootMetadata | null = null;
  while (current === null || current.version < newest.version) {
    const path = rootPath(current === null ? 1 : current.version + 1);
    onRoot(path);
    const bytes = await reader.fetch(path, metadataLimits.rootBytesMax, signal);
    if (bytes === null) {
      throw new OtadError('METADATA_MISSING', { path, problem: 'gateways with an older root cannot get past it' });
    }
    current = current === null ? verifyFirst(bytes) : verifyNextRoot(current, bytes).signed;
  }
  if (isDeepStrictEqual(current, newest)) return;
  throw new OtadError('METADATA_MISMATCH', { role: 'root', reason: 'another root of this version is trusted' });
};
