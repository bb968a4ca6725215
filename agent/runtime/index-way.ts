// The way of the chunk index: chunks that this gateway's own slots hold are copied, the others fetched by Range requests that run
// ahead. Every chunk is checked by the signed index before the writer gets it, and the writer gets them in order, so that a
// cut costs what is in memory and nothing else.

import { OtadError } from '../core/errors.ts';
import type { ChunkTable, Indexing, ReleaseSource, Sealing, SlotDevices, SlotReader } from '../core/ports.ts';
import { otherSlot } from '../core/types.ts';
import { type ChunkStep, chunkAt, planChunks } from './chunk-plan.ts';
import { type ChunkSupply, fetchAlone, noRisk, push, pushFetched } from './chunk-supply.ts';
import type { Fill, FillWay } from './fill-way.ts';
import { createHeldChunks, type HeldChunks, type HeldSlot, readBytes } from './held-chunks.ts';
import { createRangeWindow, type PendingRange, type RangeWindow } from './range-window.ts';
import { findIndex } from './slot-index.ts';

/** Steps that are planned ahead, so that requests run while a long stretch is copied. */
const stepsAheadMax = 64;

export interface IndexWayPorts {
  readonly slots: SlotDevices;
  readonly source: ReleaseSource;
  readonly sealing: Sealing;
  readonly indexing: Indexing;
}

interface Job extends ChunkSupply {
  readonly table: ChunkTable;
  readonly held: HeldChunks;
  /** Requests up to this one went to a server that has sent wrong bytes. */
  readonly suspects: { upTo: number };
}

const lengthOf = (table: ChunkTable, first: number, end: number): number => table.offsetOf(end) - table.offsetOf(first);

const rangeOf = (table: ChunkTable, first: number, end: number) => ({
  offsetBytes: table.offsetOf(first),
  lengthBytes: lengthOf(table, first, end),
});

/** One chunk by itself, out of turn. Null where it is not what the index says. */
const fetchChunk = async (job: Job, chunk: number): Promise<Uint8Array | null> => {
  const { fill, table } = job;
  const bytes = await fetchAlone(job, fill.target.artifact, rangeOf(table, chunk, chunk + 1));
  return table.isChunk(chunk, bytes) ? bytes : null;
};

const wrongChunk = (job: Job, chunk: number): string =>
  `the server sends other bytes than the chunk index names, at byte ${job.table.offsetOf(chunk)}`;

/** How a step ended: with all its bytes, with a plan that is out of date, or with the reason why this way cannot go on. */
type Outcome = 'done' | 'outdated' | { readonly closed: string };

const copy = async (job: Job, step: Extract<ChunkStep, { kind: 'copy' }>): Promise<Outcome> => {
  const { fill, table, held } = job;
  const { tally, onBytes, signal } = fill;
  const start = table.offsetOf(step.first);
  const bytes = await held.read(step, signal);
  for (let chunk = step.first; chunk < step.end; chunk += 1) {
    const piece = bytes?.subarray(table.offsetOf(chunk) - start, table.offsetOf(chunk + 1) - start) ?? null;
    if (piece !== null && table.isChunk(chunk, piece)) {
      tally.copiedBytes += await push(job, table.offsetOf(chunk), piece);
      onBytes();
      continue;
    }
    if (held.miss(step.place)) {
      fill.log.warn('A slot does not hold what its chunk index says. Its other chunks are fetched.', {
        slot: step.place,
      });
      return 'outdated';
    }
    const fetched = await fetchChunk(job, chunk);
    if (fetched === null) return { closed: wrongChunk(job, chunk) };
    await pushFetched(job, table.offsetOf(chunk), fetched);
  }
  return 'done';
};

/** Once for each server: what was asked for before it was found out says nothing of the next one. */
const distrust = ({ source, suspects }: Job, window: RangeWindow, pending: PendingRange): void => {
  if (pending.number <= suspects.upTo) return;
  suspects.upTo = window.newest();
  source.distrustServer();
};

const fetch = async (
  job: Job,
  step: Extract<ChunkStep, { kind: 'fetch' }>,
  window: RangeWindow,
  pending: PendingRange,
): Promise<Outcome> => {
  const { table, fill } = job;
  for (let chunk = step.first; chunk < step.end; chunk += 1) {
    await pending.arrived(lengthOf(table, step.first, chunk + 1));
    const from = lengthOf(table, step.first, chunk);
    let bytes: Uint8Array | null = pending.bytes.subarray(from, from + lengthOf(table, chunk, chunk + 1));
    if (!table.isChunk(chunk, bytes)) {
      distrust(job, window, pending);
      fill.tally.overheadBytes += bytes.length;
      bytes = await fetchChunk(job, chunk);
      if (bytes === null) return { closed: wrongChunk(job, chunk) };
    }
    await pushFetched(job, table.offsetOf(chunk), bytes);
  }
  return 'done';
};

