// Strict Ed25519 verification. tweetnacl alone accepts S + L, keys of small order and encodings that are not canonical,
// so one signature could be turned into another and a weak key would sign anything; all of that is refused here first.
// Never signs and never sees a secret key.

import nacl from 'tweetnacl';

export const publicKeyBytes = 32;
export const signatureBytes = 64;

const fromHex = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex, 'hex'));

// All numbers are little-endian, as RFC 8032 encodes them.
/** p = 2^255 - 19, the field. */
const fieldPrime = fromHex('edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f');
/** L, the order of the base point. */
const groupOrder = fromHex('edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010');

/** The y of all eight points whose order divides the cofactor; x differs in sign only, which is the top bit. */
const smallOrderYs: readonly Uint8Array[] = [
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0100000000000000000000000000000000000000000000000000000000000000',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
].map(fromHex);

/** left < right for little-endian numbers of one length. All of it is public, so time may depend on it. */
const isBelow = (left: Uint8Array, right: Uint8Array): boolean => {
  for (let index = left.length - 1; index >= 0; index -= 1) {
    const difference = (left[index] ?? 0) - (right[index] ?? 0);
    if (difference !== 0) {
      return difference < 0;
    }
  }
  return false;
};

/** A point whose encoding is the only one of it, and whose order is not a divisor of 8. Does not say that it is on the curve. */
const isSoundPoint = (encoded: Uint8Array): boolean => {
  const y = Uint8Array.from(encoded);
  y[31] = (y[31] ?? 0) & 0x7f;
  return isBelow(y, fieldPrime) && !smallOrderYs.some((small) => Buffer.compare(small, y) === 0);
};

/** Lengths and encodings as the strict rules want them: all that is to be said without the message. Never throws. */
export const isStrictlyEncoded = (signature: Uint8Array, publicKey: Uint8Array): boolean =>
  signature.length === signatureBytes &&
  publicKey.length === publicKeyBytes &&
  isBelow(signature.subarray(32), groupOrder) &&
  isSoundPoint(signature.subarray(0, 32)) &&
  isSoundPoint(publicKey);

/** True only for a signature that every strict verifier accepts (RFC 8032, 5.1.7, without the cofactor). Never throws. */
export const verifyEd25519 = (message: Uint8Array, signature: Uint8Array, publicKey: Uint8Array): boolean =>
  isStrictlyEncoded(signature, publicKey) && nacl.sign.detached.verify(message, signature, publicKey);
