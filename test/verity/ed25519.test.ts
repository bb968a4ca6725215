import assert from 'node:assert/strict';
import { createHash, createPublicKey, generateKeyPairSync, sign, verify } from 'node:crypto';
import { test } from 'node:test';
import nacl from 'tweetnacl';
import { verifyEd25519 } from '../../verity/ed25519.ts';

const order = 2n ** 252n + 27742317777372353535851937790883648493n;
const prime = 2n ** 255n - 19n;

const toNumber = (bytes: Uint8Array): bigint => BigInt(`0x${Buffer.from(bytes).reverse().toString('hex')}`);
const toBytes = (value: bigint): Uint8Array => Buffer.from(value.toString(16).padStart(64, '0'), 'hex').reverse();

/** The other implementation: OpenSSL, behind node:crypto. */
const verifyByNode = (message: Uint8Array, signature: Uint8Array, publicKey: Uint8Array): boolean => {
  const der = Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), publicKey]);
  return verify(null, message, createPublicKey({ key: der, format: 'der', type: 'spki' }), signature);
};

const bytesOf = (seed: string, length: number): Uint8Array =>
  Uint8Array.from(createHash('shake256', { outputLength: length }).update(`TEST ${seed}`).digest());

const flip = (bytes: Uint8Array, bit: number): Uint8Array => {
  const copy = Uint8Array.from(bytes);
  copy[bit >> 3] = (copy[bit >> 3] ?? 0) ^ (1 << (bit & 7));
  return copy;
};

test('agrees with OpenSSL on good and on damaged signatures', () => {
  for (let round = 0; round < 24; round += 1) {
    const pair = nacl.sign.keyPair.fromSeed(bytesOf(`seed ${round}`, 32));
    const message = bytesOf(`message ${round}`, round * 7);
    const signature = nacl.sign.detached(message, pair.secretKey);
    const random = bytesOf(`bits ${round}`, 4);
    const cases: readonly (readonly [Uint8Array, Uint8Array, Uint8Array])[] = [
      [message, signature, pair.publicKey],
      [message, flip(signature, ((random[0] ?? 0) << 1) | 1), pair.publicKey],
      [flip(Uint8Array.of(0, ...message), 3), signature, pair.publicKey],
      [message, signature, nacl.sign.keyPair.fromSeed(bytesOf(`other ${round}`, 32)).publicKey],
    ];
    const verdicts = cases.map((one) => verifyEd25519(...one));
    assert.deepEqual(verdicts, [true, false, false, false]);
    assert.deepEqual(
      cases.map((one) => verifyByNode(...one)),
      verdicts,
    );
  }
});

test('accepts what OpenSSL signs', () => {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const raw = publicKey.export({ format: 'der', type: 'spki' }).subarray(-32);
  const message = Buffer.from('TEST message');
  assert.equal(verifyEd25519(message, sign(null, message, privateKey), raw), true);
});

test('refuses S + L, which tweetnacl alone accepts', () => {
  const pair = nacl.sign.keyPair.fromSeed(bytesOf('malleable', 32));
  const message = Buffer.from('TEST message');
  const signature = nacl.sign.detached(message, pair.secretKey);
  const shifted = Uint8Array.from([...signature.subarray(0, 32), ...toBytes(toNumber(signature.subarray(32)) + order)]);
  assert.equal(nacl.sign.detached.verify(message, shifted, pair.publicKey), true);
  assert.equal(verifyEd25519(message, shifted, pair.publicKey), false);
});

/** All y of points whose order divides 8, with both signs; and those of them that have a second encoding. */
const smallOrderPoints = (): readonly Uint8Array[] => {
  const ys = [
    0n,
    1n,
    prime - 1n,
    toNumber(Buffer.from('26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05', 'hex')),
    toNumber(Buffer.from('c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a', 'hex')),
    prime,
    prime + 1n,
  ];
  return ys.flatMap((y) => [toBytes(y), toBytes(y + 2n ** 255n)]);
};

test('refuses every key of small order, one of which signs anything', () => {
  const forged = Uint8Array.from([...toBytes(1n), ...toBytes(0n)]);
  const identity = toBytes(1n);
  assert.equal(nacl.sign.detached.verify(Buffer.from('anything'), forged, identity), true);
  for (const point of smallOrderPoints()) {
    for (let round = 0; round < 2; round += 1) {
      const signature = Uint8Array.from([...point, ...toBytes(BigInt(round))]);
      assert.equal(verifyEd25519(Buffer.from(`anything ${round}`), signature, point), false);
      assert.equal(verifyEd25519(Buffer.from(`anything ${round}`), forged, point), false);
    }
  }
});

test('refuses a small-order R, and keys that are not canonical', () => {
  const pair = nacl.sign.keyPair.fromSeed(bytesOf('small R', 32));
  for (const point of smallOrderPoints()) {
    const signature = Uint8Array.from([...point, ...toBytes(5n)]);
    assert.equal(verifyEd25519(Buffer.from('x'), signature, pair.publicKey), false);
  }
  // With R the identity and S = k * a, the equation holds; only the check of R refuses it.
  const expanded = createHash('sha512').update(pair.secretKey.subarray(0, 32)).digest().subarray(0, 32);
  expanded[0] = (expanded[0] ?? 0) & 248;
  expanded[31] = ((expanded[31] ?? 0) & 127) | 64;
  const message = Buffer.from('TEST message');
  const k = toNumber(createHash('sha512').update(toBytes(1n)).update(pair.publicKey).update(message).digest());
  const signature = Uint8Array.from([...toBytes(1n), ...toBytes((k * toNumber(expanded)) % order)]);
  assert.equal(nacl.sign.detached.verify(message, signature, pair.publicKey), true);
  assert.equal(verifyEd25519(message, signature, pair.publicKey), false);
  for (let y = prime; y < 2n ** 255n; y += 1n) {
    assert.equal(verifyEd25519(message, signature, toBytes(y)), false);
  }
});

test('refuses wrong lengths without throwing', () => {
  const pair = nacl.sign.keyPair.fromSeed(bytesOf('lengths', 32));
  const message = Buffer.from('TEST message');
  const signature = nacl.sign.detached(message, pair.secretKey);
  assert.equal(verifyEd25519(message, signature.subarray(1), pair.publicKey), false);
  assert.equal(verifyEd25519(message, new Uint8Array(0), pair.publicKey), false);
  assert.equal(verifyEd25519(message, signature, pair.publicKey.subarray(1)), false);
  assert.equal(verifyEd25519(message, Uint8Array.from([...signature, 0]), pair.publicKey), false);
});
