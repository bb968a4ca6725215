// A signing request as a folder that fits on a stick:
//   request.json            what is to be signed, and what it is judged by
//   summary.txt             the same for people, for reading only: `otapub sign` makes its own from request.json
//   NAME.signature.json     what each key holder adds
// Must never hold a private key.

import { readdir, readFile, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import * as z from 'zod';
import { OtadError } from '../../agent/core/errors.ts';
import { errorCodeOf, makeFolder, writeDurably } from '../durable-file.ts';
import { keyNameSchema } from '../keys/signing-key.ts';
import {
  type DocumentSignature,
  encodeRequest,
  parseRequest,
  type RequestParts,
  requestBytesMax,
  requestRoles,
  type SigningRequest,
} from './request.ts';
import { summarize } from './summary.ts';

const requestName = 'request.json';
const summaryName = 'summary.txt';
export const signatureSuffix = '.signature.json';
const signatureBytesMax = 64 * 1024;
const signatureFilesMax = 64;

const signatureFileSchema = z.strictObject({
  schema: z.literal(1),
  kind: z.literal('otapub-signatures'),
  /** SHA-256 of request.json. */
  request: z.string().regex(/^[0-9a-f]{64}$/),
  key: keyNameSchema,
  signatures: z
    .array(
      z.strictObject({
        role: z.enum(requestRoles),
        version: z.int().min(1),
        keyid: z.string().regex(/^[0-9a-f]{64}$/),
        sig: z.string().regex(/^[0-9a-f]{128}$/),
      }),
    )
    .min(1)
    .max(8),
});
export type SignatureFile = z.infer<typeof signatureFileSchema>;

export interface FolderContent {
  readonly folder: string;
  readonly request: SigningRequest;
  readonly files: readonly SignatureFile[];
}

export const signaturesIn = ({ files }: FolderContent): readonly DocumentSignature[] =>
  files.flatMap(({ signatures }) => signatures);

const invalid = (path: string, problem: string, cause?: unknown): OtadError =>
  new OtadError('REQUEST_INVALID', { path, problem }, { cause });

const readBounded = async (path: string, bytesMax: number): Promise<Uint8Array> => {
  try {
    const { size } = await stat(path);
    if (size > bytesMax) throw invalid(path, `larger than ${bytesMax} bytes`);
    return await readFile(path);
  } catch (cause) {
    if (cause instanceof OtadError) throw cause;
    throw invalid(path, errorCodeOf(cause) === 'ENOENT' ? 'there is no such file' : 'cannot be read', cause);
  }
};

const readSignatureFile = async (path: string): Promise<SignatureFile> => {
  const bytes = await readBounded(path, signatureBytesMax);
  try {
    return signatureFileSchema.parse(JSON.parse(Buffer.from(bytes).toString('utf8')));
  } catch (cause) {
    throw invalid(path, 'not a signature file of otapub', cause);
  }
};

/** The folder of a request that was named by itself or by one of the files in it. */
export const requestFolderOf = async (path: string): Promise<string> => {
  const facts = await stat(path).catch((cause: unknown) => {
    throw invalid(path, 'there is no such file or folder', cause);
  });
  return facts.isDirectory() ? path : dirname(path);
};

/** Reads the request and the signatures beside it. Throws REQUEST_INVALID. */
export const readRequestFolder = async (path: string): Promise<FolderContent> => {
  const folder = await requestFolderOf(path);
  const request = parseRequest(await readBounded(join(folder, requestName), requestBytesMax));
  const names = (await readdir(folder))
    .filter((name) => name.endsWith(signatureSuffix) && !name.startsWith('.'))
    .sort();
  if (names.length > signatureFilesMax) throw invalid(folder, `more than ${signatureFilesMax} signature files`);
  const files: SignatureFile[] = [];
  for (const name of names) {
    const file = await readSignatureFile(join(folder, name));
    if (file.request !== request.sha256Hex) {
      throw invalid(join(folder, name), 'signs another request than the one beside it');
    }
    files.push(file);
  }
  return { folder, request, files };
};

/** Adds one key holder's signatures. Signing twice gives the same file. */
export const writeSignatureFile = async (
  folder: string,
  request: SigningRequest,
  key: string,
  signatures: readonly DocumentSignature[],
): Promise<string> => {
  const path = join(folder, `${key}${signatureSuffix}`);
  const content: SignatureFile = {
    schema: 1,
    kind: 'otapub-signatures',
    request: request.sha256Hex,
    key,
    signatures: signatures.map(({ role, version, keyid, sig }) => ({ role, version, keyid, sig })),
  };
  await writeDurably(path, `${JSON.stringify(content, null, 2)}\n`);
  return path;
};

const nameOf = (request: SigningRequest): string =>
  [...request.documents.map(({ role, version }) => `${role}-${version}`), request.sha256Hex.slice(0, 8)].join('-');

/** Writes a new request below `requests`. The request file comes last: a folder without it is none. */
export const writeRequestFolder = async (requests: string, parts: RequestParts): Promise<FolderContent> => {
  const text = encodeRequest(parts);
  const request = parseRequest(Buffer.from(text));
  const folder = join(requests, nameOf(request));
  await makeFolder(folder, dirname(requests));
  await writeDurably(join(folder, summaryName), `${summarize(request).join('\n')}\n`);
  await writeDurably(join(folder, requestName), text);
  return { folder, request, files: [] };
};

/** Keeps what came on a stick beside the request that this machine has, or as a new one where it has none. */
export const keepSignatures = async (requests: string, content: FolderContent): Promise<FolderContent> => {
  const folder = join(requests, nameOf(content.request));
  if (folder !== content.folder) {
    await makeFolder(folder, dirname(requests));
    const isKnown = await stat(join(folder, requestName)).then(
      () => true,
      () => false,
    );
    if (!isKnown) {
      await writeDurably(join(folder, summaryName), `${summarize(content.request).join('\n')}\n`);
      await writeDurably(join(folder, requestName), await readFile(join(content.folder, requestName)));
    }
    for (const file of content.files) {
      await writeSignatureFile(folder, content.request, file.key, file.signatures);
    }
  }
  return await readRequestFolder(folder);
};

/** Requests that lie in the publisher's folder, by name. What is no request is left out. */
export const listRequests = async (requests: string): Promise<readonly FolderContent[]> => {
  const names = await readdir(requests).catch(() => []);
  const found: FolderContent[] = [];
  for (const name of names.sort()) {
    const content = await readRequestFolder(join(requests, name)).catch(() => null);
    if (content !== null) found.push(content);
  }
  return found;
};

export const requestLabel = ({ folder }: FolderContent): string => basename(folder);
