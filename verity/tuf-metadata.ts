// The forms of TUF 1.0 metadata (specification, section 4) and nothing about trust: parsing a file here says only that it
// is well formed. Members that the specification does not name are tolerated and take part in the signature, because the
// signed bytes are the canonical form of the raw parse.

import { createHash } from 'node:crypto';
import * as z from 'zod';
import { OtadError } from '../agent/core/errors.ts';
import { encodeCanonicalJson, type JsonValue, parseStrictJson } from './canonical-json.ts';
import { digestHexDigits } from './listed-digests.ts';

export type TopLevelRole = 'root' | 'timestamp' | 'snapshot' | 'targets';
export const topLevelRoles: readonly TopLevelRole[] = ['root', 'timestamp', 'snapshot', 'targets'];

/** Signed member of root.json that allows release documents a `floorEpoch` up to this; absent means 0. */
export const floorEpochMember = 'x-otad-floor-epoch';

const countMax = { keys: 64, keyIds: 32, signatures: 64, metaFiles: 1024, targets: 16_384, roles: 256, patterns: 1024 };
const fileLengthMax = Number.MAX_SAFE_INTEGER;

const hex = (digits: number): z.ZodString =>
  z.string().regex(new RegExp(`^[0-9a-f]{${digits}}$`), 'not lower-case hex');

const isRealTime = (text: string): boolean => {
  const timeMs = Date.parse(text);
  return Number.isFinite(timeMs) && `${new Date(timeMs).toISOString().slice(0, 19)}Z` === text;
};

const bounded = <T extends z.ZodType>(record: z.ZodRecord<z.ZodString, T>, max: number) =>
  record.refine((value) => Object.keys(value).length <= max, `more than ${max} members`);

const keyIdSchema = hex(64);
const versionSchema = z.int().min(1);
const dateTimeSchema = z
  .string()
  .regex(/^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$/, 'not a date-time')
  .refine(isRealTime, 'no such time');
const specVersionSchema = z.string().regex(/^1\.0(\.\d{1,4})?$/, 'not a TUF 1.0 specification version');

/** Loose: the key id is the digest of the whole key, members unknown to us included. */
const keySchema = z.looseObject({
  keytype: z.string().min(1).max(64),
  scheme: z.string().min(1).max(64),
  keyval: z.looseObject({ public: z.string().min(1).max(8192) }),
});
const keysSchema = bounded(z.record(keyIdSchema, keySchema), countMax.keys);

const roleSchema = z.object({
  keyids: z.array(keyIdSchema).max(countMax.keyIds),
  threshold: z.int().min(1).max(countMax.keyIds),
});

const hashesSchema = bounded(z.record(z.string().min(1).max(32), z.string().min(1).max(256)), 8).refine(
  (hashes) =>
    Object.entries(digestHexDigits).every(
      ([algorithm, digits]) => !Object.hasOwn(hashes, algorithm) || hex(digits).safeParse(hashes[algorithm]).success,
    ),
  'a digest is not one',
);
const metaFileSchema = z.object({
  version: versionSchema,
  length: z.int().min(1).max(fileLengthMax).optional(),
  hashes: hashesSchema.optional(),
});

const common = { spec_version: specVersionSchema, version: versionSchema, expires: dateTimeSchema };

const rootSchema = z.object({
  _type: z.literal('root'),
  ...common,
  /** 6.2: left out means no. */
  consistent_snapshot: z.boolean().default(false),
  keys: keysSchema,
  roles: z.object({ root: roleSchema, timestamp: roleSchema, snapshot: roleSchema, targets: roleSchema }),
  [floorEpochMember]: z.int().min(0).optional(),
});

const timestampSchema = z.object({
  _type: z.literal('timestamp'),
  ...common,
  meta: z.strictObject({ 'snapshot.json': metaFileSchema }),
});

const snapshotSchema = z.object({
  _type: z.literal('snapshot'),
  ...common,
  meta: bounded(z.record(z.string().min(6).max(512), metaFileSchema), countMax.metaFiles).refine(
    (meta) => Object.hasOwn(meta, 'targets.json'),
    'targets.json is not listed',
  ),
});

const targetFileSchema = z.object({
  length: z.int().min(0).max(fileLengthMax),
  hashes: hashesSchema.refine((hashes) => Object.keys(hashes).length > 0, 'no digest'),
  custom: z.looseObject({}).optional(),
});

