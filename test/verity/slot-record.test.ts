import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OtadError } from '../../agent/core/errors.ts';
import type { SlotRecord } from '../../agent/core/types.ts';
import { createSealing } from '../../verity/sealing.ts';
import { decodeRecord, encodeRecord } from '../../verity/slot-record.ts';
import { noise } from '../support/noise.ts';

const aRecord = (over: Partial<SlotRecord> = {}): SlotRecord => ({
  status: 'writing',
  release: { id: 'gw-1.1', version: '1.1', sequence: 11 },
  compatible: 'acme-gw',
  imageLengthBytes: 8192,
  imageSha256Hex: 'ab'.repeat(32),
  verity: {
    algorithm: 'sha256',
    blockSizeBytes: 4096,
    saltHex: '00ff',
    rootHex: 'cd'.repeat(32),
    hashOffsetBytes: 8192,
  },
  writtenBytes: 4096,
  prefixSha256Hex: 'ef'.repeat(32),
  reason: null,
  ...over,
});

/** Both copies as they stand in the slot, each written at its serial's place. */
const area = (...copies: readonly (readonly [SlotRecord, number])[]): Buffer => {
  const bytes = Buffer.alloc(8192);
  for (const [record, serial] of copies) bytes.set(encodeRecord(record, serial), (serial % 2) * 4096);
  return bytes;
};

const isInternal = (error: unknown) => error instanceof OtadError && error.code === 'INTERNAL';

test('a record survives the round trip', () => {
  for (const status of ['writing', 'verified', 'activated', 'denied'] as const) {
    const record = aRecord({ status, reason: status === 'denied' ? 'it "failed"\n – twice' : null });
    assert.deepEqual(decodeRecord(area([record, 7])), { record, serial: 7 });
  }
});

test('the copy with the higher serial wins, in either place', () => {
  const older = aRecord();
  const newer = aRecord({ status: 'verified', writtenBytes: 8192 });
  assert.equal(decodeRecord(area([older, 6], [newer, 7]))?.record.status, 'verified');
  assert.equal(decodeRecord(area([older, 7], [newer, 8]))?.record.status, 'verified');
});

test('a copy torn at any sector leaves the other one', () => {
  const older = area([aRecord(), 8]);
  const newer = encodeRecord(aRecord({ status: 'verified' }), 9);
  for (let sectors = 0; sectors < 8; sectors += 1) {
    const torn = Buffer.from(older);
    torn.set(noise(4096), 4096); // what stood there before
    torn.set(newer.subarray(0, sectors * 512), 4096);
    assert.deepEqual(decodeRecord(torn), { record: aRecord(), serial: 8 }, `${sectors} of 8 sectors written`);
  }
});

test('one flipped bit anywhere in the only copy makes it none', () => {
  const good = area([aRecord(), 3]);
  for (let offset = 4096; offset < 8192; offset += 1) {
    const bad = Buffer.from(good);
    bad.writeUInt8(bad.readUInt8(offset) ^ (1 << (offset % 8)), offset);
    assert.equal(decodeRecord(bad), null, `byte ${offset}`);
  }
});

test('zeros, noise and a copy in the wrong place are no record', () => {
  assert.equal(decodeRecord(Buffer.alloc(8192)), null);
  assert.equal(decodeRecord(Buffer.alloc(8192, 0xff)), null);
  assert.equal(decodeRecord(noise(8192)), null);
  const misplaced = Buffer.alloc(8192);
  misplaced.set(encodeRecord(aRecord(), 4), 4096);
  assert.equal(decodeRecord(misplaced), null);
});

test('refuses to encode what it would not decode', () => {
  const bad: readonly Partial<SlotRecord>[] = [
    { writtenBytes: 8193 },
    { writtenBytes: -1 },
    { imageSha256Hex: 'AB'.repeat(32) },
    { reason: 'x'.repeat(513) },
    { compatible: '' },
    { verity: { ...aRecord().verity, hashOffsetBytes: 4096 } },
    { verity: { ...aRecord().verity, saltHex: '00'.repeat(257) } },
  ];
  for (const over of bad) assert.throws(() => encodeRecord(aRecord(over), 1), isInternal, JSON.stringify(over));
  assert.throws(() => encodeRecord({ ...aRecord(), extra: 1 } as SlotRecord, 1), isInternal);
  for (const serial of [-1, 0.5, 2 ** 53]) assert.throws(() => encodeRecord(aRecord(), serial), isInternal);
});

test('the longest names, salt and reason fit into the block', () => {
  const long = '\u{10ffff}'.repeat(64);
  const record = aRecord({
    release: { id: long, version: long, sequence: Number.MAX_SAFE_INTEGER },
    compatible: long,
    verity: { ...aRecord().verity, saltHex: 'ff'.repeat(256) },
    status: 'denied',
    reason: '\uffee'.repeat(512),
  });
  assert.deepEqual(decodeRecord(area([record, 2]))?.record, record);
});

test('a digest asked for in the middle does not end the hash', () => {
  const hasher = createSealing().createHasher();
  hasher.update(Buffer.from('abc'));
  assert.equal(hasher.digestHex(), 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
  hasher.update(Buffer.from('dbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq').subarray(1));
  const whole = createSealing().createHasher();
  whole.update(Buffer.from('abcbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq'));
  assert.equal(hasher.digestHex(), whole.digestHex());
});
