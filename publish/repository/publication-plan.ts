// Settles a publication before its first byte is written: which roots follow, which files must be signed anew, and whether
// all of that can be signed so that devices accept the repository after every single write. Pure.

import { OtadError } from '../../agent/core/errors.ts';
import { type MetadataOf, type RootMetadata, type TargetFile, timeOf } from '../../verity/tuf-metadata.ts';
import { type Trusted, targetsDelegator, verifyNextRoot, verifyTargets } from '../../verity/tuf-verify.ts';
import type { RoleName, SigningKey } from '../keys/signing-key.ts';
import { countFor, keysForRole, metaFileOf, rawSigned, specVersion } from './metadata-signing.ts';
import type { PublishedState } from './published-state.ts';

/** What a publication signs anew besides the timestamp. */
export interface Publication {
  /** All targets that are to be listed; null keeps the list that stands. */
  readonly targets?: Readonly<Record<string, TargetFile>> | null;
  /** A targets file that was signed elsewhere, instead of `targets`. */
  readonly signedTargets?: Uint8Array | null;
  readonly isSnapshotRenewed?: boolean;
  /** New versions of root in order, signed. At most two: see `rootsFor`. */
  readonly roots?: readonly Uint8Array[];
}

/** Everything that is settled before the first byte is written. */
export interface Plan {
  readonly roots: readonly Trusted<RootMetadata>[];
  /** The roots that files published now must satisfy: the one in force then, and the one right after. */
  readonly judges: readonly RootMetadata[];
  readonly after: RootMetadata;
  readonly targets: Readonly<Record<string, TargetFile>> | Uint8Array | null;
  readonly isSnapshotNew: boolean;
  readonly isTimestampNew: boolean;
}

/** Throws what a device would that follows from the current root to the new ones. */
const checkRoots = (current: RootMetadata, files: readonly Uint8Array[]): readonly Trusted<RootMetadata>[] => {
  let root = current;
  return files.map((bytes) => {
    const next = verifyNextRoot(root, bytes);
    root = next.signed;
    return next;
  });
};

/** True when what stands would not be accepted under this root: too few of its signers are left. */
export const isOutOfForce = (state: PublishedState, role: RoleName, root: RootMetadata): boolean =>
  countFor(root, role, state.signers[role]) < root.roles[role].threshold;

/** Throws unless every one of these roots accepts the targets file. */
export const checkSignedTargets = (roots: readonly RootMetadata[], bytes: Uint8Array, nowS: number): void => {
  const signed = rawSigned<MetadataOf['targets']>(bytes);
  const listing: MetadataOf['snapshot'] = {
    _type: 'snapshot',
    spec_version: specVersion,
    version: 1,
    expires: signed.expires,
    meta: { 'targets.json': metaFileOf(signed, bytes) },
  };
  for (const root of roots) verifyTargets(targetsDelegator(root), listing, 'targets', bytes, nowS);
};

/** Throws rather than let a half-written publication shut devices out. */
const checkBridge = (state: PublishedState, roots: readonly Trusted<RootMetadata>[]): void => {
  const [bridge] = roots;
  if (roots.length < 2 || bridge === undefined) return;
  const broken = (['targets', 'snapshot', 'timestamp'] as const).filter((role) =>
    isOutOfForce(state, role, bridge.signed),
  );
  if (roots.length > 2 || broken.length > 0) {
    const problem = 'devices would refuse what is published between two of these roots';
    throw new OtadError('ROTATION_REFUSED', { problem, roots: roots.length, broken: broken.join(' ') });
  }
};

/** Throws what stands against publishing: roots that do not follow, keys that are not here, a root that has expired. */
export const planPublication = (
  state: PublishedState,
  publication: Publication,
  options: { readonly keys: readonly SigningKey[]; readonly nowS: number },
): Plan => {
  const roots = checkRoots(state.root, publication.roots ?? []);
  checkBridge(state, roots);
  const after = roots.at(-1)?.signed ?? state.root;
  const judges = roots.length === 0 ? [after] : [roots.at(-2)?.signed ?? state.root, after];
  if (timeOf(after.expires) <= options.nowS) {
    throw new OtadError('METADATA_EXPIRED', { role: 'root', expires: after.expires, hint: 'otapub renew DIR root' });
  }
  const wanted = publication.signedTargets ?? publication.targets ?? null;
  const targets = wanted ?? (isOutOfForce(state, 'targets', after) ? state.targets.targets : null);
  const isSnapshotNew =
    targets !== null || publication.isSnapshotRenewed === true || isOutOfForce(state, 'snapshot', after);
  const isTimestampNew = isSnapshotNew || roots.length === 0 || isOutOfForce(state, 'timestamp', after);
  if (targets instanceof Uint8Array) checkSignedTargets(judges, targets, options.nowS);
  else if (targets !== null) keysForRole(judges, 'targets', options.keys);
  if (isSnapshotNew) keysForRole(judges, 'snapshot', options.keys);
  keysForRole(isTimestampNew ? judges : [after], 'timestamp', options.keys);
  return { roots, judges, after, targets, isSnapshotNew, isTimestampNew };
};
