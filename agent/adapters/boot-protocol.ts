// The words between otad and its boot helper, as bytes: one line of JSON each way, then the connection ends. Strict and
// bounded in both directions. It carries facts and refusals; it decides nothing.

import * as z from 'zod';
import { type CarriedFile, carriedFilesMax } from '../../verity/carried-metadata.ts';
import { type BootFile, bootFileBytesMax, bootNamePattern } from '../core/boot-set.ts';
import { type ErrorCode, type ErrorDetails, errorCodes, OtadError } from '../core/errors.ts';
import type { BootInspection } from '../core/ports.ts';
import type { BootStatus, VerityParameters } from '../core/types.ts';

/** Signed metadata (3 MiB at its own limits, base64) with room for a chain of roots. */
export const requestBytesMax = 8 * 1024 * 1024;
export const answerBytesMax = 1024 * 1024;

const textMax = 8192;
const listMax = 1024;
const text = z.string().max(textMax);
const whole = z.int();
const slot = z.enum(['a', 'b']);
const perSlot = <T extends z.ZodType>(item: T) => z.strictObject({ a: item, b: item });
const sha256Hex = z.string().regex(/^[0-9a-f]{64}$/);

const verity: z.ZodType<VerityParameters> = z.strictObject({
  algorithm: z.literal('sha256'),
  blockSizeBytes: z.literal(4096),
  saltHex: z.string().regex(/^(?:[0-9a-f]{2}){0,256}$/),
  rootHex: sha256Hex,
  hashOffsetBytes: z.int().min(0),
});

/** Pairs, not members of an object: a name is never a key. */
const metadata = z
  .array(z.tuple([z.string().regex(/^[A-Za-z0-9%_-][A-Za-z0-9%._-]{0,250}$/), z.base64()]))
  .max(carriedFilesMax);

const bootFile: z.ZodType<BootFile> = z.strictObject({
  name: z.string().regex(bootNamePattern),
  lengthBytes: z.int().min(1).max(bootFileBytesMax),
  sha256Hex,
});

const requestSchema = z.discriminatedUnion('verb', [
  z.strictObject({ verb: z.literal('status') }),
  z.strictObject({ verb: z.literal('inspect') }),
  z.strictObject({ verb: z.literal('invalidate'), slot, metadata }),
  z.strictObject({ verb: z.literal('activate'), slot, tries: z.int().min(1).max(9), verity, metadata }),
  z.strictObject({ verb: z.literal('markGood'), slot }),
  z.strictObject({ verb: z.literal('markBad'), slot }),
  z.strictObject({ verb: z.literal('prepareReboot') }),
  z.strictObject({ verb: z.literal('reboot'), slot }),
  z.strictObject({
    verb: z.literal('bootFile'),
    slot,
    file: bootFile,
    offsetBytes: z.int().min(0).max(bootFileBytesMax),
  }),
]);

export type BootRequest = z.output<typeof requestSchema>;
export type BootVerb = BootRequest['verb'];
/** Metadata as it goes over the wire. */
export type WireMetadata = z.output<typeof metadata>;

export const toWire = (files: readonly CarriedFile[]): WireMetadata =>
  files.map(({ name, bytes }) => [name, Buffer.from(bytes).toString('base64')]);

export const fromWire = (files: WireMetadata): readonly CarriedFile[] =>
  files.map(([name, base64]) => ({ name, bytes: Buffer.from(base64, 'base64') }));

const status: z.ZodType<BootStatus> = z.strictObject({
  booted: slot,
  primary: slot,
  slots: perSlot(z.strictObject({ state: z.enum(['good', 'pending', 'bad']), triesLeft: whole.nullable() })),
  bootedRoot: text.nullable(),
  roots: z.exactOptional(perSlot(text.nullable())),
  witnesses: z.exactOptional(
    z
      .array(
        z.strictObject({
          name: z.enum(['kernel command line', 'root device', 'device tree']),
          says: text,
          slot: slot.nullable(),
        }),
      )
      .max(listMax),
  ),
  evidence: z.array(text).max(listMax),
});

