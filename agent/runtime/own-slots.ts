// The slots of this gateway that chunks of an image can be copied from, opened for one attempt: what runs, by the index that it
// carries; what the other slot held before; and whatever of this very image it holds still. The running slot only saves bytes:
// what cannot be opened or read there is a reason, never an error.

import { OtadError } from '../core/errors.ts';
import type { ChunkTable, Indexing, Sealing, SlotDevices, SlotReader } from '../core/ports.ts';
import { otherSlot } from '../core/types.ts';
import { chunkAt } from './chunk-plan.ts';
import type { Fill } from './fill-way.ts';
import { createHeldChunks, type HeldChunks, type HeldSlot, readBytes } from './held-chunks.ts';
import { findIndex } from './slot-index.ts';
import { isDeviceFault } from './slot-medium.ts';

export interface OwnSlotPorts {
  readonly slots: SlotDevices;
  readonly sealing: Sealing;
  readonly indexing: Indexing;
}

export interface OwnSlots {
  readonly held: HeldChunks;
  /** Why nothing can be copied from the running slot; null: it carries an index. */
  readonly runningReason: string | null;
  close(): Promise<void>;
}

/** Why the running slot is done without. What says nothing about that slot is thrown. */
export const asSlotReason = (error: unknown): string => {
  if (!isDeviceFault(error)) throw error;
  return `the running slot cannot be read: ${(error as OtadError).message}`;
};

const openRunning = async (fill: Fill, ports: OwnSlotPorts, readers: SlotReader[]): Promise<HeldSlot | string> => {
  const { slots, indexing } = ports;
  const running = otherSlot(fill.slot);
  const noIndex = 'the running slot carries no chunk index';
  try {
    const record = await slots.readRecord(running, fill.signal);
    if (record === null) return noIndex;
    const reader = await slots.openForReading(running, fill.signal);
    readers.push(reader);
    const found = await findIndex(reader, record, ports, fill.signal);
    if (found === null || typeof fill.index === 'string') return noIndex;
    const { table } = found;
    return { place: 'running', reader, table, matches: indexing.match(fill.index.table, table) };
  } catch (error) {
    return asSlotReason(error);
  }
};

/**
 * The chunks of this image that stand in their places already, ahead of the writer: behind the mark what an attempt that died had
 * written, up to the first that is wrong; before it all that did not rot. Each is read and checked.
 */
const findOwn = async (fill: Fill, table: ChunkTable, reader: SlotReader): Promise<Int32Array | null> => {
  const { writer, writtenBytes, signal } = fill;
  const matches = new Int32Array(table.count).fill(-1);
  let found = 0;
  for (let chunk = chunkAt(table, writer.arrivedBytes); chunk < table.count; chunk += 1) {
    if (signal.aborted) throw new OtadError('CANCELLED', { step: 'read slot' });
    const offsetBytes = table.offsetOf(chunk);
    const bytes = await readBytes(reader, offsetBytes, table.offsetOf(chunk + 1) - offsetBytes, signal);
    const isRight = bytes !== null && table.isChunk(chunk, bytes);
    if (!isRight && offsetBytes >= writtenBytes) break;
    if (!isRight) continue;
    matches[chunk] = chunk;
    found += 1;
  }
  return found === 0 ? null : matches;
};

const openOther = async (
  fill: Fill,
  table: ChunkTable,
  { slots, indexing }: OwnSlotPorts,
  readers: SlotReader[],
): Promise<readonly HeldSlot[]> => {
  const { before, signal, slot } = fill;
  const reader = await slots.openForReading(slot, signal);
  readers.push(reader);
  const own = await findOwn(fill, table, reader);
  const other = { place: 'other', reader } as const;
  return [
    ...(own === null ? [] : [{ ...other, table, matches: own }]),
    ...(before === null ? [] : [{ ...other, table: before.table, matches: indexing.match(table, before.table) }]),
  ];
};

export const openOwnSlots = async (fill: Fill, table: ChunkTable, ports: OwnSlotPorts): Promise<OwnSlots> => {
  const readers: SlotReader[] = [];
  const close = async (): Promise<void> => {
    for (const reader of readers) await reader.close();
  };
  try {
    const running = await openRunning(fill, ports, readers);
    const others = await openOther(fill, table, ports, readers);
    // The running slot first: the other one may hold less than its index says.
    const isReadable = typeof running !== 'string';
    const held = createHeldChunks(table, [...(isReadable ? [running] : []), ...others]);
    return { held, runningReason: isReadable ? null : running, close };
  } catch (error) {
    await close();
    throw error;
  }
};
