// From keys and signed parts to the bytes of metadata files. Pure: reads no file and no clock. Whatever is signed here
// must parse with the same strict schema that devices use, or it is not signed at all.

import { createHash } from 'node:crypto';
import { OtadError } from '../../agent/core/errors.ts';
import { encodeCanonicalJson, type JsonValue } from '../../verity/canonical-json.ts';
import {
  type AnyMetadata,
  ed25519Key,
  keyIdOf,
  type MetadataOf,
  type MetaFile,
  parseMetadata,
  type RootMetadata,
  type TufRole,
} from '../../verity/tuf-metadata.ts';
import type { RoleName, SigningKey } from '../keys/key-files.ts';

export const specVersion = '1.0.31';

export const sha256Hex = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

const tufKeyOf = (key: SigningKey) => ed25519Key(Buffer.from(key.publicHex, 'hex'));

export const signingKeyId = (key: SigningKey): string => keyIdOf(tufKeyOf(key));

/** The keys that may sign for `role` under this root. Throws KEY_UNUSABLE when they are fewer than its threshold. */
export const keysForRole = (root: RootMetadata, role: RoleName, keys: readonly SigningKey[]): readonly SigningKey[] => {
  const { keyids, threshold } = root.roles[role];
  const byId = new Map(keys.map((key) => [signingKeyId(key), key]));
  const usable = keyids.flatMap((keyid) => byId.get(keyid) ?? []);
  if (usable.length < threshold) {
    throw new OtadError('KEY_UNUSABLE', { role, needed: threshold, found: usable.length, hint: 'give --keys FOLDER' });
  }
  return usable;
};

/** The file's bytes: canonical, so that equal content gives equal files. Ed25519 signatures are deterministic too. */
export const signMetadata = <R extends RoleName>(
  role: R,
  signed: MetadataOf[R],
  keys: readonly SigningKey[],
): Uint8Array => {
  const signedBytes = encodeCanonicalJson(signed as JsonValue);
  const signatures = keys.map((key) => ({
    keyid: signingKeyId(key),
    sig: Buffer.from(key.sign(signedBytes)).toString('hex'),
  }));
  const bytes = encodeCanonicalJson({ signatures, signed } as JsonValue);
  parseMetadata(role, bytes);
  return bytes;
};

/** How a parent names a metadata file: version, length and digest, so that a mirror cannot send another one. */
export const metaFileOf = (metadata: AnyMetadata, bytes: Uint8Array): MetaFile => ({
  version: metadata.version,
  length: bytes.length,
  hashes: { sha256: sha256Hex(bytes) },
});

const roleOf = (keys: readonly SigningKey[], threshold: number): TufRole => ({
  keyids: keys.map(signingKeyId),
  threshold,
});

/** The first root: every role's keys and thresholds. */
export const firstRoot = (
  keys: Readonly<Record<RoleName, readonly SigningKey[]>>,
  thresholds: Readonly<Record<RoleName, number>>,
  expires: string,
): RootMetadata => ({
  _type: 'root',
  spec_version: specVersion,
  version: 1,
  expires,
  consistent_snapshot: true,
  keys: Object.fromEntries(Object.values(keys).flatMap((all) => all.map((key) => [signingKeyId(key), tufKeyOf(key)]))),
  roles: {
    root: roleOf(keys.root, thresholds.root),
    timestamp: roleOf(keys.timestamp, thresholds.timestamp),
    snapshot: roleOf(keys.snapshot, thresholds.snapshot),
    targets: roleOf(keys.targets, thresholds.targets),
  },
});
