// Who may sign for a role, and whether enough of them have: the threshold check that every role goes through (TUF 5.3.4,
// 5.4.2, 5.5.3, 5.6.3). Pure. Distinct key material counts, never the number of signatures or of key ids.

import { OtadError } from '../agent/core/errors.ts';
import { decodeHex, type SignatureScheme } from './signature-schemes.ts';
import {
  type AnyMetadata,
  type MetadataFile,
  ownMember,
  type TufKey,
  type TufKeys,
  type TufRole,
} from './tuf-metadata.ts';

/** Who may sign for a role: the role as its delegator describes it, and the delegator's keys. */
export interface Delegator {
  readonly keys: TufKeys;
  readonly role: TufRole;
}

/** The key's material in hex when its signature on the file holds, else null; computed once, however many roles ask. */
export type SignerCheck = (keyId: string, key: TufKey) => string | null;

const signerOf = (
  file: MetadataFile<AnyMetadata>,
  schemes: readonly SignatureScheme[],
  keyId: string,
  key: TufKey,
): string | null => {
  // Keys of other kinds are passed over, as are signatures that are not hex: they do not count, and spoil nothing.
  const scheme = schemes.find((one) => one.keyType === key.keytype && one.scheme === key.scheme);
  const material = scheme?.readMaterial(key.keyval.public) ?? null;
  const sig = file.signatures.find((signature) => signature.keyid === keyId)?.sig;
  const signature = sig === undefined ? null : decodeHex(sig);
  if (scheme === undefined || material === null || signature === null) {
    return null;
  }
  return scheme.verify(file.signedBytes, signature, material) ? Buffer.from(material).toString('hex') : null;
};

export const createSignerCheck = (
  file: MetadataFile<AnyMetadata>,
  schemes: readonly SignatureScheme[],
): SignerCheck => {
  const verdicts = new Map<string, string | null>();
  return (keyId, key) => {
    const known = verdicts.get(keyId);
    if (known !== undefined) {
      return known;
    }
    // A key id is the digest of its key (checked when the file was parsed), so a verdict under it holds in every role.
    const verdict = signerOf(file, schemes, keyId, key);
    verdicts.set(keyId, verdict);
    return verdict;
  };
};

/**
 * A threshold of the role's keys must have signed. The same key under two ids, a key id listed twice, or a signature given
 * twice adds nothing. Throws METADATA_SIGNATURE_INVALID.
 */
export const checkSignatures = (signerOfFile: SignerCheck, { keys, role }: Delegator, name: string): void => {
  const signers = new Set<string>();
  for (const keyId of new Set(role.keyids)) {
    const key = ownMember(keys, keyId);
    const signer = key === undefined ? null : signerOfFile(keyId, key);
    if (signer !== null) {
      signers.add(signer);
    }
    if (signers.size >= role.threshold) {
      return;
    }
  }
  throw new OtadError('METADATA_SIGNATURE_INVALID', { role: name, valid: signers.size, threshold: role.threshold });
};
