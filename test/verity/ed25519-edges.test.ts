// The edges of Ed25519, made from the curve itself: every kind of key, of R and of S that implementations disagree about.
// An oracle in BigInt says what is right; OpenSSL, behind node:crypto, is asked as well, and where it is expected to differ
// from otad is said below.

import assert from 'node:assert/strict';
import { createHash, createPublicKey, verify } from 'node:crypto';
import { test } from 'node:test';
import { verifyEd25519 } from '../../verity/ed25519.ts';
import {
  add,
  basePoint,
  challenge,
  decode,
  encode,
  encodingsOf,
  fieldPrime,
  groupOrder,
  identity,
  isCanonical,
  isSame,
  isSmallOrder,
  multiply,
  type Point,
  smallOrderPoints,
  toBytes,
  toNumber,
  verifyLeniently,
  verifyStrictly,
} from './edwards-curve.ts';

interface Vector {
  readonly what: string;
  readonly message: Uint8Array;
  readonly signature: Uint8Array;
  readonly publicKey: Uint8Array;
}

const verifyByNode = ({ message, signature, publicKey }: Vector): boolean => {
  const der = Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), publicKey]);
  return verify(null, message, createPublicKey({ key: der, format: 'der', type: 'spki' }), signature);
};

const scalarOf = (seed: string): bigint => toNumber(createHash('sha512').update(`TEST ${seed}`).digest()) % groupOrder;

const torsion = smallOrderPoints();

interface Part {
  readonly what: string;
  /** The discrete logarithm of its part in the main group. */
  readonly scalar: bigint;
  readonly bytes: Uint8Array;
}

const plain = (what: string, scalar: bigint): Part => ({ what, scalar, bytes: encode(multiply(scalar, basePoint)) });
const mixed = (what: string, scalar: bigint, index: number): Part => ({
  what: `${what} with torsion ${index}`,
  scalar,
  bytes: encode(add(multiply(scalar, basePoint), torsion[index] as Point)),
});
const weak = (what: string): readonly Part[] =>
  torsion.flatMap((point, index) =>
    encodingsOf(point).map((bytes, form) => ({
      what: `${what} of small order ${index}, form ${form}`,
      scalar: 0n,
      bytes,
    })),
  );

/** Signed as the equation wants it, the torsion parts left aside: with the cofactor all of these hold. */
const signedBy = (key: Part, r: Part, text: string, liftS = 0n): Vector => {
  const message = Buffer.from(text);
  const s = (r.scalar + challenge(r.bytes, key.bytes, message) * key.scalar) % groupOrder;
  const signature = new Uint8Array([...r.bytes, ...toBytes(s + liftS * groupOrder)]);
  return { what: `${key.what}; ${r.what}; S + ${liftS} L; ${text}`, message, signature, publicKey: key.bytes };
};

const keyScalar = scalarOf('key');
const rScalar = scalarOf('R');
const key = plain('key', keyScalar);
const goodR = plain('R', rScalar);
const indices = [0, 1, 2, 3, 4, 5, 6, 7];

const edgeVectors = (): readonly Vector[] => [
  ...['', 'a', 'b'].map((text) => signedBy(key, goodR, text)),
  // 15 L is the last multiple that fits into the 32 bytes of S.
  ...[1n, 2n, 8n, 14n].map((lift) => signedBy(key, goodR, 'lifted', lift)),
  ...indices.flatMap((index) =>
    indices.map((other) => signedBy(mixed('key', keyScalar, index), mixed('R', rScalar, other), 'mixed')),
  ),
  ...weak('key').flatMap((one) => [goodR, ...weak('R').slice(0, 3)].map((r) => signedBy(one, r, 'weak key'))),
  ...weak('R').map((r) => signedBy(key, r, 'weak R')),
];

/** The only encodings beyond the field: y + p of the 19 smallest y, where they are on the curve. */
const beyondField = (): readonly Uint8Array[] => {
  const ys = Array.from({ length: 19 }, (_, y) => fieldPrime + BigInt(y));
  return ys.flatMap((y) => [toBytes(y), toBytes(y + 2n ** 255n)]).filter((bytes) => decode(bytes) !== null);
};

