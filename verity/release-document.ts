// The release document: the target `channels/<channel>/<compatible>.json` that names a release and its artifacts. Strict:
// a member this agent does not know makes the document unusable rather than half understood. Parsing gives no trust;
// only the verifier brands a Release as verified.

import * as z from 'zod';
import { bootFilesMax, bootSetFault } from '../agent/core/boot-set.ts';
import { OtadError } from '../agent/core/errors.ts';
import type { Release } from '../agent/core/types.ts';
import { encodeCanonicalJson, type JsonValue, parseStrictJson } from './canonical-json.ts';

/** A document beyond this is refused before it is fetched. */
export const releaseDocumentBytesMax = 64 * 1024;

const verityBlockBytes = 4096;
/** Year 9999: the last second that metadata can name. */
const timeMaxS = 253_402_300_799;
/** 2^43, 8 TiB: leaves every later sum of lengths an exact integer. */
const artifactBytesMax = 2 ** 43;

/** The file name of a target gets a digest and a dot in front, and file systems end at 255 bytes. */
const targetPathPattern =
  /^(?=.{1,255}$)(?:[A-Za-z0-9][A-Za-z0-9._+~-]{0,63}\/){0,8}[A-Za-z0-9][A-Za-z0-9._+~-]{0,159}$/;

const nameSchema = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._,-]{0,63}$/, 'not a name');
const versionSchema = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9.~^_+-]{0,63}$/, 'not a version');
const countSchema = z.int().min(0);
const timeSchema = z.int().min(0).max(timeMaxS);
const digestSchema = z.string().regex(/^[0-9a-f]{64}$/, 'not a SHA-256 digest in lower-case hex');

const veritySchema = z.strictObject({
  algorithm: z.literal('sha256'),
  blockSizeBytes: z.literal(verityBlockBytes),
  saltHex: z.string().regex(/^(?:[0-9a-f]{2}){0,256}$/, 'not a salt of at most 256 bytes in lower-case hex'),
  rootHex: digestSchema,
  hashOffsetBytes: z.int().min(verityBlockBytes).multipleOf(verityBlockBytes),
});

/** Far above any chunk index that is of use; the device has a bound of its own. */
const indexBytesMax = 2 ** 26;

const fileSchema = (lengthBytesMax: number) =>
  z.strictObject({
    path: z.string().regex(targetPathPattern, 'not a target path'),
    lengthBytes: z.int().min(1).max(lengthBytesMax),
    sha256Hex: digestSchema,
  });

/** Of one image: the releases that are really out there are few. */
export const artifactPatchesMax = 16;
/** A larger one would save little over the index. */
export const patchBytesMax = 32 * 1024 * 1024;

/** What a gateway reads of a patch before anything else. */
const patchHeadBytesMax = 2 ** 23;

const patchSchema = fileSchema(patchBytesMax)
  .extend({
    headLengthBytes: z.int().min(1).max(patchHeadBytesMax),
    headSha256Hex: digestSchema,
    baseSha256Hex: digestSchema,
    baseRootHex: digestSchema,
  })
  .refine((patch) => patch.headLengthBytes <= patch.lengthBytes, 'a head that is longer than its patch');

const patchesSchema = z
  .array(patchSchema)
  .min(1)
  .max(artifactPatchesMax)
  .refine((all) => new Set(all.map((patch) => patch.baseSha256Hex)).size === all.length, 'two patches from one image');

const artifactSchema = z
  .strictObject({
    role: z.enum(['rootfs', 'boot', 'uki', 'app']),
    path: z.string().regex(targetPathPattern, 'not a target path'),
    lengthBytes: z.int().min(1).max(artifactBytesMax),
    sha256Hex: digestSchema,
    verity: veritySchema.nullable(),
    name: z.string().max(128).exactOptional(),
    index: fileSchema(indexBytesMax).nullable(),
    patches: patchesSchema.optional(),
  })
  .refine((artifact) => (artifact.role === 'rootfs') === (artifact.verity !== null), {
    message: 'rootfs has verity parameters, and nothing else has',
  })
  .refine((artifact) => artifact.role === 'rootfs' || (artifact.index === null && artifact.patches === undefined), {
    message: 'only rootfs has a chunk index and patches',
  })
  .refine((artifact) => (artifact.role === 'boot') === (artifact.name !== undefined), {
    message: 'boot files have a name, and nothing else has',
  })
  .refine(
    ({ verity, lengthBytes }) =>
      verity === null || verity.hashOffsetBytes === Math.ceil(lengthBytes / verityBlockBytes) * verityBlockBytes,
    { message: 'hashOffsetBytes is not the length rounded up to a block' },
  );

