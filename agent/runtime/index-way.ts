// The way of the chunk index: chunks that this gateway's own slots hold are copied, the others fetched by Range requests that run
// ahead. Every chunk is checked by the signed index before the writer gets it, and the writer gets them in order, so that a
// cut costs what is in memory and not marked, and nothing else.

import type { ChunkTable, ReleaseSource } from '../core/ports.ts';
import { type ChunkStep, chunkAt, planChunks } from './chunk-plan.ts';
import { asRangeless, type ChunkSupply, endChunk, fetchChunk, noRisk, push, pushFetched } from './chunk-supply.ts';
import type { Fill, FillWay } from './fill-way.ts';
import type { HeldChunks } from './held-chunks.ts';
import { type OwnSlotPorts, type OwnSlots, openOwnSlots } from './own-slots.ts';
import { createRangeWindow, type PendingRange, type WindowPorts } from './range-window.ts';

/** Steps that are planned ahead, so that requests run while a long stretch is copied. */
const stepsAheadMax = 64;

export interface IndexWayPorts extends OwnSlotPorts {
  readonly source: ReleaseSource;
}

interface Counting extends Pick<WindowPorts, 'onFetched' | 'onDropped'> {
  /** Copies that were planned are to be fetched; so many bytes of what the plan fetches are here, and not yet in the image. */
  readonly onStale: (unusedBytes: number) => void;
}

type CopyStep = Extract<ChunkStep, { kind: 'copy' }>;
type FetchStep = Extract<ChunkStep, { kind: 'fetch' }>;

/** A step that is planned; the request of one that fetches is under way. */
type Planned = CopyStep | (FetchStep & { readonly pending: PendingRange });

interface Job extends ChunkSupply {
  readonly table: ChunkTable;
  readonly held: HeldChunks;
}

const lengthOf = (table: ChunkTable, first: number, end: number): number => table.offsetOf(end) - table.offsetOf(first);

const rangeOf = (table: ChunkTable, first: number, end: number) => ({
  offsetBytes: table.offsetOf(first),
  lengthBytes: lengthOf(table, first, end),
});

const wrongChunk = (job: Job, chunk: number): string =>
  `the server sends other bytes than the chunk index names, at byte ${job.table.offsetOf(chunk)}`;

/** The reason why this way cannot go on. */
interface Closed {
  readonly closed: string;
}

/** What the step copies from is given up: from this chunk on nothing of it came. */
interface Stale {
  readonly staleFrom: number;
}

const copy = async (job: Job, step: CopyStep): Promise<'done' | Stale | Closed> => {
  const { fill, table, held } = job;
  const { tally, onBytes, signal } = fill;
  const start = table.offsetOf(step.first);
  const bytes = await held.read(step, signal);
  for (let chunk = step.first; chunk < step.end; chunk += 1) {
    const piece = bytes?.subarray(table.offsetOf(chunk) - start, table.offsetOf(chunk + 1) - start) ?? null;
    if (piece !== null && table.isChunk(chunk, piece)) {
      tally.copiedBytes += await push(fill, table.offsetOf(chunk), piece, true);
      onBytes();
      continue;
    }
    if (held.miss(step)) {
      fill.log.warn('A slot does not hold what its chunk index says. Its other chunks are fetched.', {
        slot: step.place,
      });
      return { staleFrom: chunk };
    }
    const fetched = await fetchChunk(job, table, chunk, 0);
    if (fetched === null) return { closed: wrongChunk(job, chunk) };
    await pushFetched(job, table.offsetOf(chunk), fetched);
  }
  return 'done';
};

const fetch = async (
  job: Job,
  step: FetchStep,
  pending: PendingRange,
  onUsed: (lengthBytes: number) => void,
): Promise<'done' | Closed> => {
  const { table, fill } = job;
  for (let chunk = step.first; chunk < step.end; chunk += 1) {
    const from = lengthOf(table, step.first, chunk);
    const to = lengthOf(table, step.first, chunk + 1);
    await pending.arrived(to);
    onUsed(to - from);
    let bytes: Uint8Array | null = pending.bytes.subarray(from, to);
    if (!table.isChunk(chunk, bytes)) {
      job.source.distrust(pending.server);
      fill.tally.overheadBytes += bytes.length;
      bytes = await fetchChunk(job, table, chunk, 1);
      if (bytes === null) return { closed: wrongChunk(job, chunk) };
    }
    await pushFetched(job, table.offsetOf(chunk), bytes);
    pending.taken(to);
  }
  return 'done';
};

/**
 * Steps in order, the requests of those to come already under way. Where a copy is not to be had the steps whose bytes are
 * coming are run to their end before a new plan is made: what was fetched is used, not fetched again.
 */
