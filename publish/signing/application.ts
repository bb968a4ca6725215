// Takes a request that has been carried away and back: checks that it still fits what is published, keeps its signatures,
// and publishes it once every threshold is met. Signs with the keys that are here too.

import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { OtadError } from '../../agent/core/errors.ts';
import { encodeCanonicalJson, type JsonValue } from '../../verity/canonical-json.ts';
import { readKeyFolders } from '../keys/key-files.ts';
import { rawSigned } from '../repository/metadata-signing.ts';
import { removeLeftovers } from '../repository/publication.ts';
import { loadPublished, type PublishedState } from '../repository/published-state.ts';
import { type PublisherPaths, publisherPaths, readSettings } from '../repository/publisher-folder.ts';
import { withPublisherLock } from '../repository/publisher-lock.ts';
import { countedSignatures, missingSignatures } from './completion.ts';
import type { RequestDocument, SigningRequest } from './request.ts';
import { type FolderContent, keepSignatures, readRequestFolder, signaturesIn } from './request-folder.ts';
import type { CeremonyOptions } from './rotation.ts';
import { addSignatures, publishRequest, type Settlement } from './settlement.ts';

const isSame = (left: Uint8Array, right: Uint8Array): boolean => Buffer.compare(left, right) === 0;

const stale = (problem: string): OtadError => new OtadError('REQUEST_STALE', { problem });

/** The signed part of a metadata file, as bytes. */
const signedBytesOf = (file: Uint8Array): Uint8Array => encodeCanonicalJson(rawSigned(file) as unknown as JsonValue);

/** True when this very document is what stands: an earlier try has got that far. */
const stands = (document: RequestDocument | undefined, file: Uint8Array): boolean =>
  document !== undefined && isSame(document.signedBytes, signedBytesOf(file));

/** Why the request does not continue what is published; null when it does. */
export const staleness = (request: SigningRequest, state: PublishedState): string | null => {
  const base = request.roots.at(-1);
  const standing = request.documents.find(({ role, version }) => role === 'root' && version === state.root.version);
  const isRootBase = base !== undefined && isSame(base.bytes, state.rootBytes);
  if (!isRootBase && !stands(standing, state.rootBytes)) {
    return `root ${state.root.version} stands, and the request continues root ${request.root.version}`;
  }
  const targets = request.documents.find(({ role }) => role === 'targets');
  if (targets === undefined) return isRootBase || standing !== undefined ? null : 'it is published already';
  if (!isSame(request.targetsBytes, state.targetsBytes) && !stands(targets, state.targetsBytes)) {
    return `targets ${state.targets.version} stand, and the request continues targets ${request.targets.version}`;
  }
  return null;
};

/** True when all of it is published: nothing is left to do. */
const isDone = (request: SigningRequest, state: PublishedState): boolean =>
  request.documents.every((document) =>
    stands(document, document.role === 'root' ? state.rootBytes : state.targetsBytes),
  );

/** A number that an interrupted release has used up for something else. */
const checkNumber = async (paths: PublisherPaths, request: SigningRequest): Promise<void> => {
  const targets = request.documents.find(({ role }) => role === 'targets');
  if (targets === undefined) return;
  const file = await readFile(join(paths.metadata, `${targets.version}.targets.json`)).catch(() => null);
  if (file !== null && !stands(targets, file)) throw stale(`targets ${targets.version} has become another file`);
};

/** Each signature must hold: one that does not was made for something else, or spoiled on its way. */
const checkSignatures = (content: FolderContent): void => {
  for (const file of content.files) {
    for (const signature of file.signatures) {
      const document = content.request.documents.find(
        ({ role, version }) => role === signature.role && version === signature.version,
      );
      const counted = document === undefined ? [] : countedSignatures(content.request, document, [signature]);
      if (counted.length === 0) {
        const problem = 'a signature does not hold, or its key may not sign here';
        throw new OtadError('REQUEST_INVALID', {
          problem,
          key: file.key,
          document: `${signature.role} ${signature.version}`,
        });
      }
    }
  }
};

export interface ApplyOptions extends CeremonyOptions {
  /** The request's folder, or a file in it. */
  readonly path: string;
}

/** Throws REQUEST_STALE, REQUEST_INVALID, NOTHING_TO_DO; gives what is missing when thresholds are not met yet. */
export const applyRequest = async (options: ApplyOptions): Promise<Settlement> => {
  const paths = publisherPaths(options.folder);
  const { lifetimesS } = await readSettings(paths);
  return await withPublisherLock(paths.folder, async () => {
    const keys = await readKeyFolders(options.keyFolders ?? [paths.keys]);
    const nowS = Math.floor((options.nowMs ?? Date.now()) / 1000);
    await removeLeftovers(paths.repository);
    const state = await loadPublished(paths);
    const brought = await readRequestFolder(options.path);
    if (isDone(brought.request, state)) throw new OtadError('NOTHING_TO_DO', { request: brought.folder });
    const problem = staleness(brought.request, state);
    if (problem !== null) throw stale(problem);
    await checkNumber(paths, brought.request);
    checkSignatures(brought);
    const kept = await addSignatures(await keepSignatures(paths.requests, brought), keys);
    const missing = missingSignatures(kept.request, signaturesIn(kept));
    if (missing.length > 0) return { kind: 'waiting', content: kept, missing };
    const publication = { paths, lifetimesS, keys, nowS, afterWrite: options.afterWrite };
    const versions = await publishRequest(publication, state, kept);
    await rm(kept.folder, { recursive: true, force: true });
    return { kind: 'published', versions, request: kept.request };
  });
};
