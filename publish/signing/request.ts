// A signing request: documents that wait for signatures, with everything that an offline machine needs to judge them by
// itself. It travels on a stick, so whoever reads it believes nothing in it that signatures do not prove. Pure.

import * as z from 'zod';
import { OtadError } from '../../agent/core/errors.ts';
import { encodeCanonicalJson, type JsonValue, parseStrictJson } from '../../verity/canonical-json.ts';
import { type MetadataOf, parseMetadata, type RootMetadata, type TufSignature } from '../../verity/tuf-metadata.ts';
import { type Trusted, verifyInitialRoot, verifyNextRoot } from '../../verity/tuf-verify.ts';
import { rawSigned, sha256Hex } from '../repository/metadata-signing.ts';
import { checkSignedTargets } from '../repository/publication-plan.ts';

export const requestBytesMax = 16 * 1024 * 1024;
const rootsMax = 1024;
const textMax = 4 * 1024 * 1024;

export const requestRoles = ['root', 'targets'] as const;
export type RequestRole = (typeof requestRoles)[number];

const text = z.string().min(1).max(textMax);
const requestSchema = z.strictObject({
  schema: z.literal(1),
  kind: z.literal('otapub-signing-request'),
  repository: z.string().min(1).max(100),
  createdAt: z.string().min(1).max(64),
  /** Root files that stand, oldest first; the last one is in force. */
  roots: z.array(text).min(1).max(rootsMax),
  /** The targets file that stands. */
  targets: text,
  /** Signed parts in the order in which they are published: at most two roots, then targets. Canonical, byte for byte. */
  documents: z
    .array(z.strictObject({ role: z.enum(requestRoles), signed: text }))
    .min(1)
    .max(3),
});

export interface RequestDocument {
  readonly role: RequestRole;
  readonly version: number;
  /** Exactly these bytes are signed. */
  readonly signedBytes: Uint8Array;
  readonly signed: RootMetadata | MetadataOf['targets'];
}

/** A request that is whole: its roots follow each other, and what stands verifies under the newest. */
export interface SigningRequest {
  readonly repository: string;
  readonly createdAt: string;
  readonly roots: readonly Trusted<RootMetadata>[];
  readonly root: RootMetadata;
  readonly targets: MetadataOf['targets'];
  readonly targetsBytes: Uint8Array;
  readonly documents: readonly RequestDocument[];
  /** Names the very request that a signature file belongs to. */
  readonly sha256Hex: string;
}

/** What a request is made of. Documents are raw signed parts. */
export interface RequestParts {
  readonly repository: string;
  readonly createdAt: string;
  readonly roots: readonly Uint8Array[];
  readonly targets: Uint8Array;
  readonly documents: readonly { readonly role: RequestRole; readonly signed: RootMetadata | MetadataOf['targets'] }[];
}

const textOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('utf8');

export const encodeRequest = (parts: RequestParts): string =>
  `${JSON.stringify(
    {
      schema: 1,
      kind: 'otapub-signing-request',
      repository: parts.repository,
      createdAt: parts.createdAt,
      roots: parts.roots.map(textOf),
      targets: textOf(parts.targets),
      documents: parts.documents.map(({ role, signed }) => ({
        role,
        signed: textOf(encodeCanonicalJson(signed as JsonValue)),
      })),
    },
    null,
    2,
  )}\n`;

const invalid = (problem: string, cause?: unknown): OtadError =>
  new OtadError('REQUEST_INVALID', { problem }, { cause });

const parseDocument = (role: RequestRole, signedText: string): RequestDocument => {
  const signedBytes = Buffer.from(signedText, 'utf8');
  const raw = parseStrictJson(signedBytes);
  // What is shown is the parsed form; what is signed are the bytes: they must be one and the same.
  if (Buffer.compare(Buffer.from(encodeCanonicalJson(raw)), signedBytes) !== 0) {
    throw invalid('a document is not in its canonical form');
  }
  const envelope = encodeCanonicalJson({ signatures: [], signed: raw });
  const { version } = parseMetadata(role, envelope).signed;
  return { role, version, signedBytes, signed: rawSigned(envelope) };
};

const followRoots = (texts: readonly string[]): readonly Trusted<RootMetadata>[] => {
  const followed: Trusted<RootMetadata>[] = [];
  for (const each of texts) {
    const bytes = Buffer.from(each, 'utf8');
    const before = followed.at(-1);
    followed.push(before === undefined ? verifyInitialRoot(bytes) : verifyNextRoot(before.signed, bytes));
  }
  return followed;
};

const checkOrder = (documents: readonly RequestDocument[], root: RootMetadata): void => {
  const roots = documents.filter(({ role }) => role === 'root');
  const targets = documents.filter(({ role }) => role === 'targets');
  const isInOrder = documents.every((document, index) => document.role === (index < roots.length ? 'root' : 'targets'));
  const isCounted = roots.every(({ version }, index) => version === root.version + 1 + index);
  if (!isInOrder || !isCounted || roots.length > 2 || targets.length > 1) {
    throw invalid('its documents are not the next versions of root and targets');
  }
};

/** Parses a request and proves what can be proven from it alone. Throws REQUEST_INVALID. */
export const parseRequest = (bytes: Uint8Array): SigningRequest => {
  if (bytes.length > requestBytesMax) throw invalid(`larger than ${requestBytesMax} bytes`);
  try {
    const content = requestSchema.parse(JSON.parse(textOf(bytes)));
    const roots = followRoots(content.roots);
    const newest = roots.at(-1);
    if (newest === undefined) throw invalid('it holds no root');
    const targetsBytes = Buffer.from(content.targets, 'utf8');
    // What is shown is the difference to it, so it must be what the keys have signed. It may have expired.
    checkSignedTargets([newest.signed], targetsBytes, 0);
    const documents = content.documents.map(({ role, signed }) => parseDocument(role, signed));
    checkOrder(documents, newest.signed);
    return {
      repository: content.repository,
      createdAt: content.createdAt,
      roots,
      root: rawSigned(newest.bytes),
      targets: rawSigned(targetsBytes),
      targetsBytes,
      documents,
      sha256Hex: sha256Hex(bytes),
    };
  } catch (error) {
    if (error instanceof OtadError && error.code === 'REQUEST_INVALID') throw error;
    throw invalid(error instanceof OtadError ? error.message : 'not of the expected form', error);
  }
};

/** Roots of the request, as they would stand one after the other: the one in force first. */
export const rootSteps = (request: SigningRequest): readonly RootMetadata[] => [
  request.root,
  ...request.documents.flatMap((document) => (document.role === 'root' ? [document.signed as RootMetadata] : [])),
];

/** The roots that must accept a document: for a root itself and the one before, for targets those around its publication. */
export const judgesOf = (request: SigningRequest, document: RequestDocument): readonly RootMetadata[] => {
  const steps = rootSteps(request);
  if (document.role === 'targets') return steps.slice(-2);
  return steps.filter(({ version }) => version === document.version || version === document.version - 1);
};

/** A signature on one document of a request. */
export interface DocumentSignature extends TufSignature {
  readonly role: RequestRole;
  readonly version: number;
}
