// From a target path to a Verified<Release>: the one place in the program that brands a release as verified. The document's
// bytes have the signed length and digest, it is for this channel and product, and each artifact is itself a signed target.

import { OtadError } from '../agent/core/errors.ts';
import type { Artifact, ArtifactFile, Release, Verified } from '../agent/core/types.ts';
import { fetchRequired, type MetadataFetcher } from './metadata-fetcher.ts';
import { parseRelease, releaseDocumentBytesMax, releaseDocumentPath } from './release-document.ts';
import { isTarget, type TargetInfo } from './target-search.ts';
import type { TrustedFiles } from './trusted-store.ts';
import type { TufClient } from './tuf-client.ts';
import { floorEpochMember, type RootMetadata } from './tuf-metadata.ts';

/** The newest release document, byte for byte: a poll without news needs no request for it. */
const cachedName = 'release-document';

export interface ReleaseQuery {
  readonly channel: string;
  readonly compatible: string;
}

/** 5.7.3: at most the signed length, then length and digests, before anything reads it. */
const readDocument = async (
  fetcher: MetadataFetcher,
  files: TrustedFiles,
  target: TargetInfo,
  signal: AbortSignal,
): Promise<Uint8Array> => {
  if (target.lengthBytes > releaseDocumentBytesMax) {
    throw new OtadError('RELEASE_MALFORMED', { bytes: target.lengthBytes, maximum: releaseDocumentBytesMax });
  }
  const cached = await files.read(cachedName);
  if (cached !== null && isTarget(cached, target)) {
    return cached;
  }
  const bytes = await fetchRequired(fetcher, target.urlPath, target.lengthBytes, signal);
  if (!isTarget(bytes, target)) {
    throw new OtadError('TARGET_DIGEST_MISMATCH', { path: target.path });
  }
  await files.write(cachedName, bytes);
  return bytes;
};

/** An artifact and what goes with it: each is a target of its own. */
const filesOf = (artifact: Artifact): readonly ArtifactFile[] =>
  artifact.index === null ? [artifact] : [artifact, artifact.index];

const checkFile = async (client: TufClient, file: ArtifactFile, signal: AbortSignal): Promise<void> => {
  const { lengthBytes, sha256Hex } = await client.findTarget(file.path, signal);
  if (lengthBytes !== file.lengthBytes || sha256Hex !== file.sha256Hex) {
    const reason = 'length or digest differ from the signed target';
    throw new OtadError('RELEASE_MALFORMED', { artifact: file.path, reason });
  }
};

const checkMatch = (release: Release, query: ReleaseQuery, root: RootMetadata): void => {
  if (release.compatible !== query.compatible || release.channel !== query.channel) {
    const { channel, compatible } = release;
    throw new OtadError('RELEASE_INCOMPATIBLE', {
      channel,
      compatible,
      wanted: `${query.channel}/${query.compatible}`,
    });
  }
  // Who signs releases must not be able to allow older ones: only root raises the epoch.
  const allowed = root[floorEpochMember] ?? 0;
  if (release.floorEpoch > allowed) {
    const reason = 'the floor epoch is above the one that root signs';
    throw new OtadError('RELEASE_MALFORMED', { reason, floorEpoch: release.floorEpoch, allowed });
  }
};

/**
 * The release of a channel as the metadata of the last refresh names it. Throws TARGET_UNKNOWN when there is none,
 * TARGET_DIGEST_MISMATCH, RELEASE_MALFORMED, RELEASE_INCOMPATIBLE, and what the client throws.
 */
export const readRelease = async (
  { client, fetcher, files, root }: ReleaseReader,
  query: ReleaseQuery,
  signal: AbortSignal,
): Promise<Verified<Release>> => {
  const target = await client.findTarget(releaseDocumentPath(query.channel, query.compatible), signal);
  const release = parseRelease(await readDocument(fetcher, files, target, signal));
  checkMatch(release, query, root);
  for (const file of release.artifacts.flatMap(filesOf)) {
    await checkFile(client, file, signal);
  }
  return release as Verified<Release>;
};

export interface ReleaseReader {
  readonly client: TufClient;
  readonly fetcher: MetadataFetcher;
  readonly files: TrustedFiles;
  /** Of the same refresh. */
  readonly root: RootMetadata;
}
