// Ed25519 by its definition (RFC 8032, 5.1), in BigInt and slow: the oracle for what a verifier must say. It shares no code
// with what it judges. Not for production: its time depends on every number.

import { createHash } from 'node:crypto';

export const fieldPrime = 2n ** 255n - 19n;
export const groupOrder = 2n ** 252n + 27742317777372353535851937790883648493n;

/** Affine. */
export interface Point {
  readonly x: bigint;
  readonly y: bigint;
}

const mod = (value: bigint, modulus = fieldPrime): bigint => ((value % modulus) + modulus) % modulus;

const power = (base: bigint, exponent: bigint): bigint => {
  let result = 1n;
  for (let square = mod(base), rest = exponent; rest > 0n; rest >>= 1n, square = mod(square * square)) {
    if ((rest & 1n) === 1n) result = mod(result * square);
  }
  return result;
};

const invert = (value: bigint): bigint => power(value, fieldPrime - 2n);
const curveD = mod(-121665n * invert(121666n));
/** A square root of -1. */
const rootOfMinusOne = power(2n, (fieldPrime - 1n) / 4n);

export const identity: Point = { x: 0n, y: 1n };
export const isSame = (left: Point, right: Point): boolean => left.x === right.x && left.y === right.y;
export const negate = ({ x, y }: Point): Point => ({ x: mod(-x), y });

/** X, Y, Z, T with x = X/Z, y = Y/Z, xy = T/Z. */
type Extended = readonly [bigint, bigint, bigint, bigint];

const extend = ({ x, y }: Point): Extended => [x, y, 1n, mod(x * y)];

const addExtended = ([x1, y1, z1, t1]: Extended, [x2, y2, z2, t2]: Extended): Extended => {
  const a = mod((y1 - x1) * (y2 - x2));
  const b = mod((y1 + x1) * (y2 + x2));
  const c = mod(2n * curveD * t1 * t2);
  const d = mod(2n * z1 * z2);
  const [e, f, g, h] = [b - a, d - c, d + c, b + a];
  return [mod(e * f), mod(g * h), mod(f * g), mod(e * h)];
};

const flatten = ([x, y, z]: Extended): Point => {
  const inverse = invert(z);
  return { x: mod(x * inverse), y: mod(y * inverse) };
};

export const add = (left: Point, right: Point): Point => flatten(addExtended(extend(left), extend(right)));

export const multiply = (scalar: bigint, point: Point): Point => {
  let result = extend(identity);
  for (let double = extend(point), rest = scalar; rest > 0n; rest >>= 1n, double = addExtended(double, double)) {
    if ((rest & 1n) === 1n) result = addExtended(result, double);
  }
  return flatten(result);
};

/** The x of a y with this parity, or null where y is on no point. */
const recoverX = (y: bigint, parity: bigint): bigint | null => {
  const square = mod((y * y - 1n) * invert(curveD * y * y + 1n));
  const candidate = power(square, (fieldPrime + 3n) / 8n);
  const x = [candidate, mod(candidate * rootOfMinusOne)].find((one) => mod(one * one) === square);
  if (x === undefined) return null;
  return (x & 1n) === parity ? x : mod(-x);
};

export const basePoint: Point = { y: mod(4n * invert(5n)), x: recoverX(mod(4n * invert(5n)), 0n) ?? 0n };

export const toNumber = (bytes: Uint8Array): bigint => BigInt(`0x${Buffer.from(bytes).reverse().toString('hex')}`);
/** 32 bytes, little-endian. */
export const toBytes = (value: bigint): Uint8Array =>
  new Uint8Array(Buffer.from(value.toString(16).padStart(64, '0'), 'hex').reverse());

export const encode = ({ x, y }: Point): Uint8Array => toBytes(y + ((x & 1n) << 255n));

/** The point that bytes stand for, a y beyond the field included; null where they stand for none. */
export const decode = (bytes: Uint8Array): Point | null => {
  const number = toNumber(bytes);
  const y = mod(number & (2n ** 255n - 1n));
  const x = recoverX(y, number >> 255n);
  return x === null ? null : { x, y };
};

export const isCanonical = (bytes: Uint8Array): boolean => {
  const point = decode(bytes);
  return point !== null && Buffer.compare(encode(point), bytes) === 0;
};

/** The eight points whose order divides 8, the identity first. */
export const smallOrderPoints = (): readonly Point[] => {
  // L times any point has an order that divides 8; the first one with order 8 gives all of them.
  for (let y = 2n; ; y += 1n) {
    const x = recoverX(y, 0n);
    const torsion = x === null ? identity : multiply(groupOrder, { x, y });
    if (!isSame(multiply(4n, torsion), identity)) {
      return Array.from({ length: 8 }, (_, count) => multiply(BigInt(count), torsion));
    }
  }
};

export const isSmallOrder = (point: Point): boolean => isSame(multiply(8n, point), identity);

/** Every encoding that a lenient decoder takes for `point`: the canonical one, y + p, and the sign of an x that is zero. */
export const encodingsOf = (point: Point): readonly Uint8Array[] => {
  const ys = [point.y, point.y + fieldPrime].filter((y) => y < 2n ** 255n);
  const signs = point.x === 0n ? [0n, 1n] : [point.x & 1n];
  return ys.flatMap((y) => signs.map((sign) => toBytes(y + (sign << 255n))));
};

/** The number that message, R and key are hashed to. */
export const challenge = (encodedR: Uint8Array, publicKey: Uint8Array, message: Uint8Array): bigint =>
  mod(toNumber(createHash('sha512').update(encodedR).update(publicKey).update(message).digest()), groupOrder);

/** What RFC 8032 leaves to implementations, as OpenSSL settles it: S below L, R compared as bytes, and nothing else. */
export const verifyLeniently = (message: Uint8Array, signature: Uint8Array, publicKey: Uint8Array): boolean => {
  const [encodedR, s] = [signature.subarray(0, 32), toNumber(signature.subarray(32))];
  const key = decode(publicKey);
  if (key === null || s >= groupOrder) return false;
  const k = challenge(encodedR, publicKey, message);
  const wanted = add(multiply(s, basePoint), multiply(k, negate(key)));
  return Buffer.compare(encode(wanted), encodedR) === 0;
};

/** What otad promises: the same, and that key and R are canonical encodings of points of more than small order. */
export const verifyStrictly = (message: Uint8Array, signature: Uint8Array, publicKey: Uint8Array): boolean => {
  const isSound = [publicKey, signature.subarray(0, 32)].every((bytes) => {
    const point = decode(bytes);
    return point !== null && isCanonical(bytes) && !isSmallOrder(point);
  });
  return isSound && verifyLeniently(message, signature, publicKey);
};
