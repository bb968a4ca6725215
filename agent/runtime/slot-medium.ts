// Reading what a slot's medium holds: piece by piece, through the handle that has it open, never more than one transfer in
// memory. Says what differs; what that means is for the caller.

import { OtadError } from '../core/errors.ts';
import type { Sealing, SlotHandle } from '../core/ports.ts';
import { ceilToBlock } from '../core/slot-layout.ts';
import type { SlotRecord } from '../core/types.ts';

/** One write to the medium, and one read of it. */
export const transferBytes = 1024 * 1024;

/** Some bytes and their place in the slot. */
export interface Run {
  readonly offsetBytes: number;
  readonly bytes: Uint8Array;
}

/** True for a medium that does not give a block back or take one: it may be written again, and often heals by that. */
export const isMediumFault = (error: unknown): boolean => error instanceof OtadError && error.code === 'SLOT_IO';

/** True for anything that is wrong with a slot itself: gone, held, not opened, not read. */
export const isDeviceFault = (error: unknown): boolean => error instanceof OtadError && error.class === 'device';

export const isEqual = (a: Uint8Array, b: Uint8Array): boolean => {
  if (a.length !== b.length) return false;
  for (let index = 0; index < a.length; index += 1) {
    if (a[index] !== b[index]) return false;
  }
  return true;
};

/** True when the medium holds these bytes; a block that it does not give back is not one of them. */
export const isOnMedium = async (handle: SlotHandle, run: Run, signal: AbortSignal): Promise<boolean> => {
  for (let done = 0; done < run.bytes.length; done += transferBytes) {
    const expected = run.bytes.subarray(done, done + transferBytes);
    try {
      if (!isEqual(await handle.read(run.offsetBytes + done, expected.length, signal), expected)) return false;
    } catch (error) {
      if (!isMediumFault(error)) throw error;
      return false;
    }
  }
  return true;
};

/** Called with a piece of the image, padded to whole blocks, and the number of the image's bytes in it. */
export type PieceVisitor = (padded: Uint8Array, lengthBytes: number) => void | Promise<void>;

/** Visits the first `lengthBytes` bytes of the slot in order. */
export const visitImage = async (
  handle: SlotHandle,
  lengthBytes: number,
  visit: PieceVisitor,
  signal: AbortSignal,
): Promise<void> => {
  for (let offset = 0; offset < lengthBytes; offset += transferBytes) {
    if (signal.aborted) throw new OtadError('CANCELLED', { step: 'read slot', offset });
    const length = Math.min(transferBytes, lengthBytes - offset);
    await visit(await handle.read(offset, ceilToBlock(length), signal), length);
  }
};

/** Where a slot differs from what its record says, or that it does not. */
export type ReadBack =
  | { readonly kind: 'same' }
  | { readonly kind: 'differs'; readonly part: 'image' | 'tree'; readonly rootHex: string };

/** Reads image and tree back and compares them with the root of the record. */
export const readBack = async (
  handle: SlotHandle,
  sealing: Sealing,
  record: SlotRecord,
  onBytes: (doneBytes: number) => void,
  signal: AbortSignal,
): Promise<ReadBack> => {
  const { verity, imageLengthBytes } = record;
  const runs: Run[] = [];
  const tree = sealing.createTreeBuilder(verity, imageLengthBytes, (offsetBytes, bytes) =>
    runs.push({ offsetBytes: verity.hashOffsetBytes + offsetBytes, bytes }),
  );
  let isTreeSame = true;
  const compareRuns = async (): Promise<void> => {
    for (const run of runs.splice(0)) isTreeSame = (await isOnMedium(handle, run, signal)) && isTreeSame;
  };
  let doneBytes = 0;
  const visit = async (padded: Uint8Array, lengthBytes: number): Promise<void> => {
    tree.update(padded);
    await compareRuns();
    doneBytes += lengthBytes;
    onBytes(doneBytes);
  };
  await visitImage(handle, imageLengthBytes, visit, signal);
  const { rootHex, bytes } = tree.finish();
  await compareRuns();
  const isHeadSame = await isOnMedium(handle, { offsetBytes: verity.hashOffsetBytes, bytes }, signal);
  if (rootHex !== verity.rootHex) return { kind: 'differs', part: 'image', rootHex };
  return isTreeSame && isHeadSame ? { kind: 'same' } : { kind: 'differs', part: 'tree', rootHex };
};