/** Any name of the metadata as the name of a file in our own storage: no separator, no leading dot, whatever it is. */
export const storageName = (name: string): string =>
  encodeURIComponent(name).replace(/^\.|[!'()*~]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);

export const roleFileName = (role: string): string => `${storageName(role)}.json`;

const isFreeRoleName = (name: string): boolean => !topLevelRoles.some((role) => role === name);
const delegatedRoleSchema = roleSchema
  .extend({
    name: z
      .string()
      .min(1)
      .refine(isFreeRoleName, 'the name of a top-level role')
      .refine((name) => roleFileName(name).length <= 128, 'too long a name'),
    terminating: z.boolean().default(false),
    paths: z.array(z.string().min(1).max(512)).max(countMax.patterns).optional(),
    path_hash_prefixes: z
      .array(z.string().regex(/^[0-9a-f]{1,64}$/))
      .max(countMax.targets)
      .optional(),
  })
  .refine((role) => (role.paths === undefined) !== (role.path_hash_prefixes === undefined), {
    message: 'needs exactly one of paths and path_hash_prefixes',
  });
const delegationsSchema = z.object({
  keys: keysSchema,
  roles: z
    .array(delegatedRoleSchema)
    .max(countMax.roles)
    .refine((roles) => new Set(roles.map((role) => role.name)).size === roles.length, 'a role is named twice'),
});

const targetsSchema = z.object({
  _type: z.literal('targets'),
  ...common,
  targets: bounded(z.record(z.string().min(1).max(512), targetFileSchema), countMax.targets),
  delegations: delegationsSchema.optional(),
});

const signedSchemas = {
  root: rootSchema,
  timestamp: timestampSchema,
  snapshot: snapshotSchema,
  targets: targetsSchema,
};

const signaturesSchema = z
  .array(z.object({ keyid: keyIdSchema, sig: z.string().max(8192) }))
  .max(countMax.signatures)
  .refine((all) => new Set(all.map((one) => one.keyid)).size === all.length, 'a key id signs twice');
const envelopeSchema = z.object({ signatures: signaturesSchema, signed: z.looseObject({}) });

export type TufKey = z.output<typeof keySchema>;
export type TufKeys = Readonly<Record<string, TufKey>>;
export type TufRole = Readonly<z.output<typeof roleSchema>>;
export type DelegatedRole = Readonly<z.output<typeof delegatedRoleSchema>>;
export type Delegations = Readonly<z.output<typeof delegationsSchema>>;
export type MetaFile = Readonly<z.output<typeof metaFileSchema>>;
export type TargetFile = Readonly<z.output<typeof targetFileSchema>>;
export type RootMetadata = Readonly<z.output<typeof rootSchema>>;
export type TimestampMetadata = Readonly<z.output<typeof timestampSchema>>;
export type SnapshotMetadata = Readonly<z.output<typeof snapshotSchema>>;
export type TargetsMetadata = Readonly<z.output<typeof targetsSchema>>;

export interface MetadataOf {
  readonly root: RootMetadata;
  readonly timestamp: TimestampMetadata;
  readonly snapshot: SnapshotMetadata;
  readonly targets: TargetsMetadata;
}
export type AnyMetadata = MetadataOf[TopLevelRole];

export interface TufSignature {
  readonly keyid: string;
  /** Hex; empty or nonsense simply does not count. */
  readonly sig: string;
}

/** A parsed file: its signatures, the bytes they sign, and the signed part in its known form. Not yet believed. */
export interface MetadataFile<T extends AnyMetadata> {
  readonly signatures: readonly TufSignature[];
  readonly signedBytes: Uint8Array;
  readonly signed: T;
}

/** A record's own member: a path named `constructor` must not find Object's. */
export const ownMember = <T>(record: Readonly<Record<string, T>>, key: string): T | undefined =>
  Object.hasOwn(record, key) ? record[key] : undefined;

/** SHA-256 of the key's canonical form, hex (TUF 4.2). */
export const keyIdOf = (key: TufKey): string =>
  createHash('sha256')
    .update(encodeCanonicalJson(key as JsonValue))
    .digest('hex');

/** An Ed25519 public key (32 bytes) in its metadata form. */
export const ed25519Key = (publicKey: Uint8Array): TufKey => ({
  keytype: 'ed25519',
  scheme: 'ed25519',
  keyval: { public: Buffer.from(publicKey).toString('hex') },
});

/** Seconds since 1970 of a metadata date-time. */
export const timeOf = (dateTime: string): number => Date.parse(dateTime) / 1000;

/** A metadata date-time (whole seconds, UTC). */
export const dateTimeOf = (timeS: number): string => `${new Date(timeS * 1000).toISOString().slice(0, 19)}Z`;

const firstIssue = (error: z.ZodError): { readonly member: string; readonly reason: string } => {
  const issue = error.issues[0];
  return { member: issue?.path.join('.').slice(0, 128) ?? '', reason: issue?.message.slice(0, 128) ?? '' };
};

const checkKeyIds = (role: string, keys: TufKeys): void => {
  for (const [keyId, key] of Object.entries(keys)) {
    // TUF 4.3: the client calculates each key id, so that an id names one key everywhere.
    if (keyIdOf(key) !== keyId) {
      throw new OtadError('METADATA_MALFORMED', { role, reason: 'a key id is not the digest of its key', keyId });
    }
  }
};

/** Parses one metadata file of the given kind. `name` is for the reader of an error. Throws METADATA_MALFORMED. */
export const parseMetadata = <R extends TopLevelRole>(
  kind: R,
  bytes: Uint8Array,
  name: string = kind,
): MetadataFile<MetadataOf[R]> => {
  const envelope = envelopeSchema.safeParse(parseStrictJson(bytes));
  if (!envelope.success) {
    throw new OtadError('METADATA_MALFORMED', { role: name, ...firstIssue(envelope.error) });
  }
  const raw = envelope.data.signed as JsonValue;
  const signed = signedSchemas[kind].safeParse(raw);
  if (!signed.success) {
    throw new OtadError('METADATA_MALFORMED', { role: name, ...firstIssue(signed.error) });
  }
  const metadata: AnyMetadata = signed.data;
  if (metadata._type === 'root') {
    checkKeyIds(name, metadata.keys);
  } else if (metadata._type === 'targets' && metadata.delegations !== undefined) {
    checkKeyIds(name, metadata.delegations.keys);
  }
  return {
    signatures: envelope.data.signatures,
    signedBytes: encodeCanonicalJson(raw),
    signed: metadata as MetadataOf[R],
  };
};