const runPlan = async (
  job: Job,
  { onFetched, onDropped, onStale }: Counting,
): Promise<'done' | 'outdated' | Closed> => {
  const { table, held, fill, source } = job;
  const { target, pace, signal, writer } = fill;
  const plan = planChunks(table, chunkAt(table, writer.arrivedBytes), held.find);
  const ahead: Planned[] = [];
  let next = plan.next();
  let isStale = false;
  /** Arrived, and neither in the image nor counted as fetched for nothing. */
  let unusedBytes = 0;
  const onUsed = (lengthBytes: number): void => {
    unusedBytes -= lengthBytes;
  };
  const lookAhead = (): void => {
    for (; !isStale && !next.done && ahead.length < stepsAheadMax; next = plan.next()) {
      const step = next.value;
      if (step.kind === 'fetch' && !window.hasRoom(lengthOf(table, step.first, step.end))) return;
      ahead.push(
        step.kind === 'copy' ? step : { ...step, pending: window.start(rangeOf(table, step.first, step.end)) },
      );
    }
  };
  const onArrived = (lengthBytes: number): void => {
    unusedBytes += lengthBytes;
    onFetched(lengthBytes);
    lookAhead();
  };
  const onGone = (lengthBytes: number): void => {
    unusedBytes -= lengthBytes;
    onDropped(lengthBytes);
  };
  const ports = { source, file: target.artifact, pace, onFetched: onArrived, onDropped: onGone, signal };
  const window = createRangeWindow(ports);
  /** The chunks of a copy that was planned, as they are to be had now: one request beside those that are under way. */
  const bringAnew = async (first: number, end: number): Promise<'done' | Closed> => {
    for (const step of planChunks(table, first, held.find)) {
      if (step.first >= end) break;
      const short = { ...step, end: Math.min(step.end, end) };
      const outcome =
        short.kind === 'copy'
          ? await copy(job, short)
          : await fetch(job, short, window.start(rangeOf(table, short.first, short.end)), onUsed);
      if (outcome === 'done') continue;
      return 'staleFrom' in outcome ? bringAnew(outcome.staleFrom, end) : outcome;
    }
    return 'done';
  };
  const isComing = (): boolean => ahead.some(({ kind }) => kind === 'fetch');
  const run = async (step: Planned): Promise<'done' | 'outdated' | Closed> => {
    if (step.kind === 'fetch') return fetch(job, step, step.pending, onUsed);
    if (isStale) return isComing() ? bringAnew(step.first, step.end) : 'outdated';
    const outcome = await copy(job, step);
    if (outcome === 'done' || 'closed' in outcome) return outcome;
    isStale = true;
    onStale(unusedBytes);
    return isComing() ? bringAnew(outcome.staleFrom, step.end) : 'outdated';
  };
  try {
    for (;;) {
      lookAhead();
      const step = ahead.shift();
      if (step === undefined) return next.done ? 'done' : 'outdated';
      const outcome = await run(step);
      if (outcome !== 'done') return outcome;
    }
  } finally {
    await window.close();
    onDropped(unusedBytes);
  }
};

const missingBytes = (table: ChunkTable, first: number, held: HeldChunks): number => {
  let sum = 0;
  for (const step of planChunks(table, first, held.find)) {
    if (step.kind === 'fetch') sum += lengthOf(table, step.first, step.end);
  }
  return sum;
};

const runJob = async (job: Job): Promise<string | null> => {
  const { fill, table, held } = job;
  try {
    if (held.find(chunkAt(table, fill.writer.arrivedBytes)) === null) await endChunk(job, table);
  } catch (error) {
    return asRangeless(error);
  }
  const { tally, onBytes, writer } = fill;
  for (;;) {
    const missing = (): number => missingBytes(table, chunkAt(table, writer.arrivedBytes), held);
    let toFetchBytes = missing();
    const onFetched = (lengthBytes: number): void => {
      tally.fetchedBytes += lengthBytes;
      toFetchBytes -= lengthBytes;
      tally.toFetchBytes = toFetchBytes;
      onBytes();
    };
    const onDropped = (lengthBytes: number): void => {
      tally.overheadBytes += lengthBytes;
      toFetchBytes += lengthBytes;
    };
    const onStale = (unusedBytes: number): void => {
      toFetchBytes = missing() - unusedBytes;
    };
    tally.toFetchBytes = toFetchBytes;
    onBytes();
    try {
      const outcome = await runPlan(job, { onFetched, onDropped, onStale });
      if (outcome === 'done') return null;
      if (outcome !== 'outdated') return outcome.closed;
    } catch (error) {
      return asRangeless(error);
    }
  }
};

export interface IndexWay extends FillWay {
  /** Bytes of the image that this way would fetch now. Infinite where it cannot go. */
  toFetchBytes(fill: Fill): Promise<number>;
}

export const createIndexWay = (ports: IndexWayPorts): IndexWay => {
  const { source } = ports;
  const missingOf = ({ writer }: Fill, table: ChunkTable, held: HeldChunks): number =>
    missingBytes(table, chunkAt(table, writer.arrivedBytes), held);

  const withSlots = async <T>(fill: Fill, table: ChunkTable, use: (own: OwnSlots) => Promise<T>): Promise<T> => {
    const own = await openOwnSlots(fill, table, ports);
    try {
      return await use(own);
    } finally {
      await own.close();
    }
  };

  return {
    name: 'index',
    toFetchBytes: async (fill) => {
      if (typeof fill.index === 'string') return Number.POSITIVE_INFINITY;
      const { table } = fill.index;
      return withSlots(fill, table, async ({ held }) => missingOf(fill, table, held));
    },
    bring: async (fill) => {
      if (typeof fill.index === 'string') return fill.index;
      const { table } = fill.index;
      return withSlots(fill, table, async ({ held, runningReason }) => {
        const leftBytes = table.imageLengthBytes - fill.writer.arrivedBytes;
        if (missingOf(fill, table, held) >= leftBytes) {
          return runningReason ?? 'no slot of this gateway holds a chunk of the image';
        }
        return runJob({ fill, table, held, source, risk: noRisk() });
      });
    },
  };
};
