// Checks a repository as a device would, and then all of it: metadata through the TUF client with an empty memory, every
// target's length and digest, every release document, and the dm-verity root of every image. Changes nothing.

import { errorCodes, OtadError, toFailure } from '../../agent/core/errors.ts';
import type { Release } from '../../agent/core/types.ts';
import { indexBytesMax } from '../../delta/chunk-index.ts';
import { createTreeBuilder } from '../../verity/dm-verity.ts';
import { fetchRequired } from '../../verity/metadata-fetcher.ts';
import { createHasher } from '../../verity/sealing.ts';
import type { TrustedFiles } from '../../verity/trusted-store.ts';
import { createTufClient, type TrustedSet } from '../../verity/tuf-client.ts';
import type { TargetFile, TargetsMetadata } from '../../verity/tuf-metadata.ts';
import { type ReleaseReader, readRelease } from '../../verity/verified-release.ts';
import { imageBlockBytes } from '../images/squashfs.ts';
import { documentPaths, indexTargetPath, publishedImages } from '../releases/catalogue.ts';
import { targetFilePath } from '../repository/publication.ts';
import { targetsFolder } from '../repository/publisher-folder.ts';
import { createIndexCheck, type IndexCheck, readIndexOf } from './index-check.ts';
import type { RepositoryReader } from './repository-reader.ts';
import { checkRootChain, rootPath } from './root-chain.ts';

export interface VerificationOptions {
  readonly reader: RepositoryReader;
  /** root.json as it is baked into images. */
  readonly root: Uint8Array;
  readonly nowMs: number;
  /** Lengths only instead of digests and seals of images and other files. */
  readonly isQuick?: boolean | undefined;
  readonly signal: AbortSignal;
}

/** One line of the report. `problem` is null when all is well. */
export interface VerifiedFile {
  readonly kind: 'metadata' | 'release' | 'image' | 'file';
  readonly path: string;
  /** What it is: versions, or the release it belongs to. */
  readonly note: string;
  readonly lengthBytes: number | null;
  readonly problem: string | null;
}

export interface VerificationReport {
  readonly isSound: boolean;
  readonly files: readonly VerifiedFile[];
  /** Releases whose documents verify: what gateways are offered. */
  readonly releases: readonly Release[];
}

/** A memory that ends with the run. */
const createMemoryFiles = (): TrustedFiles => {
  const files = new Map<string, Uint8Array>();
  return {
    read: async (name) => files.get(name) ?? null,
    write: async (name, bytes) => void files.set(name, bytes),
    remove: async (name) => void files.delete(name),
  };
};

interface Seal {
  readonly saltHex: string;
  readonly rootHex: string;
}

/** Cuts a stream into whole blocks for the tree; `push` ignores what lies beyond the expected length. */
const createSealCheck = (seals: readonly Seal[], lengthBytes: number) => {
  const trees = seals.map(({ saltHex }) => createTreeBuilder({ saltHex }, lengthBytes, () => undefined));
  let rest = Buffer.alloc(0);
  const feed = (bytes: Uint8Array): void => {
    for (const tree of trees) tree.update(bytes);
  };
  return {
    push: (piece: Uint8Array): void => {
      const joined = rest.length === 0 ? Buffer.from(piece) : Buffer.concat([rest, piece]);
      const whole = joined.length - (joined.length % imageBlockBytes);
      if (whole > 0) feed(joined.subarray(0, whole));
      rest = Buffer.from(joined.subarray(whole));
    },
    check: (): void => {
      if (rest.length > 0) feed(Buffer.concat([rest, Buffer.alloc(imageBlockBytes - rest.length)]));
      trees.forEach((tree, index) => {
        const { rootHex } = tree.finish();
        const expected = seals[index]?.rootHex;
        if (rootHex !== expected) throw new OtadError('VERITY_ROOT_MISMATCH', { expected, actual: rootHex });
      });
    },
  };
};

const locationOf = (path: string, { hashes }: TargetFile): string =>
  `${targetsFolder}/${targetFilePath(path, hashes.sha256 ?? '')}`;

/** Throws when the file is missing, longer, shorter or different, or when a seal does not fit. */
const checkTarget = async (
  { reader, signal }: VerificationOptions,
  path: string,
  target: TargetFile,
  { seals, index }: { readonly seals: readonly Seal[]; readonly index: IndexCheck | null },
): Promise<void> => {
  const location = locationOf(path, target);
  const pieces = await reader.stream(location, signal);
  if (pieces === null) throw new OtadError('TARGET_UNKNOWN', { path: location, problem: 'the file is missing' });
  const hasher = createHasher();
  const seal = createSealCheck(seals, target.length);
  let length = 0;
  for await (const piece of pieces) {
    length += piece.length;
    if (length > target.length) throw new OtadError('FILE_TOO_LARGE', { path: location, maximum: target.length });
    hasher.update(piece);
    if (seals.length > 0) seal.push(piece);
    index?.push(piece);
  }
  const actual = hasher.digestHex();
  if (length !== target.length || actual !== target.hashes.sha256) {
    throw new OtadError('TARGET_DIGEST_MISMATCH', { path: location, length, signedLength: target.length, actual });
  }
  if (seals.length > 0) seal.check();
  index?.check();
};

/** The check of an image by its published index; null where it has none. */
const indexCheckOf = async (
  { reader, signal }: VerificationOptions,
  targets: TargetsMetadata,
  path: string,
  image: TargetFile,
): Promise<IndexCheck | null> => {
  const indexPath = indexTargetPath(path);
  const target = Object.hasOwn(targets.targets, indexPath) ? targets.targets[indexPath] : undefined;
  if (target === undefined) return null;
  const bytes = await fetchRequired(reader, locationOf(indexPath, target), indexBytesMax, signal);
  const { length: lengthBytes, hashes } = image;
  return createIndexCheck(readIndexOf(bytes, { lengthBytes, sha256Hex: hashes.sha256 ?? '' }));
};

