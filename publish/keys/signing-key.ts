// What a signing key is to the rest of the publisher: a name, a public half, and something that signs. Where the private
// half lies (a file, a token, a cloud) is nobody's business but its maker's.

import * as z from 'zod';

export const roleNames = ['root', 'targets', 'snapshot', 'timestamp'] as const;
export type RoleName = (typeof roleNames)[number];

/** Of a person or a place, such as `alice` or `timestamp-1`. Becomes a part of file names and is public in root.json. */
export const keyNamePattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$/;
export const keyNameSchema = z.string().regex(keyNamePattern, 'not a key name');
export const publicHexSchema = z.string().regex(/^[0-9a-f]{64}$/, 'not an Ed25519 public key in lower-case hex');

/** The half that the world may see. */
export interface PublicKey {
  readonly name: string;
  readonly publicHex: string;
}

export interface SigningKey extends PublicKey {
  /** File name without folder, such as `root-1.json`. */
  readonly fileName: string;
  /** Gives 64 bytes. Whoever uses them verifies them first: a token or a cloud may answer anything. */
  sign(message: Uint8Array): Promise<Uint8Array>;
}

/** Beside keys on a stick: a root of one's own that requests are checked against. Not `.json`, so it is taken for no key. */
export const ownRootName = 'trusted.root';
