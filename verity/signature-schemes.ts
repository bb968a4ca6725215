// Which kinds of keys may sign metadata. The agent knows Ed25519 and nothing else: one scheme leaves nothing to negotiate
// down to. The list is a parameter so that a test can bring others; no setting and no server can.

import { publicKeyBytes, verifyEd25519 } from './ed25519.ts';

export interface SignatureScheme {
  /** Both as key objects of the metadata spell them. */
  readonly keyType: string;
  readonly scheme: string;
  /** The key itself, the same bytes however it was written, since distinct keys are what counts; null: no such key. */
  readMaterial(publicValue: string): Uint8Array | null;
  /** Never throws. */
  verify(message: Uint8Array, signature: Uint8Array, material: Uint8Array): boolean;
}

/** The bytes of a hex text of either case; null for anything else. */
export const decodeHex = (hex: string): Uint8Array | null =>
  hex.length % 2 === 0 && /^[0-9a-fA-F]*$/.test(hex) ? new Uint8Array(Buffer.from(hex, 'hex')) : null;

export const ed25519Scheme: SignatureScheme = {
  keyType: 'ed25519',
  scheme: 'ed25519',
  readMaterial: (publicValue) => {
    const bytes = decodeHex(publicValue);
    return bytes?.length === publicKeyBytes ? bytes : null;
  },
  verify: verifyEd25519,
};

/** What production verifies with. */
export const agentSchemes: readonly SignatureScheme[] = [ed25519Scheme];
