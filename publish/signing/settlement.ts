// Brings documents to their signatures: signs with the keys that are here, publishes when every threshold is met, and
// otherwise leaves a request for the keys that are elsewhere. Runs under the publisher's lock, which the caller holds.

import { rm } from 'node:fs/promises';
import { OtadError } from '../../agent/core/errors.ts';
import { dateTimeOf, type MetadataOf, type RootMetadata } from '../../verity/tuf-metadata.ts';
import { rawSigned } from '../repository/metadata-signing.ts';
import {
  expiresOf,
  highestVersion,
  type PublicationOptions,
  type PublishedVersions,
  publish,
} from '../repository/publication.ts';
import { type PublishedState, readRootChain } from '../repository/published-state.ts';
import { assembleDocument, type Missing, missingSignatures, signDocuments } from './completion.ts';
import type { RequestDocument, SigningRequest } from './request.ts';
import {
  type FolderContent,
  readRequestFolder,
  signaturesIn,
  writeRequestFolder,
  writeSignatureFile,
} from './request-folder.ts';

export type Settlement =
  | { readonly kind: 'published'; readonly versions: PublishedVersions; readonly request: SigningRequest }
  | { readonly kind: 'waiting'; readonly content: FolderContent; readonly missing: readonly Missing[] };

export interface Documents {
  /** As `rootsFor` gives them. */
  readonly roots: readonly RootMetadata[];
  readonly targets: MetadataOf['targets'] | null;
}

/** Publishes what the request's signatures allow. All thresholds must be met. */
export const publishRequest = async (
  options: PublicationOptions,
  state: PublishedState,
  content: FolderContent,
): Promise<PublishedVersions> => {
  const { request } = content;
  const fileOf = (document: RequestDocument): Uint8Array => assembleDocument(request, document, signaturesIn(content));
  const isNew = ({ role, version }: RequestDocument): boolean => role === 'root' && version > state.root.version;
  const targets = request.documents.find(({ role }) => role === 'targets');
  return await publish(options, state, {
    roots: request.documents.filter(isNew).map(fileOf),
    signedTargets: targets === undefined ? null : fileOf(targets),
  });
};

/** Signs with all keys that are here, beside the request. */
export const addSignatures = async (
  content: FolderContent,
  keys: PublicationOptions['keys'],
): Promise<FolderContent> => {
  for (const { key, signatures } of await signDocuments(content.request, keys)) {
    await writeSignatureFile(content.folder, content.request, key.name, signatures);
  }
  return await readRequestFolder(content.folder);
};

/** Throws unless snapshot and timestamp can be signed here once the documents are: else a request would lead nowhere. */
const checkOnlineKeys = (options: PublicationOptions, state: PublishedState, { roots, targets }: Documents): void => {
  const after = roots.at(-1) ?? state.root;
  const ids = new Set(options.keys.map((key) => key.publicHex));
  for (const role of ['snapshot', 'timestamp'] as const) {
    const { keyids, threshold } = after.roles[role];
    const found = keyids.filter((keyId) => ids.has(after.keys[keyId]?.keyval.public ?? '')).length;
    if (found < threshold && (role === 'timestamp' || targets !== null)) {
      const hint = 'give --keys FOLDER: these keys must be on the machine that publishes';
      throw new OtadError('KEY_UNUSABLE', { role, needed: threshold, found, hint });
    }
  }
};

/** Signs and publishes the documents, or writes a request for what is missing. */
export const settle = async (
  options: PublicationOptions,
  state: PublishedState,
  repository: string,
  documents: Documents,
): Promise<Settlement> => {
  checkOnlineKeys(options, state, documents);
  const fresh = await writeRequestFolder(options.paths.requests, {
    repository,
    createdAt: dateTimeOf(options.nowS),
    roots: await readRootChain(options.paths, state.root.version),
    targets: state.targetsBytes,
    documents: [
      ...documents.roots.map((signed) => ({ role: 'root' as const, signed })),
      ...(documents.targets === null ? [] : [{ role: 'targets' as const, signed: documents.targets }]),
    ],
  });
  const content = await addSignatures(fresh, options.keys);
  const missing = missingSignatures(content.request, signaturesIn(content));
  if (missing.length > 0) return { kind: 'waiting', content, missing };
  const versions = await publishRequest(options, state, content);
  await rm(content.folder, { recursive: true, force: true });
  return { kind: 'published', versions, request: content.request };
};

/** A new list of targets, signed by the keys that are here or by a request. */
export const settleTargets = async (
  options: PublicationOptions,
  state: PublishedState,
  repository: string,
  listed: MetadataOf['targets']['targets'],
): Promise<Settlement> => {
  const version = (await highestVersion(options.paths.metadata, 'targets')) + 1;
  const before = rawSigned<MetadataOf['targets']>(state.targetsBytes);
  const targets = { ...before, version, expires: expiresOf(options, 'targets'), targets: listed };
  return await settle(options, state, repository, { roots: [], targets });
};
