// What otad means to do with the slots, beside what the firmware remembers: tries, roots, and how far a trial has come.
// Kept twice; a torn or rotten copy falls to the other. It never decides what boots: autoboot.txt and what runs win.

import { createHash } from 'node:crypto';
import * as z from 'zod';
import type { SlotName } from '../../agent/core/types.ts';
import { type BootModel, triesMax } from '../model.ts';

/** A reboot that was asked for on behalf of a slot, its try already taken. */
export interface Arming {
  readonly slot: SlotName;
  /** The boot that it was asked for in, then the one in which the slot ran. */
  readonly bootId: string;
  /** armed: nothing seen of it yet. ran: its system came up far enough to leave this mark. */
  readonly state: 'armed' | 'ran';
}

export interface Intent {
  readonly sequence: number;
  /** The slot that autoboot.txt started by default when this was written. Another one there: it was changed since. */
  readonly default: SlotName;
  readonly model: BootModel;
  readonly armed: Arming | null;
  /** The boot in which a default that did not start was counted, or in which this was written. */
  readonly seenBootId: string;
  /** How the last trial ended without a word from its system. */
  readonly outcome: { readonly slot: SlotName; readonly kind: 'no-trace' | 'fell-back' } | null;
}

/** Far more than an intent takes. */
export const intentBytesMax = 4096;

const slotSchema = z.enum(['a', 'b']);
const bootIdSchema = z.string().max(64);
const slotModelSchema = z.strictObject({
  triesLeft: z.int().min(0).max(triesMax),
  isTrial: z.boolean(),
  verity: z
    .strictObject({ rootHex: z.string().regex(/^[0-9a-f]{64}$/), hashOffsetBytes: z.int().min(0).nullable() })
    .nullable(),
});
const intentSchema = z.strictObject({
  schema: z.literal(1),
  sequence: z.int().min(0),
  default: slotSchema,
  model: z.strictObject({
    order: z
      .array(slotSchema)
      .max(2)
      .refine((order) => new Set(order).size === order.length, 'a slot is named twice'),
    slots: z.strictObject({ a: slotModelSchema, b: slotModelSchema }),
  }),
  armed: z.strictObject({ slot: slotSchema, bootId: bootIdSchema, state: z.enum(['armed', 'ran']) }).nullable(),
  seenBootId: bootIdSchema,
  outcome: z.strictObject({ slot: slotSchema, kind: z.enum(['no-trace', 'fell-back']) }).nullable(),
});

const digestOf = (body: string): string => createHash('sha256').update(body).digest('hex');

/** One line of JSON and one with its SHA-256. */
export const encodeIntent = (intent: Intent): Uint8Array => {
  const body = JSON.stringify({ schema: 1, ...intent });
  return Buffer.from(`${body}\n${digestOf(body)}\n`);
};

/** null: not an intent, or not whole. */
export const decodeIntent = (bytes: Uint8Array): Intent | null => {
  if (bytes.length > intentBytesMax) return null;
  const [body = '', digest, end, ...rest] = Buffer.from(bytes).toString('utf8').split('\n');
  if (digest !== digestOf(body) || end !== '' || rest.length > 0) return null;
  try {
    const { schema: _, ...intent } = intentSchema.parse(JSON.parse(body));
    return intent;
  } catch {
    return null;
  }
};

/** The copy written last. */
export const newestIntent = (copies: readonly (Intent | null)[]): Intent | null =>
  copies.reduce(
    (best, copy) => (copy !== null && (best === null || copy.sequence > best.sequence) ? copy : best),
    null,
  );

/** The same apart from its number. */
export const isSameIntent = (one: Intent, other: Intent): boolean =>
  JSON.stringify({ ...one, sequence: 0 }) === JSON.stringify({ ...other, sequence: 0 });
