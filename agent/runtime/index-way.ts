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

type Counting = Pick<WindowPorts, 'onFetched' | 'onDropped'>;

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
    if (held.miss(step)) {
      fill.log.warn('A slot does not hold what its chunk index says. Its other chunks are fetched.', {
        slot: step.place,
      });
      return 'outdated';
    }
    const fetched = await fetchChunk(job, table, chunk, 0);
    if (fetched === null) return { closed: wrongChunk(job, chunk) };
    await pushFetched(job, table.offsetOf(chunk), fetched);
  }
  return 'done';
};

const fetch = async (
  job: Job,
  step: Extract<ChunkStep, { kind: 'fetch' }>,
  pending: PendingRange,
): Promise<Outcome> => {
  const { table, fill } = job;
  for (let chunk = step.first; chunk < step.end; chunk += 1) {
    const from = lengthOf(table, step.first, chunk);
    const to = lengthOf(table, step.first, chunk + 1);
    await pending.arrived(to);
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

/** Steps in order, the requests of those to come already under way. */
const runPlan = async (job: Job, { onFetched, onDropped }: Counting): Promise<Outcome> => {
  const { table, held, fill, source } = job;
  const { target, pace, signal, writer } = fill;
  const plan = planChunks(table, chunkAt(table, writer.arrivedBytes), held.find);
  const ahead: (() => Promise<Outcome>)[] = [];
  let next = plan.next();
  const lookAhead = (): void => {
    for (; !next.done && ahead.length < stepsAheadMax; next = plan.next()) {
      const step = next.value;
      if (step.kind === 'copy') {
        ahead.push(() => copy(job, step));
        continue;
      }
      const range = rangeOf(table, step.first, step.end);
      if (!window.hasRoom(range.lengthBytes)) return;
      const pending = window.start(range);
      ahead.push(() => fetch(job, step, pending));
    }
  };
  const onArrived = (lengthBytes: number): void => {
    onFetched(lengthBytes);
    lookAhead();
  };
  const ports = { source, file: target.artifact, pace, onFetched: onArrived, onDropped, signal };
  const window = createRangeWindow(ports);
  try {
    for (;;) {
      lookAhead();
      const run = ahead.shift();
      if (run === undefined) return 'done';
      const outcome = await run();
      if (outcome !== 'done') return outcome;
    }
  } finally {
    await window.close();
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
    let toFetchBytes = missingBytes(table, chunkAt(table, writer.arrivedBytes), held);
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
    tally.toFetchBytes = toFetchBytes;
    onBytes();
    try {
      const outcome = await runPlan(job, { onFetched, onDropped });
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
