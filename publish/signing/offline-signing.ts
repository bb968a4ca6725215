// The offline machine's part: reads a request, checks it against a root of its own where there is one, and signs what a
// person has agreed to. Needs no publisher's folder and no network. Must never sign what it has not shown.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { OtadError } from '../../agent/core/errors.ts';
import type { RootMetadata } from '../../verity/tuf-metadata.ts';
import { type Trusted, verifyInitialRoot } from '../../verity/tuf-verify.ts';
import { readKeyFolders } from '../keys/key-files.ts';
import { ownRootName, type SigningKey } from '../keys/signing-key.ts';
import { documentsFor, signDocuments } from './completion.ts';
import type { SigningRequest } from './request.ts';
import { type FolderContent, readRequestFolder, writeSignatureFile } from './request-folder.ts';
import { describeKey, summarize } from './summary.ts';

export interface OfflineSigningOptions {
  readonly requestPath: string;
  readonly keyFolders: readonly string[];
  /** A root.json of one's own; default: `trusted.root` beside the keys. */
  readonly rootPath?: string | undefined;
  /** Shows the lines and asks; false ends it. */
  confirm(lines: readonly string[], keyNames: readonly string[]): Promise<boolean>;
}

export interface OfflineSignature {
  readonly keyName: string;
  readonly path: string;
}

const readOwnRoot = async (options: OfflineSigningOptions): Promise<Trusted<RootMetadata> | null> => {
  if (options.rootPath !== undefined) {
    const path = options.rootPath;
    const bytes = await readFile(path).catch((cause: unknown) => {
      throw new OtadError('TRUST_ROOT_MISSING', { path }, { cause });
    });
    return verifyInitialRoot(bytes);
  }
  for (const folder of options.keyFolders) {
    const bytes = await readFile(join(folder, ownRootName)).catch(() => null);
    if (bytes !== null) return verifyInitialRoot(bytes);
  }
  return null;
};

/** The request's roots must go through one's own: else somebody may have made up the keys that it starts from. */
const checkOwnRoot = (request: SigningRequest, own: Trusted<RootMetadata>): void => {
  const { version } = own.signed;
  const same = request.roots.find(({ signed }) => signed.version === version);
  if (same === undefined || Buffer.compare(same.bytes, own.bytes) !== 0) {
    const problem = `its roots do not lead through your own root ${version}: do not sign it, ask who made it`;
    throw new OtadError('REQUEST_INVALID', { problem });
  }
};

const originLines = (request: SigningRequest, own: Trusted<RootMetadata> | null): readonly string[] =>
  own === null
    ? [
        '',
        'There is no root of your own here (--root FILE): compare the keys that stand now with your own notes.',
        ...request.root.roles.root.keyids.map((keyId) => `  root key  ${describeKey(request.root, keyId)}`),
      ]
    : ['', `Its roots lead from your own root ${own.signed.version} to root ${request.root.version}.`];

const fittingKeys = (content: FolderContent, keys: readonly SigningKey[]): readonly SigningKey[] => {
  const fitting = keys.filter((key) => documentsFor(content.request, key.publicHex).length > 0);
  if (fitting.length > 0) return fitting;
  const problem = 'none of these keys may sign this request';
  throw new OtadError('KEY_UNUSABLE', { problem, keys: keys.map(({ name }) => name).join(' ') || 'none found' });
};

/** Signs with all fitting keys of the folders, once confirmed. Throws CANCELLED when it is not. */
export const signOffline = async (options: OfflineSigningOptions): Promise<readonly OfflineSignature[]> => {
  const content = await readRequestFolder(options.requestPath);
  const keys = fittingKeys(content, await readKeyFolders(options.keyFolders));
  const own = await readOwnRoot(options);
  if (own !== null) checkOwnRoot(content.request, own);
  const lines = [...summarize(content.request), ...originLines(content.request, own)];
  const names = keys.map(({ name }) => name);
  if (!(await options.confirm(lines, names))) throw new OtadError('CANCELLED', { reason: 'nothing was signed' });
  const written: OfflineSignature[] = [];
  for (const { key, signatures } of await signDocuments(content.request, keys)) {
    const path = await writeSignatureFile(content.folder, content.request, key.name, signatures);
    written.push({ keyName: key.name, path });
  }
  return written;
};