const artifactsSchema = z
  .array(artifactSchema)
  .max(16 + bootFilesMax)
  .refine((all) => all.filter((artifact) => artifact.role === 'rootfs').length === 1, 'not exactly one rootfs')
  .refine((all) => {
    const paths = all.flatMap(({ path, index, patches = [] }) => [
      path,
      ...[...(index === null ? [] : [index]), ...patches].map((file) => file.path),
    ]);
    return new Set(paths).size === paths.length;
  }, 'two artifacts of one path')
  .superRefine((all, context) => {
    const files = all.flatMap((artifact) =>
      artifact.name === undefined ? [] : [{ ...artifact, name: artifact.name }],
    );
    const fault = bootSetFault(files);
    if (fault !== null) context.addIssue({ code: 'custom', message: fault });
  });

const wavesSchema = z
  .array(z.strictObject({ startAtS: timeSchema, percent: z.int().min(0).max(100) }))
  .max(32)
  .refine((waves) => {
    const pairs = waves.slice(1).map((wave, index) => ({ wave, before: waves[index] ?? wave }));
    return pairs.every(({ wave, before }) => before.startAtS <= wave.startAtS && before.percent <= wave.percent);
  }, 'waves do not grow with time');

const notesUrlSchema = z
  .string()
  .max(512)
  .regex(/^https?:\/\/[\x21-\x7e]+$/, 'not an http or https URL');

const documentSchema = z
  .strictObject({
    schema: z.literal(1),
    id: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9.~^_+-]{0,127}$/, 'not a release id'),
    version: versionSchema,
    sequence: z.int().min(1),
    channel: nameSchema,
    compatible: nameSchema,
    hardwareRevisions: z.array(nameSchema).max(64),
    agentVersionMin: versionSchema.nullable(),
    notesUrl: notesUrlSchema.nullable(),
    floorEpoch: countSchema,
    rollbackFloor: countSchema,
    waves: wavesSchema,
    artifacts: artifactsSchema,
    health: z.strictObject({
      deadlineS: z.int().min(1).max(86_400),
      checks: z.array(z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$/, 'not the name of a check')).max(32),
    }),
    dataSchema: z
      .strictObject({ oldest: countSchema, own: countSchema })
      .refine((range) => range.oldest <= range.own, 'oldest is above own'),
    from: z.array(versionSchema).max(64),
    publishedAtS: timeSchema,
  })
  .refine((document) => document.rollbackFloor <= document.sequence, {
    message: 'rollbackFloor is above the sequence: the release would refuse itself',
  });

/** Target path of the release document. Throws CONFIG_INVALID on a name that could leave its folder. */
export const releaseDocumentPath = (channel: string, compatible: string): string => {
  for (const [key, value] of Object.entries({ channel, compatible })) {
    if (!nameSchema.safeParse(value).success) {
      throw new OtadError('CONFIG_INVALID', { key, value: value.slice(0, 128), expected: 'letters, digits, . _ , -' });
    }
  }
  return `channels/${channel}/${compatible}.json`;
};

const toRelease = (value: unknown): Release => {
  const result = documentSchema.safeParse(value);
  if (!result.success) {
    const issue = result.error.issues[0];
    const member = issue?.path.join('.').slice(0, 128) ?? '';
    throw new OtadError('RELEASE_MALFORMED', { member, reason: issue?.message.slice(0, 128) });
  }
  const { schema: _, ...release } = result.data;
  return release;
};

const parseJson = (bytes: Uint8Array): JsonValue => {
  try {
    return parseStrictJson(bytes);
  } catch (cause) {
    const reason = cause instanceof OtadError ? String(cause.details.reason) : undefined;
    throw new OtadError('RELEASE_MALFORMED', { reason }, { cause });
  }
};

/** Throws RELEASE_MALFORMED on anything but exactly the documented form. */
export const parseRelease = (bytes: Uint8Array): Release => {
  if (bytes.length > releaseDocumentBytesMax) {
    throw new OtadError('RELEASE_MALFORMED', { bytes: bytes.length, maximum: releaseDocumentBytesMax });
  }
  return toRelease(parseJson(bytes));
};

/** The document's bytes, canonical. Throws RELEASE_MALFORMED on a release that {@link parseRelease} would not read back. */
export const encodeRelease = (release: Release): Uint8Array => {
  const bytes = encodeCanonicalJson({ schema: 1, ...release } as unknown as JsonValue);
  parseRelease(bytes);
  return bytes;
};
