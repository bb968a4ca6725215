// The slot record: a block that is not whole is no record, and a whole one says what its payload says.

import { createHash } from 'node:crypto';
import { blockSizeBytes, recordAreaBytes } from '../../../agent/core/slot-layout.ts';
import { decodeRecord, encodeRecord } from '../../../verity/slot-record.ts';
import { aRecord, aRelease } from '../../agent/api/fake-agent.ts';
import { attempt, Finding, type FuzzTarget, type Judge, mustEqual } from '../target.ts';

const digestOffset = 24;
const payloadOffset = 56;

type Decode = typeof decodeRecord;

/** Length, digest and payload of the block that was believed, by the layout alone. */
const payloadOf = (block: Buffer): string =>
  JSON.stringify(JSON.parse(block.toString('utf8', payloadOffset, payloadOffset + block.readUInt32LE(12))));

const isWhole = (block: Buffer): boolean => {
  const copy = Buffer.from(block);
  copy.fill(0, digestOffset, payloadOffset);
  return createHash('sha256').update(copy).digest().equals(block.subarray(digestOffset, payloadOffset));
};

const judgeBy =
  (decode: Decode): Judge =>
  (input) => {
    const { value: copy, label } = attempt(['INTERNAL'], () => decode(input));
    if (label !== null) {
      if (input.length === recordAreaBytes) throw new Finding(`an area of the right length gave ${label}`);
      return 'wrong length';
    }
    if (copy === null) return 'none';
    const at = (copy.serial % 2) * blockSizeBytes;
    const block = Buffer.from(input.subarray(at, at + blockSizeBytes));
    if (!isWhole(block)) throw new Finding('believed a block that is not whole');
    const encoded = encodeRecord(copy.record, copy.serial);
    mustEqual(
      'another record than the block holds',
      payloadOf(Buffer.from(encoded)),
      payloadOf(Buffer.from(encodeRecord(JSON.parse(payloadOf(block)), copy.serial))),
    );
    const area = Buffer.alloc(recordAreaBytes);
    area.set(encoded, at);
    mustEqual('does not encode back to itself', JSON.stringify(decode(area)), JSON.stringify(copy));
    return `accepted ${copy.record.status}`;
  };

const seed = (serial: number, status: 'writing' | 'verified' | 'denied'): Uint8Array => {
  const area = Buffer.alloc(recordAreaBytes);
  for (const each of [serial, serial + 1]) {
    area.set(
      encodeRecord(aRecord(aRelease(`1.${each}`, each), { status, reason: 'it hung' }), each),
      (each % 2) * blockSizeBytes,
    );
  }
  return area;
};

export const slotRecordTarget = (): FuzzTarget => ({
  name: 'slot-record',
  seeds: [seed(1, 'verified'), seed(8, 'writing'), seed(255, 'denied'), new Uint8Array(recordAreaBytes)],
  dictionary: ['OTADSLOT', 'writing', 'verified', 'activated', 'denied', 'writtenBytes', 'imageLengthBytes', 'null'],
  mend: (input, random) => {
    const area = Buffer.alloc(recordAreaBytes);
    area.set(input.subarray(0, recordAreaBytes));
    for (const at of [0, blockSizeBytes]) {
      const block = area.subarray(at, at + blockSizeBytes);
      const end = block.indexOf(0, payloadOffset);
      if (random.below(4) > 0) block.writeUInt32LE((end < 0 ? block.length : end) - payloadOffset, 12);
      block.fill(0, digestOffset, payloadOffset);
      block.set(createHash('sha256').update(block).digest(), digestOffset);
    }
    return area;
  },
  judge: judgeBy(decodeRecord),
  canary: {
    bug: 'the digest is not looked at',
    judge: judgeBy((area) => {
      if (area.length !== recordAreaBytes) return decodeRecord(area);
      const mended = Buffer.from(area);
      for (const at of [0, blockSizeBytes]) {
        const block = mended.subarray(at, at + blockSizeBytes);
        block.fill(0, digestOffset, payloadOffset);
        block.set(createHash('sha256').update(block).digest(), digestOffset);
      }
      return decodeRecord(mended);
    }),
  },
});
