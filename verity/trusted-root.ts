// Root of trust between runs. The image carries a root that is believed as it stands; every later root must chain from it,
// version by version, so each accepted one is kept as `history-<version>.root`, and the newest also as `root.json`.
// `root.json` itself is never believed: it only marks which root the other stored files were accepted under.

import { OtadError } from '../agent/core/errors.ts';
import { agentSchemes } from './signature-schemes.ts';
import type { TrustedFiles } from './trusted-store.ts';
import { parseMetadata, type RootMetadata } from './tuf-metadata.ts';
import { isRotated, type Trusted, verifyInitialRoot, verifyNextRoot } from './tuf-verify.ts';

/** Files that a rotation of the timestamp or snapshot keys makes void (5.3.11). */
const voidedByRotation = ['snapshot.json', 'timestamp.json'] as const;

const historyName = (version: number): string => `history-${version}.root`;

/** The root that came with the image, which is believed as it stands. Throws TRUST_ROOT_MISSING. */
export const readInitialRoot = (bytes: Uint8Array | null, schemes = agentSchemes): Trusted<RootMetadata> => {
  if (bytes === null) {
    throw new OtadError('TRUST_ROOT_MISSING');
  }
  try {
    return verifyInitialRoot(bytes, schemes);
  } catch (cause) {
    const reason = cause instanceof OtadError ? cause.message : String(cause);
    throw new OtadError('TRUST_ROOT_MISSING', { reason }, { cause });
  }
};

const forget = async (files: TrustedFiles): Promise<void> => {
  for (const name of voidedByRotation) {
    await files.remove(name);
  }
};

const nextFromHistory = async (
  files: TrustedFiles,
  root: RootMetadata,
  schemes: typeof agentSchemes,
): Promise<Trusted<RootMetadata> | null> => {
  const bytes = await files.read(historyName(root.version + 1));
  if (bytes === null) {
    return null;
  }
  try {
    return verifyNextRoot(root, bytes, schemes);
  } catch {
    // Damaged or of another line: the server has it, and the chain goes on from there.
    return null;
  }
};

const parsedRoot = (bytes: Uint8Array | null): RootMetadata | null => {
  try {
    return bytes === null ? null : parseMetadata('root', bytes).signed;
  } catch {
    return null;
  }
};

/** 5.2: the newest root that chains from the image's own. Throws TRUST_ROOT_MISSING when the image has none that is whole. */
export const loadTrustedRoot = async (
  files: TrustedFiles,
  initialRoot: Uint8Array | null,
  schemes = agentSchemes,
): Promise<Trusted<RootMetadata>> => {
  let root = readInitialRoot(initialRoot, schemes);
  for (let next = await nextFromHistory(files, root.signed, schemes); next !== null; ) {
    root = next;
    next = await nextFromHistory(files, root.signed, schemes);
  }
  const marker = await files.read('root.json');
  if (marker === null || Buffer.compare(marker, root.bytes) !== 0) {
    // A cut inside storeRoot, or a new image with a newer root: what was accepted under the old keys may have to go.
    const before = parsedRoot(marker);
    if (before !== null && isRotated(before, root.signed)) {
      await forget(files);
    }
    await files.write('root.json', root.bytes);
  }
  return root;
};

/**
 * 5.3.8 and 5.3.11. History first, then what it voids, then the marker: a cut in between leaves a marker that still names the
 * old root, and loading finishes the work. The specification forgets after the last rotation; doing it at each is the same.
 */
export const storeRoot = async (
  files: TrustedFiles,
  before: RootMetadata,
  next: Trusted<RootMetadata>,
): Promise<void> => {
  await files.write(historyName(next.signed.version), next.bytes);
  if (isRotated(before, next.signed)) {
    await forget(files);
  }
  await files.write('root.json', next.bytes);
};
