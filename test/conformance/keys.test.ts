// The client under test on who has signed: thresholds, keys of every kind of the specification, and their rotation.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { aRepository, signFile, type TestKey, testKey } from '../support/tuf-repository.ts';
import { aDevice, aSettledDevice, farAway } from './bench.ts';
import { anEcdsaKey, anRsaKey } from './other-keys.ts';
import { nextRoot, nextTimestamp, setKeys, topRoles } from './publishing.ts';

const keys = (names: string): readonly TestKey[] => [...names].map((name) => testKey(`TEST ${name}`));

interface RootVersion {
  /** Root keys by letter. */
  readonly keys: string;
  readonly threshold: number;
  readonly signers: string;
}

const root = (keysOfRoot: string, threshold: number, signers: string): RootVersion => ({
  keys: keysOfRoot,
  threshold,
  signers,
});

/** From the first root, which the device is given, to the last; `isTaken` tells whether the last one is. */
const chains: readonly (readonly [claim: string, isTaken: boolean, versions: readonly RootVersion[]])[] = [
  ['one key gives way to another', true, [root('a', 1, 'a'), root('b', 1, 'ab'), root('b', 1, 'b')]],
  ['signatures of strangers do no harm', true, [root('a', 1, 'xay'), root('b', 1, 'xbay'), root('b', 1, 'xby')]],
  [
    'any three of five will do',
    true,
    [root('abcde', 3, 'ace'), root('abcde', 3, 'aeb'), root('abcde', 3, 'abd'), root('abcde', 3, 'bcd')],
  ],
  ['one of five is replaced', true, [root('abcde', 3, 'ace'), root('abdef', 3, 'aeb')]],
  [
    'one of five is replaced, signed by three of each set',
    true,
    [root('abcde', 3, 'ace'), root('abdef', 3, 'acef'), root('abdef', 3, 'aef')],
  ],
  [
    'all five are replaced, signed by three of each set',
    true,
    [root('abcde', 3, 'ace'), root('fghij', 3, 'acefgh'), root('fghij', 3, 'fgh')],
  ],
  ['the threshold rises', true, [root('abc', 1, 'a'), root('abc', 2, 'ab')]],
  ['the threshold rises with the number of keys', true, [root('a', 1, 'a'), root('ab', 2, 'ab')]],
  ['the threshold falls', true, [root('abc', 2, 'ab'), root('abc', 1, 'ab'), root('abc', 1, 'a')]],
  ['the old key has not signed', false, [root('a', 1, 'a'), root('b', 1, 'bxy')]],
  ['the new key has not signed', false, [root('a', 1, 'a'), root('b', 1, 'axy')]],
  ['too few of the new keys have signed', false, [root('abcde', 3, 'ace'), root('abdef', 3, 'ace')]],
  ['too few of the old keys have signed', false, [root('abcde', 3, 'ace'), root('abdef', 3, 'aef')]],
  ['the risen threshold is not met', false, [root('abc', 1, 'a'), root('abc', 2, 'b')]],
  ['the threshold is lowered by fewer than it asked for', false, [root('abc', 2, 'ab'), root('abc', 1, 'a')]],
];

const goodSigners: readonly (readonly [claim: string, keys: string, threshold: number, signers: string])[] = [
  ['one key gives way to another', 'b', 1, 'b'],
  ['signatures of strangers do no harm', 'a', 1, 'xay'],
  ['three of five will do, first to last', 'abcde', 3, 'ace'],
  ['three of five will do, in any order', 'abcde', 3, 'cba'],
  ['three of five will do, the last ones', 'abcde', 3, 'cde'],
];

type RoleName = (typeof topRoles)[number];

const badSigners: readonly (readonly [RoleName, claim: string, keys: string, threshold: number, signers: string])[] = [
  ['timestamp', 'the new key has not signed', 'b', 1, 'axy'],
  ['snapshot', 'one of three signers is no longer trusted', 'abdef', 3, 'ace'],
  ['targets', 'two have signed where three must', 'abdef', 3, 'ae'],
  ['snapshot', 'there are fewer keys than the threshold', 'abcde', 6, 'abcde'],
];

