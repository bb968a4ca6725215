import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import nacl from 'tweetnacl';
import { holdsForGateways, privateKeyOf, publicHexOf, signEd25519 } from '../../../publish/keys/ed25519.ts';
import { verifyEd25519 } from '../../../verity/ed25519.ts';

const bytesOf = (seed: string, length: number): Uint8Array =>
  Uint8Array.from(createHash('shake256', { outputLength: length }).update(`TEST ${seed}`).digest());

test('a seed gives the key and the signatures that tweetnacl gives, bit for bit', () => {
  for (let round = 0; round < 8; round += 1) {
    const seed = bytesOf(`seed ${round}`, 32);
    const message = bytesOf(`message ${round}`, round * 97);
    const pair = nacl.sign.keyPair.fromSeed(seed);
    const key = privateKeyOf(seed);
    assert.equal(publicHexOf(key), Buffer.from(pair.publicKey).toString('hex'));
    assert.deepEqual(signEd25519(message, key), nacl.sign.detached(message, pair.secretKey));
  }
});

test('the example of RFC 8032, 7.1, test 2', () => {
  const key = privateKeyOf(Buffer.from('4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb', 'hex'));
  assert.equal(publicHexOf(key), '3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c');
  const signature = Buffer.from(signEd25519(Uint8Array.of(0x72), key)).toString('hex');
  assert.equal(
    signature,
    '92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00',
  );
});

// The edges of Ed25519 are judged by both in test/verity/ed25519-edges.test.ts.
test('a signature holds here where it holds on gateways, and nowhere else', () => {
  const key = privateKeyOf(bytesOf('seed', 32));
  const publicKey = Buffer.from(publicHexOf(key), 'hex');
  const message = bytesOf('message', 100);
  const signature = signEd25519(message, key);
  const flipped = (bytes: Uint8Array, index: number) =>
    bytes.map((byte, position) => (position === index ? byte ^ 1 : byte));
  const other = privateKeyOf(bytesOf('other seed', 32));
  const cases: readonly (readonly [Uint8Array, Uint8Array, Uint8Array])[] = [
    [message, signature, publicKey],
    [flipped(message, 99), signature, publicKey],
    [message, flipped(signature, 3), publicKey],
    [message, flipped(signature, 40), publicKey],
    [message, signature, flipped(publicKey, 5)],
    [message, signEd25519(message, other), publicKey],
    [message, signature.subarray(1), publicKey],
    [message, signature, publicKey.subarray(1)],
    [message, new Uint8Array(0), publicKey],
  ];
  const [good, ...bad] = cases.map((parts) => [holdsForGateways(...parts), verifyEd25519(...parts)]);
  assert.deepEqual(good, [true, true]);
  for (const verdict of bad) assert.deepEqual(verdict, [false, false]);
});
