// A pair of images by every way that the daemon has: a vendor publishes them, and a gateway with the old one takes the new one
// whole, by the index and by the patch.

import { mkdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { measureUpdate, type WireUpdate } from './wire-gateway.ts';
import type { ReleaseCost } from './wire-release.ts';
import { createWireVendor, type Way, ways } from './wire-vendor.ts';

const mebibyte = 1024 * 1024;

export interface PairWire {
  readonly oldBytes: number;
  readonly newBytes: number;
  readonly updates: Readonly<Record<Way, WireUpdate>>;
  /** Making the index, with storing the image; making and proving the patch, with signing. */
  readonly making: { readonly index: ReleaseCost; readonly patch: ReleaseCost };
}

/** Image, tree, index and record, with room to spare. */
const slotBytesFor = (imageBytes: number): number =>
  Math.ceil((imageBytes * 1.02 + 16 * mebibyte) / mebibyte) * mebibyte;

export interface PairOptions {
  /** Is created; everything that is made lies below it. */
  readonly folder: string;
  readonly oldPath: string;
  readonly newPath: string;
  readonly onStep: (line: string) => void;
}

export const measurePair = async ({ folder, oldPath, newPath, onStep }: PairOptions): Promise<PairWire> => {
  await mkdir(folder, { recursive: true });
  onStep('publishing');
  const vendor = await createWireVendor({ folder, oldPath, newPath });
  const { size: oldBytes } = await stat(oldPath);
  const { size: newBytes } = await stat(newPath);
  const slotBytes = slotBytesFor(Math.max(oldBytes, newBytes));
  const by = async (way: Way) => {
    onStep(way === 'patch' ? 'making the patch, updating by it' : `updating: ${way}`);
    return await measureUpdate(join(folder, `g-${way}`), vendor, way, slotBytes);
  };
  // In the order of `ways`: once the patch is made, every offer of the release names it.
  const [full, index, patch] = [await by(ways[0]), await by(ways[1]), await by(ways[2])];
  return {
    ...{ oldBytes, newBytes },
    updates: { full: full.update, index: index.update, patch: patch.update },
    making: { index: vendor.index, patch: patch.offer },
  };
};