describe('conformance: keys', { concurrency: 2 }, () => {
  for (const [claim, isTaken, versions] of chains) {
    test(`5.3.4: ${claim}: the root is ${isTaken ? 'taken' : 'refused'}`, async (t) => {
      const repository = aRepository(farAway);
      const roots = versions.map((version, index) => {
        repository.root = structuredClone(repository.root);
        repository.root.version = index + 1;
        setKeys(repository.root, 'root', keys(version.keys), version.threshold);
        return repository.writeRoot(keys(version.signers));
      });
      const bench = await aDevice(t, repository, roots[0]);
      assert.equal(await bench.refresh(), isTaken ? 0 : 1);
      const expected = roots.at(isTaken ? -1 : -2);
      assert.equal(await bench.stored('root.json'), Buffer.from(expected ?? []).toString());
    });
  }

  for (const [claim, names, threshold, signers] of goodSigners) {
    test(`5.4.2, 5.5.3, 5.6.3: ${claim}: all three roles are taken`, async (t) => {
      const bench = await aSettledDevice(t);
      nextRoot(bench.repository, (next) => {
        for (const role of topRoles) {
          setKeys(next, role, keys(names), threshold);
        }
      });
      for (const role of topRoles) {
        bench.repository.signers[role] = keys(signers);
      }
      bench.repository.publish();
      assert.equal(await bench.refresh(), 0);
      assert.deepEqual(await bench.trusted(), { root: 2, timestamp: 2, snapshot: 2, targets: 2 });
    });
  }

  for (const [role, claim, names, threshold, signers] of badSigners) {
    test(`${claim}: the ${role} is refused`, async (t) => {
      const bench = await aSettledDevice(t);
      nextRoot(bench.repository, (next) => setKeys(next, role, keys(names), threshold));
      bench.repository.signers[role] = keys(signers);
      bench.repository.publish();
      assert.equal(await bench.refresh(), 1);
      assert.notEqual((await bench.trusted())[role], 2);
    });
  }

  test('4.2: one key listed nine times with its signature nine times is no threshold of six', async (t) => {
    const bench = await aSettledDevice(t);
    const { repository } = bench;
    const [key] = keys('a');
    assert.ok(key !== undefined);
    nextRoot(repository, (next) => setKeys(next, 'snapshot', Array(9).fill(key), 6));
    repository.signers.snapshot = Array(9).fill(key);
    repository.publish();
    assert.equal(await bench.refresh(), 1);
    assert.notEqual((await bench.trusted()).snapshot, 2);
    // One signature alone: the key ids are as many as before.
    repository.signers.snapshot = [key];
    repository.publish();
    assert.equal(await bench.refresh(), 1);
    assert.notEqual((await bench.trusted()).snapshot, 3);
  });

  test('4.2: a second signature under one key id spoils a file that is signed well enough', async (t) => {
    const bench = await aSettledDevice(t);
    const { signers } = bench.repository;
    signers.snapshot = [...signers.snapshot, ...signers.snapshot];
    bench.repository.publish();
    assert.equal(await bench.refresh(), 1);
    assert.equal((await bench.trusted()).snapshot, 1);
  });

  for (const [kind, makeKey] of [
    ['ECDSA', anEcdsaKey],
    ['RSA', anRsaKey],
    ['Ed25519', () => testKey('TEST added')],
  ] as const) {
    test(`4.2: a root that needs an ${kind} key is taken, and refused when that signature is of something else`, async (t) => {
      const bench = await aSettledDevice(t);
      const { repository } = bench;
      const added = makeKey();
      const signers = [...repository.signers.root, added];
      nextRoot(repository, (next) => setKeys(next, 'root', signers, 3), signers);
      assert.equal(await bench.refresh(), 0);
      assert.equal((await bench.trusted()).root, 2);

      const lying = { ...added, sign: (bytes: Uint8Array) => added.sign(Buffer.concat([bytes, Buffer.from(' ')])) };
      nextRoot(repository, undefined, [...repository.signers.root, lying]);
      assert.equal(await bench.refresh(), 1);
      assert.equal((await bench.trusted()).root, 2);
    });
  }

  test('signatures that are wrong, empty or nonsense do no harm beside a threshold of good ones', async (t) => {
    const bench = await aSettledDevice(t);
    const { repository } = bench;
    const second = testKey('TEST second');
    const both = [...repository.signers.timestamp, second];
    nextRoot(repository, (next) => setKeys(next, 'timestamp', both, 1));
    for (const sig of ['00'.repeat(64), '', 'nonsense']) {
      nextTimestamp(repository);
      const signers = [{ ...testKey('timestamp'), sign: () => sig }, second];
      repository.files.set('metadata/timestamp.json', signFile(repository.timestamp, signers));
      assert.equal(await bench.refresh(), 0, sig);
      assert.equal((await bench.trusted()).timestamp, repository.timestamp.version);
    }
  });
});
