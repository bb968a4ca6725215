// What an install puts into a slot, taken out of a release once and checked for fit before any byte moves.

import { OtadError } from '../core/errors.ts';
import type { Sealing } from '../core/ports.ts';
import { ceilToBlock, recordAreaOffsetBytes } from '../core/slot-layout.ts';
import type { Artifact, Release, SlotRecord, VerityParameters } from '../core/types.ts';
import { type BootManifest, bootManifestOf } from './boot-manifest.ts';

export interface InstallTarget {
  readonly release: Release;
  readonly artifact: Artifact;
  readonly verity: VerityParameters;
  /** null: the release brings no boot files. */
  readonly bootSet: BootManifest | null;
}

export const installTargetOf = (release: Release, sealing: Pick<Sealing, 'createHasher'>): InstallTarget => {
  const artifact = release.artifacts.find((candidate) => candidate.role === 'rootfs');
  const verity = artifact?.verity ?? null;
  if (artifact === undefined || verity === null || artifact.lengthBytes <= 0) {
    throw new OtadError('RELEASE_MALFORMED', { version: release.version, reason: 'no rootfs artifact with dm-verity' });
  }
  if (verity.hashOffsetBytes !== ceilToBlock(artifact.lengthBytes)) {
    const { hashOffsetBytes } = verity;
    throw new OtadError('RELEASE_MALFORMED', {
      version: release.version,
      hashOffsetBytes,
      reason: 'not after the image',
    });
  }
  return { release, artifact, verity, bootSet: bootManifestOf(release, sealing) };
};

/** Throws RELEASE_TOO_LARGE unless image, tree and record fit into the slot. */
export const requireFit = (target: InstallTarget, slotSizeBytes: number, sealing: Sealing): void => {
  const { artifact, verity, release } = target;
  const neededBytes = verity.hashOffsetBytes + sealing.treeLengthBytes(artifact.lengthBytes);
  const availableBytes = Math.max(0, recordAreaOffsetBytes(slotSizeBytes));
  if (neededBytes > availableBytes) {
    throw new OtadError('RELEASE_TOO_LARGE', { version: release.version, neededBytes, availableBytes });
  }
};

/** The record of a slot that holds the first `writtenBytes` of the target. */
export const recordOf = (target: InstallTarget, writtenBytes: number, prefixSha256Hex: string): SlotRecord => {
  const { release, artifact, verity, bootSet } = target;
  return {
    status: 'writing',
    release: { id: release.id, version: release.version, sequence: release.sequence },
    compatible: release.compatible,
    imageLengthBytes: artifact.lengthBytes,
    imageSha256Hex: artifact.sha256Hex,
    verity,
    writtenBytes,
    prefixSha256Hex,
    ...(bootSet === null ? {} : { bootSetSha256Hex: bootSet.sha256Hex }),
    reason: null,
  };
};

/** True when the slot was being filled, or is filled, with the very bytes of the target. */
export const isSameImage = (record: SlotRecord, target: InstallTarget): boolean =>
  record.imageSha256Hex === target.artifact.sha256Hex &&
  record.imageLengthBytes === target.artifact.lengthBytes &&
  record.verity.rootHex === target.verity.rootHex &&
  record.verity.saltHex === target.verity.saltHex &&
  record.verity.hashOffsetBytes === target.verity.hashOffsetBytes;

export const isSameRelease = (record: SlotRecord, target: InstallTarget): boolean =>
  record.release.id === target.release.id &&
  record.release.version === target.release.version &&
  record.release.sequence === target.release.sequence &&
  record.bootSetSha256Hex === target.bootSet?.sha256Hex &&
  record.compatible === target.release.compatible;
