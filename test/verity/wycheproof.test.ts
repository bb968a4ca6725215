// The reader of Wycheproof files, on a file of that form made here.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import nacl from 'tweetnacl';
import { judgeVectors } from './wycheproof.ts';

const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

const aFile = (isFirstValid: boolean, numberOfTests = 2): string => {
  const pair = nacl.sign.keyPair.fromSeed(new Uint8Array(32).fill(7));
  const sig = hexOf(nacl.sign.detached(Buffer.from('TEST'), pair.secretKey));
  const msg = hexOf(Buffer.from('TEST'));
  const tests = [
    { tcId: 1, comment: 'good', msg, sig, result: isFirstValid ? 'valid' : 'invalid' },
    { tcId: 2, comment: 'short', msg, sig: sig.slice(2), result: 'invalid' },
  ];
  const publicKey = { curve: 'edwards25519', pk: hexOf(pair.publicKey) };
  return JSON.stringify({ algorithm: 'EDDSA', numberOfTests, testGroups: [{ publicKey, tests }] });
};

test('counts the cases of a file, and names those that come out wrong', () => {
  assert.deepEqual(judgeVectors(aFile(true)), { total: 2, wrong: [] });
  assert.deepEqual(judgeVectors(aFile(false)), { total: 2, wrong: ['case 1 (good) is invalid'] });
});

test('refuses a file that holds another number of cases than it says, or is of another kind', () => {
  assert.throws(() => judgeVectors(aFile(true, 3)));
  assert.throws(() => judgeVectors('{"algorithm":"ECDSA","numberOfTests":1,"testGroups":[]}'));
});
