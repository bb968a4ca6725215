// A gateway that runs the old one of two squashfs images, and a server that has the new one with index and patch: what tests of
// updates by patch stand on. The images are the pair of the tests of patches themselves.

import type { TestContext } from 'node:test';
import type { ArtifactPatch } from '../../agent/core/types.ts';
import { bytesSource } from '../../delta/byte-source.ts';
import { makeIndex } from '../../delta/chunk-cut.ts';
import { encodePatch, headBytesOf, readPatchHead } from '../../delta/patch-format.ts';
import type { PatchHead } from '../../delta/patch-head.ts';
import { makePatch } from '../../delta/patch-make.ts';
import { loadZstd } from '../../delta/zstd-module.ts';
import { anImageFolder, newTree, oldTree } from '../delta/patch-fixture.ts';
import { aDeltaBench, aMirrorSource, aTarget, type DeltaBench, type DeltaBenchOptions } from './delta-bench.ts';
import { aRangeServer, type RangeServer } from './range-server.ts';
import { anArtifact, sha256Of } from './slot-bench.ts';

export const patchPath = 'images/gw.squashfs.patch';
const slotBytes = 8 * 1024 * 1024;
/** Several groups, though the images are small. */
const groupBytes = 4 * 1024;

/** How the release names a patch from `base`. */
export const anArtifactPatch = (
  patch: Uint8Array,
  base: Uint8Array,
  over: Partial<ArtifactPatch> = {},
): ArtifactPatch => {
  const { sha256Hex, verity } = anArtifact(base);
  const head = headBytesOf(patch);
  return {
    path: patchPath,
    lengthBytes: patch.length,
    sha256Hex: sha256Of(patch),
    headLengthBytes: head.length,
    headSha256Hex: sha256Of(head),
    baseSha256Hex: sha256Hex,
    baseRootHex: verity?.rootHex ?? '',
    ...over,
  };
};

/** Its groups, as they stand in the file. */
export const groupsOf = (patch: Uint8Array): readonly Uint8Array[] => {
  const { head, rangeOf } = readPatchHead(headBytesOf(patch));
  return head.groups.map((_, index) => {
    const { offsetBytes, lengthBytes } = rangeOf(index);
    return patch.subarray(offsetBytes, offsetBytes + lengthBytes);
  });
};

/** Its head, as it is read. */
export const headOf = (patch: Uint8Array): PatchHead => readPatchHead(headBytesOf(patch)).head;

/** The same patch with another head, as a publisher might sign it who is mistaken, or worse. */
export const withHead = (patch: Uint8Array, over: (head: PatchHead) => Partial<PatchHead>): Uint8Array => {
  const head = headOf(patch);
  return encodePatch({ ...head, ...over(head) }, groupsOf(patch));
};

export interface PatchPair {
  readonly old: Buffer;
  readonly image: Buffer;
  readonly oldIndex: Uint8Array;
  readonly index: Uint8Array;
  readonly patch: Uint8Array;
}

/** `back`: from the new image to the old one. */
export const aPatchPair = async (way: 'on' | 'back' = 'on'): Promise<PatchPair> => {
  const zstd = await loadZstd();
  const folder = anImageFolder();
  try {
    const images = [folder.image('old', oldTree), folder.image('new', newTree)] as const;
    const [old, image] = way === 'on' ? images : [images[1], images[0]];
    const cut = (bytes: Buffer) => makeIndex(bytesSource(bytes), () => (packed, max) => zstd.decompress(packed, max));
    const { bytes: patch } = await makePatch(bytesSource(old), bytesSource(image), { zstd, groupBytes });
    return { old, image, oldIndex: await cut(old), index: await cut(image), patch };
  } finally {
    folder.remove();
  }
};

export interface PatchScene {
  readonly server: RangeServer;
  readonly bench: DeltaBench;
}

export interface PatchSceneOptions extends Partial<Pick<DeltaBenchOptions, 'running' | 'devices'>> {
  readonly patch?: Uint8Array;
  readonly patches?: readonly ArtifactPatch[];
  readonly index?: Uint8Array | null;
  /** Servers with the same files behind the first. */
  readonly mirrors?: number;
}

export const aPatchScene = async (
  t: TestContext,
  pair: PatchPair,
  options: PatchSceneOptions = {},
): Promise<PatchScene & { readonly mirrors: readonly RangeServer[] }> => {
  const { patch = pair.patch, index = pair.index, patches = [anArtifactPatch(patch, pair.old)] } = options;
  const { artifact, files } = aTarget(pair.image, index);
  const all = new Map([...files, [patchPath, patch] as const]);
  const server = await aRangeServer(t, all);
  const mirrors = await Promise.all(Array.from({ length: options.mirrors ?? 0 }, () => aRangeServer(t, all)));
  const bench = aDeltaBench({
    slotBytes,
    running: { image: pair.old, index: pair.oldIndex },
    artifact: { ...artifact, patches },
    source: aMirrorSource(
      t,
      [server, ...mirrors].map(({ url }) => url),
    ),
    ...options,
  });
  return { server, bench, mirrors };
};
