// From keys and signed parts to the bytes of metadata files. Reads no file and no clock. Whatever is signed here must parse
// with the same strict schema that devices use, and every signature must hold as devices check it, or nothing comes out.

import { createHash } from 'node:crypto';
import { OtadError } from '../../agent/core/errors.ts';
import { encodeCanonicalJson, type JsonValue, parseStrictJson } from '../../verity/canonical-json.ts';
import { verifyEd25519 } from '../../verity/ed25519.ts';
import {
  type AnyMetadata,
  ed25519Key,
  keyIdOf,
  type MetadataOf,
  type MetaFile,
  ownMember,
  parseMetadata,
  type RootMetadata,
  type TufKeys,
  type TufSignature,
} from '../../verity/tuf-metadata.ts';
import type { PublicKey, RoleName, SigningKey } from '../keys/signing-key.ts';

export const specVersion = '1.0.31';

export const sha256Hex = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

export const tufKeyOf = (key: PublicKey) => ed25519Key(Buffer.from(key.publicHex, 'hex'));

export const signingKeyId = (key: PublicKey): string => keyIdOf(tufKeyOf(key));

/** How many of these key ids may sign for the role under this root. */
export const countFor = (root: RootMetadata, role: RoleName, keyIds: readonly string[]): number =>
  root.roles[role].keyids.filter((keyId) => keyIds.includes(keyId)).length;

/**
 * The keys that may sign for `role` under any of these roots. Throws KEY_UNUSABLE when for one of them they are fewer than
 * its threshold. During a change of keys a file must satisfy the root before and the root after.
 */
export const keysForRole = (
  roots: readonly RootMetadata[],
  role: RoleName,
  keys: readonly SigningKey[],
): readonly SigningKey[] => {
  const byId = new Map(keys.map((key) => [signingKeyId(key), key]));
  for (const root of roots) {
    const found = countFor(root, role, [...byId.keys()]);
    const needed = root.roles[role].threshold;
    if (found < needed) throw new OtadError('KEY_UNUSABLE', { role, needed, found, hint: 'give --keys FOLDER' });
  }
  const keyIds = new Set(roots.flatMap((root) => root.roles[role].keyids));
  return [...keyIds].flatMap((keyId) => byId.get(keyId) ?? []);
};

/** Throws KEY_UNUSABLE when what the key gave is no signature of these bytes: it would be published otherwise. */
export const signatureOf = async (key: SigningKey, bytes: Uint8Array): Promise<TufSignature> => {
  const signature = await key.sign(bytes);
  if (!verifyEd25519(bytes, signature, Buffer.from(key.publicHex, 'hex'))) {
    const problem = 'the signature does not fit the public key';
    throw new OtadError('KEY_UNUSABLE', { key: key.name, file: key.fileName, problem });
  }
  return { keyid: signingKeyId(key), sig: Buffer.from(signature).toString('hex') };
};

/** A signed part and its signatures as a metadata file. Throws METADATA_MALFORMED on what devices would not read. */
export const assembleMetadata = (
  role: RoleName,
  signed: JsonValue,
  signatures: readonly TufSignature[],
): Uint8Array => {
  const bytes = encodeCanonicalJson({ signatures: signatures.map(({ keyid, sig }) => ({ keyid, sig })), signed });
  parseMetadata(role, bytes);
  return bytes;
};

/** The file's bytes: canonical, so that equal content gives equal files. Ed25519 signatures are deterministic too. */
export const signMetadata = async <R extends RoleName>(
  role: R,
  signed: MetadataOf[R],
  keys: readonly SigningKey[],
): Promise<Uint8Array> => {
  const signedBytes = encodeCanonicalJson(signed as JsonValue);
  const signatures: TufSignature[] = [];
  // One after the other: two commands that ask for a PIN at once would be a riddle.
  for (const key of keys) signatures.push(await signatureOf(key, signedBytes));
  return assembleMetadata(role, signed as JsonValue, signatures);
};

/** Those of the signatures that hold under keys of this set, by key id. */
export const validSignatures = (
  signedBytes: Uint8Array,
  signatures: readonly TufSignature[],
  keys: TufKeys,
): readonly TufSignature[] =>
  signatures.filter(({ keyid, sig }) => {
    const key = ownMember(keys, keyid);
    if (key === undefined || key.keytype !== 'ed25519' || key.scheme !== 'ed25519') return false;
    return verifyEd25519(signedBytes, Buffer.from(sig, 'hex'), Buffer.from(key.keyval.public, 'hex'));
  });

/** The signed part as it was read, members unknown to us included: they must outlive the next version. */
export const rawSigned = <T extends AnyMetadata>(bytes: Uint8Array): T =>
  (parseStrictJson(bytes) as { readonly signed: unknown }).signed as T;

/** How a parent names a metadata file: version, length and digest, so that a mirror cannot send another one. */
export const metaFileOf = (metadata: AnyMetadata, bytes: Uint8Array): MetaFile => ({
  version: metadata.version,
  length: bytes.length,
  hashes: { sha256: sha256Hex(bytes) },
});
