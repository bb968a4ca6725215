// The manifest of a release's boot set and the digest that stands for the whole set: in the slot's record, in the helper's ledger,
// and beside the files themselves.

import { type BootArtifact, bootArtifactsOf, encodeBootManifest } from '../core/boot-set.ts';
import type { Sealing } from '../core/ports.ts';
import type { Release } from '../core/types.ts';
import { sha256Of } from './slot-index.ts';

export interface BootManifest {
  readonly text: string;
  readonly files: readonly BootArtifact[];
  readonly sha256Hex: string;
  readonly totalBytes: number;
}

/** null: the release brings no boot files, and what the slot starts by stays. */
export const bootManifestOf = (
  release: Pick<Release, 'artifacts'>,
  sealing: Pick<Sealing, 'createHasher'>,
): BootManifest | null => {
  const files = bootArtifactsOf(release);
  if (files.length === 0) return null;
  const text = encodeBootManifest(files);
  const totalBytes = files.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0);
  return { text, files, sha256Hex: sha256Of(new TextEncoder().encode(text), sealing), totalBytes };
};