/** Steps in order, the requests of those to come already under way. */
const runPlan = async (job: Job, window: RangeWindow): Promise<Outcome> => {
  const { table, held, fill } = job;
  const plan = planChunks(table, chunkAt(table, fill.writer.arrivedBytes), held.find);
  const ahead: { readonly step: ChunkStep; pending: PendingRange | null }[] = [];
  let next = plan.next();
  const lookAhead = (): void => {
    while (!next.done && ahead.length < stepsAheadMax) {
      const step = next.value;
      const range = step.kind === 'fetch' ? rangeOf(table, step.first, step.end) : null;
      if (range !== null && !window.hasRoom(range.lengthBytes)) return;
      ahead.push({ step, pending: range === null ? null : window.start(range) });
      next = plan.next();
    }
  };
  for (lookAhead(); ahead.length > 0; lookAhead()) {
    const { step, pending } = ahead.shift() ?? { step: null, pending: null };
    if (step === null) break;
    const outcome =
      step.kind === 'copy'
        ? await copy(job, step)
        : pending === null
          ? 'done'
          : await fetch(job, step, window, pending);
    pending?.release();
    if (outcome !== 'done') return outcome;
  }
  return 'done';
};

const missingBytes = (table: ChunkTable, first: number, held: HeldChunks): number => {
  let sum = 0;
  for (const step of planChunks(table, first, held.find)) {
    if (step.kind === 'fetch') sum += lengthOf(table, step.first, step.end);
  }
  return sum;
};

/** What cannot be had by ranges may be had in one stream. */
const asClosed = (error: unknown): string => {
  if (!(error instanceof OtadError)) throw error;
  const isUnsatisfiable = error.code === 'HTTP_STATUS' && error.details.status === 416;
  if (error.code !== 'HTTP_RANGE_MISMATCH' && error.code !== 'FILE_TOO_LARGE' && !isUnsatisfiable) throw error;
  return `the server gives no ranges: ${error.message}`;
};

const runJob = async (job: Job): Promise<string | null> => {
  const { fill, table, held, source } = job;
  const { tally, target, signal, onBytes, writer } = fill;
  for (;;) {
    job.suspects.upTo = 0;
    let toFetchBytes = missingBytes(table, chunkAt(table, writer.arrivedBytes), held);
    const onFetched = (lengthBytes: number): void => {
      tally.fetchedBytes += lengthBytes;
      toFetchBytes -= lengthBytes;
      tally.toFetchBytes = toFetchBytes;
      onBytes();
    };
    tally.toFetchBytes = toFetchBytes;
    onBytes();
    const window = createRangeWindow({ source, file: target.artifact, onFetched, signal });
    try {
      const outcome = await runPlan(job, window);
      if (outcome === 'done') return null;
      if (outcome !== 'outdated') return outcome.closed;
    } catch (error) {
      return asClosed(error);
    } finally {
      await window.close();
    }
  }
};

export const createIndexWay = (ports: IndexWayPorts): FillWay => {
  const { slots, source, indexing } = ports;

  /** What the running slot holds, by the index that it carries. */
  const openRunning = async (fill: Fill, readers: SlotReader[]): Promise<HeldSlot | null> => {
    const running = otherSlot(fill.slot);
    const record = await slots.readRecord(running, fill.signal);
    if (record === null) return null;
    const reader = await slots.openForReading(running, fill.signal);
    readers.push(reader);
    const found = await findIndex(reader, record, ports, fill.signal);
    return found === null ? null : { place: 'running', reader, table: found.table };
  };

  /** What the other slot held before, and behind the mark whatever of this image an attempt that died had written. */
  const openOther = async (fill: Fill, table: ChunkTable, readers: SlotReader[]): Promise<readonly HeldSlot[]> => {
    const { writer, before, signal, slot, writtenBytes } = fill;
    const reader = await slots.openForReading(slot, signal);
    readers.push(reader);
    const first = chunkAt(table, writer.arrivedBytes);
    let end = Math.max(first, chunkAt(table, writtenBytes));
    for (; end < table.count; end += 1) {
      const bytes = await readBytes(reader, table.offsetOf(end), lengthOf(table, end, end + 1), signal);
      if (bytes === null || !table.isChunk(end, bytes)) break;
    }
    return [
      ...(end === first ? [] : [{ place: 'other' as const, reader, table: firstChunks(table, end) }]),
      ...(before === null ? [] : [{ place: 'other' as const, reader, table: before.table }]),
    ];
  };

  return {
    name: 'index',
    bring: async (fill) => {
      if (typeof fill.index === 'string') return fill.index;
      const { table } = fill.index;
      const readers: SlotReader[] = [];
      try {
        const running = await openRunning(fill, readers);
        const others = await openOther(fill, table, readers);
        // The running slot first: the other one may hold less than its index says.
        const slotsHeld = [...(running === null ? [] : [running]), ...others];
        const suspects = { upTo: 0 };
        const held = createHeldChunks(table, slotsHeld, indexing);
        const leftBytes = table.imageLengthBytes - fill.writer.arrivedBytes;
        if (missingBytes(table, chunkAt(table, fill.writer.arrivedBytes), held) >= leftBytes) {
          return running === null
            ? 'the running slot carries no chunk index'
            : 'no slot of this gateway holds a chunk of the image';
        }
        return await runJob({ fill, table, held, source, suspects, risk: noRisk() });
      } finally {
        for (const reader of readers) await reader.close();
      }
    },
  };
};

/** The same index, as far as chunk `count`. */
const firstChunks = (table: ChunkTable, count: number): ChunkTable => ({ ...table, count });
