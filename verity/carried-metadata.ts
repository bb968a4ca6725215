// Signed metadata as files that are handed from one process to another: whoever gets them believes them from the image's own
// root on, by the same client and the same checks as if they came from a server. Only expiry is left out: it protects a
// device that asks a server, and is the business of the one that asked. Nothing here touches a disk or a network.

import type { Release, Verified } from '../agent/core/types.ts';
import { type MetadataFetcher, metadataLimits } from './metadata-fetcher.ts';
import type { TrustedFiles } from './trusted-store.ts';
import { createTufClient } from './tuf-client.ts';
import { type ReleaseQuery, readRelease } from './verified-release.ts';

export interface CarriedFile {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** Root rotations, four roles, delegated ones and the release document: more than one repository that is not there to fill memory. */
export const carriedFilesMax = metadataLimits.rootRotationsMax + 64;

/** Long before the expiry of anything. */
const beforeAllTimeS = 0;
const timestampName = 'timestamp.json';
/** Says which root the reader had before, which is nobody else's concern. */
const markerName = 'root.json';

/** What is changed stays in memory: the files below are only read. `onRead` is told of what was found there. */
const createOverlay = (files: Pick<TrustedFiles, 'read'>, onRead: (file: CarriedFile) => void): TrustedFiles => {
  const changed = new Map<string, Uint8Array | null>();
  return {
    read: async (name) => {
      const change = changed.get(name);
      if (change !== undefined) return change;
      const bytes = name === markerName ? null : await files.read(name);
      if (bytes !== null) onRead({ name, bytes });
      return bytes;
    },
    write: async (name, bytes) => {
      changed.set(name, bytes);
    },
    remove: async (name) => {
      changed.set(name, null);
    },
  };
};

const readFrom = async (
  files: TrustedFiles,
  initialRoot: Uint8Array | null,
  query: ReleaseQuery,
  signal: AbortSignal,
): Promise<Verified<Release>> => {
  const fetcher: MetadataFetcher = {
    fetch: async (path) => (path === `metadata/${timestampName}` ? files.read(timestampName) : null),
  };
  const client = createTufClient({ fetcher, files, initialRoot });
  const { root } = await client.refresh(beforeAllTimeS, signal);
  return readRelease({ client, fetcher, files, root }, query, signal);
};

/** The release that these files name. Throws what the client and the release document's checks throw. */
export const readCarriedRelease = (
  carried: readonly CarriedFile[],
  initialRoot: Uint8Array | null,
  query: ReleaseQuery,
  signal: AbortSignal,
): Promise<Verified<Release>> => {
  const byName = new Map(carried.map(({ name, bytes }) => [name, bytes]));
  const files = createOverlay({ read: async (name) => byName.get(name) ?? null }, () => undefined);
  return readFrom(files, initialRoot, query, signal);
};

/** Those of the trusted files that {@link readCarriedRelease} needs to find the same release. Throws what it throws. */
export const carryRelease = async (
  files: Pick<TrustedFiles, 'read'>,
  initialRoot: Uint8Array | null,
  query: ReleaseQuery,
  signal: AbortSignal,
): Promise<readonly CarriedFile[]> => {
  const found = new Map<string, CarriedFile>();
  const overlay = createOverlay(files, (file) => found.set(file.name, file));
  await readFrom(overlay, initialRoot, query, signal);
  return [...found.values()];
};