const errorCode = z.enum(Object.keys(errorCodes) as [ErrorCode, ...ErrorCode[]]);
const errorClass = z.enum(['transient', 'source', 'release', 'device', 'config', 'policy', 'request', 'bug']);

const place = z.strictObject({
  device: text.nullable(),
  disk: text.nullable(),
  label: text.nullable(),
  uuid: text.nullable(),
  sizeBytes: z.number().min(0),
});

const inspection: z.ZodType<BootInspection> = z.strictObject({
  bootloader: z.enum(['uboot', 'systemd-boot', 'tryboot']),
  foundBy: text,
  status: status.nullable(),
  slots: perSlot(place),
  problems: z
    .array(
      z.strictObject({ code: errorCode, class: errorClass, message: text, retryAfterS: z.exactOptional(z.number()) }),
    )
    .max(listMax),
  records: z.array(z.strictObject({ name: text, value: text })).max(listMax),
});

const nothing = z.null();

const valueSchemas = {
  status,
  inspect: inspection,
  invalidate: nothing,
  activate: nothing,
  markGood: nothing,
  markBad: nothing,
  prepareReboot: nothing,
  reboot: nothing,
  bootFile: z.base64().nullable(),
} as const satisfies Record<BootVerb, z.ZodType>;

/** What each verb gives when it is done. */
export type BootValue = { readonly [V in BootVerb]: z.output<(typeof valueSchemas)[V]> };

const details: z.ZodType<ErrorDetails> = z.record(
  z.string().max(128),
  z.union([text, z.number(), z.boolean(), z.null()]),
);
const answerSchema = z.discriminatedUnion('ok', [
  z.strictObject({ ok: z.literal(true), value: z.unknown() }),
  z.strictObject({ ok: z.literal(false), code: errorCode, details }),
]);

const malformed = (what: string, reason: string): OtadError => new OtadError('BAD_REQUEST', { what, reason });

const parseLine = (line: Uint8Array, what: string): unknown => {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(line));
  } catch {
    throw malformed(what, 'not a line of JSON');
  }
};

const issueOf = ({ issues: [issue] }: z.ZodError): string =>
  `${issue?.path.join('.') ?? ''}: ${issue?.message ?? ''}`.slice(0, 256);

/** Throws BAD_REQUEST. */
export const parseRequest = (line: Uint8Array): BootRequest => {
  const parsed = requestSchema.safeParse(parseLine(line, 'request'));
  if (!parsed.success) throw malformed('request', issueOf(parsed.error));
  return parsed.data;
};

export const encodeRequest = (request: BootRequest): string => `${JSON.stringify(request)}\n`;

export const encodeValue = (value: unknown): string => `${JSON.stringify({ ok: true, value })}\n`;

/** What the helper has to say may hold more than the other side takes: cut, never left out. */
export const encodeRefusal = (error: unknown): string => {
  const known = error instanceof OtadError ? error : new OtadError('INTERNAL', { reason: String(error) });
  const facts = Object.entries(known.details)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => [key, typeof value === 'string' ? value.slice(0, textMax) : value]);
  return `${JSON.stringify({ ok: false, code: known.code, details: Object.fromEntries(facts) })}\n`;
};

/** The value, or throws the helper's refusal as it was thrown there; BAD_REQUEST where the answer is no answer. */
export const parseAnswer = <V extends BootVerb>(verb: V, line: Uint8Array): BootValue[V] => {
  const parsed = answerSchema.safeParse(parseLine(line, 'answer'));
  if (!parsed.success) throw malformed('answer', issueOf(parsed.error));
  if (!parsed.data.ok) throw new OtadError(parsed.data.code, parsed.data.details);
  const value = valueSchemas[verb].safeParse(parsed.data.value);
  if (!value.success) throw malformed('answer', issueOf(value.error));
  return value.data as BootValue[V];
};
