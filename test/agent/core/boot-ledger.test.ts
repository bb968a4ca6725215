import assert from 'node:assert/strict';
import { test } from 'node:test';
import { emptyLedger, noteConfirmed, noteSigned, signedAs, signedRelease } from '../../../agent/core/boot-ledger.ts';
import { aRecord, aRelease } from '../../support/builders.ts';

const set = 'ab'.repeat(32);
const other = 'cd'.repeat(32);
const signed = (sequence: number, bootSet: string | null) =>
  signedRelease(aRelease({ sequence }), bootSet) ?? assert.fail('no rootfs');
const rootHex = aRecord(2).verity.rootHex;

test('a record is a release only with the boot set that was signed with it', () => {
  const ledger = noteSigned(noteSigned(emptyLedger, signed(1, null)), signed(2, set));
  assert.equal(signedAs(ledger, aRecord(2, { bootSetSha256Hex: set }))?.sequence, 2);
  for (const record of [aRecord(2), aRecord(2, { bootSetSha256Hex: other }), aRecord(1, { bootSetSha256Hex: set })]) {
    assert.equal(signedAs(ledger, record), null);
  }
  assert.equal(signedAs(ledger, aRecord(1))?.sequence, 1);
});

test('which boot set ran with a root is known by metadata, whatever the record of the running slot says', () => {
  const ledger = noteSigned(emptyLedger, signed(2, set));
  const lying = noteConfirmed(ledger, rootHex, aRecord(2, { bootSetSha256Hex: other }));
  assert.deepEqual(lying.confirmed, [{ rootHex, sequence: 2, bootSetSha256Hex: set }]);
  const unknown = noteConfirmed(emptyLedger, rootHex, aRecord(2, { bootSetSha256Hex: other }));
  assert.deepEqual(unknown.confirmed, [{ rootHex, sequence: 2, bootSetSha256Hex: null }]);
});

test('two releases of one image are told apart by their boot sets, and what was known is kept', () => {
  const twin = { ...signed(2, other), id: 'twin', version: '1.1-k2' };
  const ledger = noteSigned(noteSigned(emptyLedger, signed(2, set)), twin);
  const first = noteConfirmed(ledger, rootHex, aRecord(2, { bootSetSha256Hex: set }));
  assert.equal(first.confirmed[0]?.bootSetSha256Hex, set);
  const later = noteConfirmed({ ...first, signed: [] }, rootHex, aRecord(2, { bootSetSha256Hex: other }));
  assert.equal(later, noteConfirmed(later, rootHex, null));
  assert.equal(later.confirmed[0]?.bootSetSha256Hex, set);
});
