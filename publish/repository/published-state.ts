// Reads what a publisher's folder has published, and believes it only as a device would: signatures, digests and versions
// are checked from root.json on. Otherwise an altered copy of the repository would be signed anew by its own publisher.
// Expiry is left out on purpose: an expired repository must be readable to be renewed.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { OtadError } from '../../agent/core/errors.ts';
import {
  parseMetadata,
  type RootMetadata,
  type SnapshotMetadata,
  type TargetsMetadata,
  type TimestampMetadata,
} from '../../verity/tuf-metadata.ts';
import {
  targetsDelegator,
  verifyInitialRoot,
  verifyNextRoot,
  verifySnapshot,
  verifyTargets,
  verifyTimestamp,
} from '../../verity/tuf-verify.ts';
import { errorCodeOf } from '../durable-file.ts';
import type { RoleName } from '../keys/signing-key.ts';
import { rawSigned, validSignatures } from './metadata-signing.ts';
import type { PublisherPaths } from './publisher-folder.ts';

const rootVersionsMax = 1024;
/** No metadata expires before this time. */
const beforeAllExpiryS = 0;

/** What is published now, verified. */
export interface PublishedState {
  readonly root: RootMetadata;
  readonly timestamp: TimestampMetadata;
  readonly snapshot: SnapshotMetadata;
  readonly targets: TargetsMetadata;
  /** Key ids whose signatures on each file hold. */
  readonly signers: Readonly<Record<RoleName, readonly string[]>>;
  /** The newest root and the targets file, byte for byte. */
  readonly rootBytes: Uint8Array;
  readonly targetsBytes: Uint8Array;
  /** Version of root.json, which goes into images; lower than root's own after a cut. */
  readonly anchorVersion: number;
}

const readOrNull = async (path: string): Promise<Uint8Array | null> => {
  try {
    return await readFile(path);
  } catch (error) {
    if (errorCodeOf(error) === 'ENOENT') return null;
    throw new OtadError('REPOSITORY_INVALID', { path, problem: 'cannot be read' }, { cause: error });
  }
};

const readExisting = async (path: string): Promise<Uint8Array> => {
  const bytes = await readOrNull(path);
  if (bytes === null) throw new OtadError('REPOSITORY_INVALID', { path, problem: 'missing; run otapub init first' });
  return bytes;
};

const signersOf = (role: RoleName, bytes: Uint8Array, root: RootMetadata): readonly string[] => {
  const { signatures, signedBytes } = parseMetadata(role, bytes);
  return validSignatures(signedBytes, signatures, root.keys).map(({ keyid }) => keyid);
};

const loadRoot = async (paths: PublisherPaths) => {
  const anchor = verifyInitialRoot(await readExisting(paths.root));
  let root = anchor;
  for (let step = 0; step < rootVersionsMax; step += 1) {
    const bytes = await readOrNull(join(paths.metadata, `${root.signed.version + 1}.root.json`));
    if (bytes === null) return { root, anchorVersion: anchor.signed.version };
    root = verifyNextRoot(root.signed, bytes);
  }
  throw new OtadError('REPOSITORY_INVALID', { path: paths.metadata, problem: `more than ${rootVersionsMax} roots` });
};

/** Throws the error that a device would have, or REPOSITORY_INVALID when files are missing. */
export const loadPublished = async (paths: PublisherPaths): Promise<PublishedState> => {
  const { root, anchorVersion } = await loadRoot(paths);
  const timestampBytes = await readExisting(join(paths.metadata, 'timestamp.json'));
  const timestamp = verifyTimestamp(root.signed, null, timestampBytes, beforeAllExpiryS);
  const { version } = timestamp.signed.meta['snapshot.json'];
  const snapshotBytes = await readExisting(join(paths.metadata, `${version}.snapshot.json`));
  const snapshot = verifySnapshot(root.signed, timestamp.signed, null, snapshotBytes, beforeAllExpiryS);
  const targetsVersion = snapshot.signed.meta['targets.json']?.version ?? 0;
  const targetsBytes = await readExisting(join(paths.metadata, `${targetsVersion}.targets.json`));
  const delegator = targetsDelegator(root.signed);
  const targets = verifyTargets(delegator, snapshot.signed, 'targets', targetsBytes, beforeAllExpiryS);
  return {
    root: rawSigned(root.bytes),
    timestamp: timestamp.signed,
    snapshot: snapshot.signed,
    targets: targets.signed,
    signers: {
      root: signersOf('root', root.bytes, root.signed),
      timestamp: signersOf('timestamp', timestamp.bytes, root.signed),
      snapshot: signersOf('snapshot', snapshot.bytes, root.signed),
      targets: signersOf('targets', targets.bytes, root.signed),
    },
    rootBytes: root.bytes,
    targetsBytes: targets.bytes,
    anchorVersion,
  };
};

/** All root versions that the repository offers, in order: what leads a device from its own root to the newest. */
export const readRootChain = async (paths: PublisherPaths, newest: number): Promise<readonly Uint8Array[]> => {
  const files: Uint8Array[] = [];
  for (let version = 1; version <= newest; version += 1) {
    const bytes = await readOrNull(join(paths.metadata, `${version}.root.json`));
    if (bytes !== null) files.push(bytes);
  }
  return files;
};
