// Decides what becomes of each unit of a new image: copied from the old one, made again on the gateway, or carried as it is. For
// the publisher; the answer is the same on every machine.

import { createHash } from 'node:crypto';
import { OtadError } from '../agent/core/errors.ts';
import type { ImageContent } from './image-content.ts';
import type { Unit } from './image-tables.ts';
import { copyBytesMax, type OperationKind, tableHeaderBytes } from './patch-operations.ts';
import type { Zstd } from './zstd.ts';

export type PatchStep = 'read' | 'recompress' | 'search' | 'write' | 'prove';

export interface MakeOptions {
  readonly zstd: Zstd;
  readonly windowBytes?: number | undefined;
  /** Streams of a group before it is closed. */
  readonly groupBytes?: number | undefined;
  /** `done` of `total` of the step; the units differ from step to step. */
  readonly onProgress?: ((step: PatchStep, done: number, total: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

export const checkCancelled = (signal: AbortSignal | undefined): void => {
  if (signal?.aborted === true) throw new OtadError('CANCELLED', { step: 'patch' });
};

/** What becomes of a unit of the new image. */
export type Fate =
  | { readonly kind: 'copy'; readonly oldOffset: number }
  | { readonly kind: Exclude<OperationKind, 'copy'> }
  | { readonly kind: 'literal' };

export const headerBytesOf = ({ kind }: Unit): number => (kind === 'table' ? tableHeaderBytes : 0);

/** Offsets in the old image by the digest of what lies there. */
const indexPacked = async (old: ImageContent): Promise<ReadonlyMap<string, readonly number[]>> => {
  const index = new Map<string, number[]>();
  for (const [number, unit] of old.units.entries()) {
    const key = packedKey(await old.readPacked(number));
    const offset = unit.offsetBytes - headerBytesOf(unit);
    const known = index.get(key);
    if (known === undefined) index.set(key, [offset]);
    // One place is enough, and one more for runs of alike blocks.
    else if (known.length < 4) known.push(offset);
  }
  return index;
};
const packedKey = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('base64');

const recompresses = async (image: ImageContent, number: number, zstd: Zstd): Promise<boolean> => {
  const unit = image.units[number] as Unit;
  const again = zstd.compress(await image.readRaw(number), image.level);
  const packed = await image.readPacked(number);
  return packed.subarray(headerBytesOf(unit)).equals(again);
};

export const decideFates = async (
  old: ImageContent,
  image: ImageContent,
  options: MakeOptions,
): Promise<readonly Fate[]> => {
  const { zstd, onProgress, signal } = options;
  const index = await indexPacked(old);
  const fates: Fate[] = [];
  let copyEnd = -1;
  for (const [number, unit] of image.units.entries()) {
    checkCancelled(signal);
    if (number % 64 === 0) {
      onProgress?.('recompress', number, image.units.length);
      await new Promise((resolve) => setImmediate(resolve));
    }
    const packed = await image.readPacked(number);
    const places = unit.kind === 'raw' && unit.lengthBytes < copyBytesMax ? [] : (index.get(packedKey(packed)) ?? []);
    const oldOffset = places.find((place) => place === copyEnd) ?? places[0];
    if (oldOffset !== undefined) {
      fates.push({ kind: 'copy', oldOffset });
      copyEnd = oldOffset + packed.length;
    } else if (unit.kind === 'raw') fates.push({ kind: 'raw' });
    else if (unit.isStored) fates.push({ kind: unit.kind === 'table' ? 'stored-table' : 'raw' });
    else if (await recompresses(image, number, zstd)) fates.push({ kind: unit.kind === 'table' ? 'table' : 'block' });
    else fates.push({ kind: 'literal' });
  }
  return fates;
};
