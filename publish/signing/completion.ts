// Counts what a signing request has and what it lacks: which signatures hold, which thresholds are met, and whose
// signatures are still welcome. Pure.

import type { JsonValue } from '../../verity/canonical-json.ts';
import { parseStrictJson } from '../../verity/canonical-json.ts';
import { ed25519Key, keyIdOf, type TufKeys, type TufSignature } from '../../verity/tuf-metadata.ts';
import type { SigningKey } from '../keys/signing-key.ts';
import { assembleMetadata, signatureOf, signingKeyId, validSignatures } from '../repository/metadata-signing.ts';
import { keyNamesOf } from '../repository/root-document.ts';
import { type DocumentSignature, judgesOf, type RequestDocument, type SigningRequest } from './request.ts';

/** What one document still needs to satisfy one root. */
export interface Missing {
  readonly role: RequestDocument['role'];
  readonly version: number;
  /** Version of the root that asks for it. */
  readonly byRoot: number;
  readonly needed: number;
  /** Names of those that have signed, and of those that may. */
  readonly signed: readonly string[];
  readonly open: readonly string[];
}

const isOf = (document: RequestDocument, signature: DocumentSignature): boolean =>
  signature.role === document.role && signature.version === document.version;

const keysOf = (request: SigningRequest, document: RequestDocument): TufKeys => {
  const roots = judgesOf(request, document);
  const keyIds = new Set(roots.flatMap((root) => root.roles[document.role].keyids));
  const all = Object.assign({}, ...roots.map(({ keys }) => keys)) as TufKeys;
  return Object.fromEntries(Object.entries(all).filter(([keyId]) => keyIds.has(keyId)));
};

/** Signatures on the document that hold and count, one a key. */
export const countedSignatures = (
  request: SigningRequest,
  document: RequestDocument,
  signatures: readonly DocumentSignature[],
): readonly TufSignature[] => {
  const held = validSignatures(
    document.signedBytes,
    signatures.filter((signature) => isOf(document, signature)),
    keysOf(request, document),
  );
  return [...new Map(held.map((signature) => [signature.keyid, signature])).values()];
};

/** Every threshold that is not met yet; none when the request can be published. */
export const missingSignatures = (
  request: SigningRequest,
  signatures: readonly DocumentSignature[],
): readonly Missing[] =>
  request.documents.flatMap((document) => {
    const signers = countedSignatures(request, document, signatures).map(({ keyid }) => keyid);
    return judgesOf(request, document).flatMap((root): readonly Missing[] => {
      const { keyids, threshold } = root.roles[document.role];
      const names = keyNamesOf(root);
      const nameOf = (keyId: string): string => names.get(keyId) ?? keyId;
      const signed = keyids.filter((keyId) => signers.includes(keyId));
      if (signed.length >= threshold) return [];
      const open = keyids.filter((keyId) => !signers.includes(keyId)).map(nameOf);
      const { role, version } = document;
      const needed = threshold - signed.length;
      return [{ role, version, byRoot: root.version, needed, signed: signed.map(nameOf), open }];
    });
  });

/** The documents that this key may sign. */
export const documentsFor = (request: SigningRequest, publicHex: string): readonly RequestDocument[] => {
  const keyId = keyIdOf(ed25519Key(Buffer.from(publicHex, 'hex')));
  return request.documents.filter((document) => Object.hasOwn(keysOf(request, document), keyId));
};

export interface KeySignatures {
  readonly key: SigningKey;
  readonly signatures: readonly DocumentSignature[];
}

/** Signs each document with each key that may. Keys that may sign nothing are left out. */
export const signDocuments = async (
  request: SigningRequest,
  keys: readonly SigningKey[],
): Promise<readonly KeySignatures[]> => {
  const all: KeySignatures[] = [];
  for (const key of keys) {
    const signatures: DocumentSignature[] = [];
    for (const document of documentsFor(request, key.publicHex)) {
      const { role, version, signedBytes } = document;
      signatures.push({ role, version, ...(await signatureOf(key, signedBytes)) });
    }
    if (signatures.length > 0) all.push({ key, signatures });
  }
  return all;
};

/** The document as the metadata file to publish. */
export const assembleDocument = (
  request: SigningRequest,
  document: RequestDocument,
  signatures: readonly DocumentSignature[],
): Uint8Array => {
  const signed: JsonValue = parseStrictJson(document.signedBytes);
  return assembleMetadata(document.role, signed, countedSignatures(request, document, signatures));
};

export const keyIdsOf = (keys: readonly SigningKey[]): readonly string[] => keys.map(signingKeyId);
