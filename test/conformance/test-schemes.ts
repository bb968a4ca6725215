// ECDSA and RSA as the TUF specification names them, for the conformance suite alone: most of its metadata is signed so.
// Nothing that runs on a device may import this file; production-schemes.test.ts keeps that.

import { constants, createPublicKey, type KeyObject, verify } from 'node:crypto';
import { ed25519Scheme, type SignatureScheme } from '../../verity/signature-schemes.ts';

const rsaBitsMin = 2048;

/** The key in its one DER form, however its PEM text is wrapped; null when it is none or not of the wanted kind. */
const readPem =
  (isWanted: (key: KeyObject) => boolean) =>
  (pem: string): Uint8Array | null => {
    try {
      const key = createPublicKey(pem);
      return isWanted(key) ? key.export({ format: 'der', type: 'spki' }) : null;
    } catch {
      return null;
    }
  };

const verifyWith =
  (options: { readonly padding?: number; readonly saltLength?: number }): SignatureScheme['verify'] =>
  (message, signature, material) => {
    try {
      const key = createPublicKey({ key: Buffer.from(material), format: 'der', type: 'spki' });
      return verify('sha256', message, { key, ...options }, signature);
    } catch {
      return false;
    }
  };

const ecdsa = (keyType: string): SignatureScheme => ({
  keyType,
  scheme: 'ecdsa-sha2-nistp256',
  readMaterial: readPem((key) => key.asymmetricKeyDetails?.namedCurve === 'prime256v1'),
  verify: verifyWith({}),
});

const rsa: SignatureScheme = {
  keyType: 'rsa',
  scheme: 'rsassa-pss-sha256',
  readMaterial: readPem(
    (key) => key.asymmetricKeyType === 'rsa' && (key.asymmetricKeyDetails?.modulusLength ?? 0) >= rsaBitsMin,
  ),
  verify: verifyWith({ padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_AUTO }),
};

/** The second name of ECDSA is how older repositories spell the key type. */
export const testSchemes: readonly SignatureScheme[] = [
  ed25519Scheme,
  ecdsa('ecdsa'),
  ecdsa('ecdsa-sha2-nistp256'),
  rsa,
];