/** Throws when the file is missing or of another length. Its bytes stay unread. */
const checkLength = async (
  { reader, signal }: VerificationOptions,
  path: string,
  target: TargetFile,
): Promise<void> => {
  const location = locationOf(path, target);
  const length = await reader.lengthOf(location, signal);
  if (length === null) throw new OtadError('TARGET_UNKNOWN', { path: location, problem: 'the file is missing' });
  if (length !== undefined && length !== target.length) {
    throw new OtadError('TARGET_DIGEST_MISMATCH', { path: location, length, signedLength: target.length });
  }
};

const report = async (
  line: Omit<VerifiedFile, 'problem'>,
  check: () => Promise<void>,
  signal: AbortSignal,
): Promise<VerifiedFile> => {
  try {
    await check();
    return { ...line, problem: null };
  } catch (error) {
    if (signal.aborted) throw new OtadError('CANCELLED', {}, { cause: error });
    return { ...line, problem: toFailure(error).message };
  }
};

interface Documents {
  readonly files: readonly VerifiedFile[];
  readonly releases: readonly Release[];
}

const verifyDocuments = async (
  options: VerificationOptions,
  session: ReleaseReader,
  targets: TargetsMetadata,
): Promise<Documents> => {
  const files: VerifiedFile[] = [];
  const releases: Release[] = [];
  for (const path of documentPaths(targets)) {
    const [, channel = '', compatible = ''] = /^channels\/([^/]+)\/([^/]+)\.json$/.exec(path) ?? [];
    let note = '';
    const check = async (): Promise<void> => {
      const release = await readRelease(session, { channel, compatible }, options.signal);
      note = `${release.version} (sequence ${release.sequence})`;
      releases.push(release);
    };
    const lengthBytes = targets.targets[path]?.length ?? null;
    const line = await report({ kind: 'release', path, note: '', lengthBytes }, check, options.signal);
    files.push({ ...line, note });
  }
  return { files, releases };
};

const verifyImages = async (
  options: VerificationOptions,
  targets: TargetsMetadata,
  releases: readonly Release[],
): Promise<readonly VerifiedFile[]> => {
  const files: VerifiedFile[] = [];
  const images = new Map(publishedImages(targets).map((image) => [image.path, image]));
  const documents = new Set(documentPaths(targets));
  for (const [path, target] of Object.entries(targets.targets)) {
    if (documents.has(path)) continue;
    const artifacts = releases.flatMap((release) => release.artifacts).filter((artifact) => artifact.path === path);
    const image = images.get(path);
    const seals: readonly Seal[] = [...artifacts.flatMap(({ verity }) => verity ?? []), ...(image ? [image] : [])];
    const distinct = [...new Map(seals.map((seal) => [`${seal.saltHex} ${seal.rootHex}`, seal])).values()];
    const kind = distinct.length > 0 ? 'image' : 'file';
    const boot = artifacts.find(({ role }) => role === 'boot');
    const note =
      image !== undefined ? `${image.version} (sequence ${image.sequence})` : boot === undefined ? '' : 'boot set';
    const check = async (): Promise<void> => {
      if (options.isQuick) return checkLength(options, path, target);
      const index = kind === 'image' ? await indexCheckOf(options, targets, path, target) : null;
      return checkTarget(options, path, target, { seals: distinct, index });
    };
    files.push(await report({ kind, path, note, lengthBytes: target.length }, check, options.signal));
  }
  return files;
};

/** Every root since the first: whoever has one of them must get to today's. */
const verifyRoots = async (
  { reader, signal }: VerificationOptions,
  newest: TrustedSet['root'],
): Promise<VerifiedFile> => {
  let path = rootPath(1);
  const check = () =>
    checkRootChain(reader, newest, signal, (next) => {
      path = next;
    });
  const line = await report({ kind: 'metadata', path, note: '', lengthBytes: null }, check, signal);
  const note = newest.version === 1 ? 'the first root' : 'every older root leads to it';
  return { ...line, path, note: line.problem === null ? note : '' };
};

/** Reads everything. Problems stand in the report; it throws only when it is cancelled. */
export const verifyRepository = async (options: VerificationOptions): Promise<VerificationReport> => {
  const { reader: fetcher, root: initialRoot, signal } = options;
  const files = createMemoryFiles();
  const client = createTufClient({ fetcher, files, initialRoot });
  const trusted: TrustedSet[] = [];
  const refresh = async (): Promise<void> => {
    trusted.push(await client.refresh(Math.floor(options.nowMs / 1000), signal));
  };
  const line = { kind: 'metadata', path: 'metadata', note: '', lengthBytes: null } as const;
  const metadata = await report(line, refresh, signal);
  const [set] = trusted;
  if (set === undefined) return { isSound: false, files: [metadata], releases: [] };
  const { root, timestamp, snapshot, targets } = set;
  const note = `root ${root.version}, timestamp ${timestamp.version}, snapshot ${snapshot.version}, targets ${targets.version}`;
  const roots = await verifyRoots(options, root);
  const documents = await verifyDocuments(options, { client, fetcher, files, root }, targets);
  const images = await verifyImages(options, targets, documents.releases);
  const all = [{ ...metadata, note }, roots, ...documents.files, ...images];
  return { isSound: all.every((file) => file.problem === null), files: all, releases: documents.releases };
};

/** Exit code of a report: 0, or that of a failed verification. */
export const exitCodeOf = (result: VerificationReport): number =>
  result.isSound ? 0 : errorCodes.TARGET_DIGEST_MISMATCH.exitCode;
