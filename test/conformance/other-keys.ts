// TEST keys of the kinds that production refuses: ECDSA and RSA, signing as other TUF tools do. Made anew in each run.

import { constants, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { keyIdOf, type TufKey } from '../../verity/tuf-metadata.ts';
import type { TestKey } from '../support/tuf-repository.ts';

const toTestKey = (key: TufKey, signBytes: (bytes: Uint8Array) => Buffer): TestKey => ({
  id: keyIdOf(key),
  key,
  sign: (bytes) => signBytes(bytes).toString('hex'),
});

const pemOf = (publicKey: KeyObject): string => publicKey.export({ format: 'pem', type: 'spki' }).toString();

export const anEcdsaKey = (): TestKey => {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const key = { keytype: 'ecdsa', scheme: 'ecdsa-sha2-nistp256', keyval: { public: pemOf(publicKey) } };
  return toTestKey(key, (bytes) => sign('sha256', bytes, privateKey));
};

export const anRsaKey = (): TestKey => {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const key = { keytype: 'rsa', scheme: 'rsassa-pss-sha256', keyval: { public: pemOf(publicKey) } };
  const padding = constants.RSA_PKCS1_PSS_PADDING;
  const saltLength = constants.RSA_PSS_SALTLEN_DIGEST;
  return toTestKey(key, (bytes) => sign('sha256', bytes, { key: privateKey, padding, saltLength }));
};