test('the oracle stands on the curve that RFC 8032 names', () => {
  assert.ok(isSame(multiply(groupOrder, basePoint), identity));
  assert.equal(Buffer.from(encode(basePoint)).toString('hex'), `58${'66'.repeat(31)}`);
  assert.equal(new Set(torsion.map((point) => String(toNumber(encode(point))))).size, 8);
  assert.ok(torsion.every(isSmallOrder) && !isSmallOrder(basePoint));
  assert.equal(torsion.flatMap(encodingsOf).length, 14);
});

test('every edge is judged as the definition says, and OpenSSL is more lenient just where it is known to be', () => {
  const vectors = edgeVectors();
  let accepted = 0;
  let lenientOnly = 0;
  for (const vector of vectors) {
    const { what, message, signature, publicKey } = vector;
    const isStrict = verifyStrictly(message, signature, publicKey);
    const isLenient = verifyLeniently(message, signature, publicKey);
    assert.equal(verifyEd25519(message, signature, publicKey), isStrict, what);
    // OpenSSL takes keys of small order and keys beyond the field; R of small order follows from either.
    assert.equal(verifyByNode(vector), isLenient, what);
    if (isStrict) accepted += 1;
    if (isLenient && !isStrict) lenientOnly += 1;
  }
  // Both sides of the fence are reached, or the vectors show nothing.
  assert.ok(
    accepted >= 8 && lenientOnly >= 8,
    `${accepted} accepted, ${lenientOnly} by OpenSSL alone, ${vectors.length}`,
  );
});

test('no key beyond the field is taken, though OpenSSL may read one as a point that exists', () => {
  const keys = beyondField();
  assert.ok(keys.length > 0);
  for (const publicKey of keys) {
    assert.equal(isCanonical(publicKey), false);
    for (const text of ['a', 'b', 'c']) {
      const vector = signedBy({ what: 'beyond', scalar: 0n, bytes: publicKey }, goodR, text);
      assert.equal(verifyEd25519(vector.message, vector.signature, publicKey), false);
    }
  }
});

test('no R beyond the field is taken, though its challenge is hashed from those very bytes', () => {
  for (const bytes of beyondField()) {
    const vector = signedBy(key, { what: 'beyond', scalar: 0n, bytes }, 'R');
    assert.equal(verifyEd25519(vector.message, vector.signature, key.bytes), false);
    assert.equal(verifyByNode(vector), false);
  }
});

test('bytes that are no point at all verify nothing', () => {
  const offCurve = Array.from({ length: 64 }, (_, y) => toBytes(BigInt(y))).filter((bytes) => decode(bytes) === null);
  assert.ok(offCurve.length > 10);
  for (const bytes of offCurve.slice(0, 8)) {
    const asKey = signedBy({ what: 'none', scalar: keyScalar, bytes }, goodR, 'off');
    assert.equal(verifyEd25519(asKey.message, asKey.signature, bytes), false);
    const asR = signedBy(key, { what: 'none', scalar: rScalar, bytes }, 'off');
    assert.equal(verifyEd25519(asR.message, asR.signature, key.bytes), false);
  }
});

test('a signature is accepted in one form only: no other byte of it, no other length, no S that is the same number', () => {
  const { message, signature, publicKey } = signedBy(key, goodR, 'one form');
  assert.equal(verifyEd25519(message, signature, publicKey), true);
  for (let length = 0; length <= 96; length += length < 60 || length > 66 ? 4 : 1) {
    const other = new Uint8Array(length);
    other.set(signature.subarray(0, Math.min(length, 64)));
    assert.equal(verifyEd25519(message, other, publicKey), length === 64, `${length} bytes`);
  }
  const s = toNumber(signature.subarray(32));
  for (let lift = 1n; s + lift * groupOrder < 2n ** 256n; lift += 1n) {
    const same = new Uint8Array([...signature.subarray(0, 32), ...toBytes(s + lift * groupOrder)]);
    assert.equal(verifyEd25519(message, same, publicKey), false, `S + ${lift} L`);
  }
});
