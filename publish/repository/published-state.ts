// Reads what a publisher's folder has published, and believes it only as a device would: signatures, digests and versions
// are checked from root.json on. Otherwise an altered copy of the repository would be signed anew by its own publisher.
// Expiry is left out on purpose: an expired repository must be readable to be renewed.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { OtadError } from '../../agent/core/errors.ts';
import type { RootMetadata, SnapshotMetadata, TargetsMetadata, TimestampMetadata } from '../../verity/tuf-metadata.ts';
import {
  targetsDelegator,
  verifyInitialRoot,
  verifyNextRoot,
  verifySnapshot,
  verifyTargets,
  verifyTimestamp,
} from '../../verity/tuf-verify.ts';
import { errorCodeOf } from '../durable-file.ts';
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
  /** Key ids of each file's signatures, verified or not. */
  readonly signers: Readonly<Record<'root' | 'timestamp' | 'snapshot' | 'targets', readonly string[]>>;
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

const signersOf = (bytes: Uint8Array): readonly string[] => {
  const { signatures } = JSON.parse(Buffer.from(bytes).toString('utf8')) as { signatures: { keyid: string }[] };
  return signatures.map((signature) => signature.keyid);
};

const loadRoot = async (paths: PublisherPaths) => {
  let root = verifyInitialRoot(await readExisting(paths.root));
  for (let step = 0; step < rootVersionsMax; step += 1) {
    const bytes = await readOrNull(join(paths.metadata, `${root.signed.version + 1}.root.json`));
    if (bytes === null) return root;
    root = verifyNextRoot(root.signed, bytes);
  }
  throw new OtadError('REPOSITORY_INVALID', { path: paths.metadata, problem: `more than ${rootVersionsMax} roots` });
};

/** Throws the error that a device would have, or REPOSITORY_INVALID when files are missing. */
export const loadPublished = async (paths: PublisherPaths): Promise<PublishedState> => {
  const root = await loadRoot(paths);
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
    root: root.signed,
    timestamp: timestamp.signed,
    snapshot: snapshot.signed,
    targets: targets.signed,
    signers: {
      root: signersOf(root.bytes),
      timestamp: signersOf(timestamp.bytes),
      snapshot: signersOf(snapshot.bytes),
      targets: signersOf(targets.bytes),
    },
  };
};
