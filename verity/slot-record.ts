// What a slot says of itself, as bytes: one 4096-byte block with magic, serial and a SHA-256 over all of it. It is a
// statement about damage, not about origin: nothing here is signed, and whoever reads it checks the slot's bytes again.

import { createHash } from 'node:crypto';
import * as z from 'zod';
import { OtadError } from '../agent/core/errors.ts';
import { blockSizeBytes, ceilToBlock, recordAreaBytes, recordReasonCharsMax } from '../agent/core/slot-layout.ts';
import type { SlotRecord } from '../agent/core/types.ts';
import { saltBytesMax } from './dm-verity.ts';

// Layout, little-endian: magic 8, version 4, payload length 4, serial 8, SHA-256 32 (over the block with this field zero),
// payload (JSON, UTF-8), zeros.
const magic = 'OTADSLOT';
const formatVersion = 1;
const versionOffset = 8;
const lengthOffset = 12;
const serialOffset = 16;
const digestOffset = 24;
const payloadOffset = 56;
const payloadBytesMax = blockSizeBytes - payloadOffset;

const nameCharsMax = 128;
const name = z.string().min(1).max(nameCharsMax);
const sha256Hex = z.string().regex(/^[0-9a-f]{64}$/);
const count = z.int().min(0);

const recordSchema: z.ZodType<SlotRecord> = z
  .strictObject({
    status: z.enum(['writing', 'verified', 'activated', 'denied']),
    release: z.strictObject({ id: name, version: name, sequence: count }),
    compatible: name,
    imageLengthBytes: z.int().min(1),
    imageSha256Hex: sha256Hex,
    verity: z.strictObject({
      algorithm: z.literal('sha256'),
      blockSizeBytes: z.literal(blockSizeBytes),
      saltHex: z
        .string()
        .max(2 * saltBytesMax)
        .regex(/^(?:[0-9a-f]{2})*$/),
      rootHex: sha256Hex,
      hashOffsetBytes: count,
    }),
    writtenBytes: count,
    prefixSha256Hex: sha256Hex,
    bootSetSha256Hex: sha256Hex.exactOptional(),
    isFullOnly: z.literal(true).exactOptional(),
    reason: z.string().max(recordReasonCharsMax).nullable(),
  })
  .refine((record) => record.writtenBytes <= record.imageLengthBytes, 'more written than the image has')
  .refine(
    (record) => record.verity.hashOffsetBytes === ceilToBlock(record.imageLengthBytes),
    'tree not after the image',
  );

const digestOf = (block: Buffer): Buffer => {
  const copy = Buffer.from(block);
  copy.fill(0, digestOffset, payloadOffset);
  return createHash('sha256').update(copy).digest();
};

/** One block, for the place that slot-layout.ts gives for `serial`. */
export const encodeRecord = (record: SlotRecord, serial: number): Uint8Array => {
  const parsed = recordSchema.safeParse(record);
  if (!parsed.success) throw new OtadError('INTERNAL', { step: 'slot record', reason: z.prettifyError(parsed.error) });
  if (!Number.isSafeInteger(serial) || serial < 0) throw new OtadError('INTERNAL', { step: 'slot record', serial });
  const payload = Buffer.from(JSON.stringify(parsed.data), 'utf8');
  if (payload.length > payloadBytesMax) {
    throw new OtadError('INTERNAL', { step: 'slot record', lengthBytes: payload.length, payloadBytesMax });
  }
  const block = Buffer.alloc(blockSizeBytes);
  block.write(magic, 0, 'latin1');
  block.writeUInt32LE(formatVersion, versionOffset);
  block.writeUInt32LE(payload.length, lengthOffset);
  block.writeBigUInt64LE(BigInt(serial), serialOffset);
  block.set(payload, payloadOffset);
  block.set(digestOf(block), digestOffset);
  return block;
};

interface Copy {
  readonly record: SlotRecord;
  readonly serial: number;
}

const parsePayload = (payload: Buffer): unknown => {
  try {
    return JSON.parse(payload.toString('utf8'));
  } catch {
    return undefined; // whole by its digest but not ours: as good as none
  }
};

/** The copy in this block, or null where there is none, or not a whole one, or one that belongs to the other place. */
const decodeCopy = (block: Buffer, place: number): Copy | null => {
  if (block.toString('latin1', 0, versionOffset) !== magic) return null;
  if (block.readUInt32LE(versionOffset) !== formatVersion) return null;
  if (!digestOf(block).equals(block.subarray(digestOffset, payloadOffset))) return null;
  const length = block.readUInt32LE(lengthOffset);
  const serial = Number(block.readBigUInt64LE(serialOffset));
  if (length > payloadBytesMax || !Number.isSafeInteger(serial) || serial % 2 !== place) return null;
  const parsed = recordSchema.safeParse(parsePayload(block.subarray(payloadOffset, payloadOffset + length)));
  return parsed.success ? { record: parsed.data, serial } : null;
};

/** The newest whole copy in the slot's last two blocks, or null. */
export const decodeRecord = (lastTwoBlocks: Uint8Array): Copy | null => {
  if (lastTwoBlocks.length !== recordAreaBytes) {
    throw new OtadError('INTERNAL', { step: 'slot record', lengthBytes: lastTwoBlocks.length });
  }
  const bytes = Buffer.from(lastTwoBlocks.buffer, lastTwoBlocks.byteOffset, lastTwoBlocks.byteLength);
  const even = decodeCopy(bytes.subarray(0, blockSizeBytes), 0);
  const odd = decodeCopy(bytes.subarray(blockSizeBytes), 1);
  if (even === null || odd === null) return even ?? odd;
  return even.serial > odd.serial ? even : odd;
};
