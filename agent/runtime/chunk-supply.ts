// What the ways that make an image out of chunks have in common: giving the writer a chunk, less what it holds already, and
// fetching one by itself. Fetched bytes are given to the medium, and marked, before many of them could be lost.

import { isRangeless, OtadError } from '../core/errors.ts';
import type { ByteRange, ChunkTable, ReleaseSource } from '../core/ports.ts';
import type { ArtifactFile } from '../core/types.ts';
import { chunkAt } from './chunk-plan.ts';
import type { Fill } from './fill-way.ts';
import { readBytes } from './held-chunks.ts';
import { createRangeWindow } from './range-window.ts';

/** Fetched bytes that may wait in the writer, however fast they come: beyond, they are given to the medium though its transfer is not full. */
const waitingBytesMax = 256 * 1024;
/** Fetched bytes that a power cut may cost, however fast they come. */
const unmarkedBytesMax = 1024 * 1024;

export interface ChunkSupply {
  readonly fill: Fill;
  readonly source: ReleaseSource;
  /** Fetched bytes that are in memory alone. */
  readonly risk: { waitingBytes: number };
}

export const noRisk = (): ChunkSupply['risk'] => ({ waitingBytes: 0 });

/** What is missing of the chunk that the writer's position lies in: it is lost with any cut before it is whole. */
const comingBytes = ({ index, writer }: Fill): number => {
  if (typeof index === 'string') return 0;
  const { arrivedBytes } = writer;
  return index.table.offsetOf(chunkAt(index.table, arrivedBytes) + 1) - arrivedBytes;
};

/**
 * Gives the writer the bytes from `offsetBytes` of the image, less what it holds of them already. Gives how many were new.
 * `isOwn`: the gateway had them, so a cut costs nothing of the link.
 */
export const push = async (fill: Fill, offsetBytes: number, bytes: Uint8Array, isOwn: boolean): Promise<number> => {
  const { writer } = fill;
  const fresh = bytes.subarray(Math.max(0, writer.arrivedBytes - offsetBytes));
  await (isOwn ? writer.pushOwn(fresh) : writer.push(fresh));
  if (writer.fault !== null) throw writer.fault;
  await writer.markIfDue(comingBytes(fill));
  return fresh.length;
};

/** The same for bytes that came over the network. */
export const pushFetched = async (supply: ChunkSupply, offsetBytes: number, bytes: Uint8Array): Promise<void> => {
  const { fill, risk } = supply;
  const freshBytes = await push(fill, offsetBytes, bytes, false);
  fill.tally.overheadBytes += bytes.length - freshBytes;
  risk.waitingBytes += bytes.length;
  fill.onBytes();
  if (risk.waitingBytes < waitingBytesMax) return;
  await fill.writer.writeOut(fill.writer.unmarkedBytes >= unmarkedBytesMax);
  risk.waitingBytes = 0;
};

/**
 * The beginning of the chunk that the writer's position lies in, as the slot holds it: marks are whole blocks, and chunks are not.
 * Empty at the beginning of a chunk, and where the slot does not give it back.
 */
export const begunChunk = async ({ writer, medium, signal }: Fill, table: ChunkTable): Promise<Uint8Array> => {
  const { positionBytes } = writer;
  const start = table.offsetOf(chunkAt(table, positionBytes));
  if (writer.arrivedBytes > positionBytes || start === positionBytes) return new Uint8Array();
  return (await readBytes(medium, start, positionBytes - start, signal))?.slice() ?? new Uint8Array();
};

interface Sent {
  readonly bytes: Uint8Array;
  readonly server: string;
}

/** One stretch of a file by itself, out of turn, and as one server sent it. */
export const fetchAlone = async (
  { fill, source }: Pick<ChunkSupply, 'fill' | 'source'>,
  file: ArtifactFile,
  range: ByteRange,
): Promise<Sent> => {
  const { tally, pace, signal, onBytes } = fill;
  const onFetched = (lengthBytes: number): void => {
    tally.fetchedBytes += lengthBytes;
    onBytes();
  };
  const onDropped = (lengthBytes: number): void => {
    tally.overheadBytes += lengthBytes;
  };
  const window = createRangeWindow({ source, file, pace, onFetched, onDropped, signal });
  try {
    const pending = window.start(range);
    await pending.arrived(range.lengthBytes);
    return { bytes: pending.bytes, server: pending.server };
  } finally {
    await window.close();
  }
};

/** Even where there is one server only: what spoiled the bytes may have been something on the way. */
const triesMin = 2;

/**
 * The same, from whichever server sends what is right; null where none does. What was wrong counts as overhead, and so does
 * what was asked for `triesBefore`.
 */
export const fetchRight = async (
  supply: Pick<ChunkSupply, 'fill' | 'source'>,
  file: ArtifactFile,
  range: ByteRange,
  isRight: (bytes: Uint8Array) => boolean,
  triesBefore = 0,
): Promise<Uint8Array | null> => {
  const { fill, source } = supply;
  for (let tries = triesBefore; tries < Math.max(triesMin, source.serverCount); tries += 1) {
    const { bytes, server } = await fetchAlone(supply, file, range);
    if (isRight(bytes)) return bytes;
    fill.tally.overheadBytes += bytes.length;
    source.distrust(server);
  }
  return null;
};

/** One chunk by itself, out of turn. Null where no server sends what the index says. */
export const fetchChunk = (
  supply: Pick<ChunkSupply, 'fill' | 'source'>,
  table: ChunkTable,
  chunk: number,
  triesBefore: number,
): Promise<Uint8Array | null> => {
  const offsetBytes = table.offsetOf(chunk);
  const range = { offsetBytes, lengthBytes: table.offsetOf(chunk + 1) - offsetBytes };
  const isRight = (bytes: Uint8Array): boolean => table.isChunk(chunk, bytes);
  return fetchRight(supply, supply.fill.target.artifact, range, isRight, triesBefore);
};

/** Fetches what is missing of a chunk that has begun, so that a cut in it does not cost the chunk. What comes out wrong is left alone. */
export const endChunk = async (supply: ChunkSupply, table: ChunkTable): Promise<void> => {
  const { fill } = supply;
  const { writer, target, tally } = fill;
  const begun = await begunChunk(fill, table);
  if (begun.length === 0) return;
  const offsetBytes = writer.positionBytes;
  const chunk = chunkAt(table, offsetBytes);
  const range = { offsetBytes, lengthBytes: table.offsetOf(chunk + 1) - offsetBytes };
  const { bytes } = await fetchAlone(supply, target.artifact, range);
  if (table.isChunk(chunk, Buffer.concat([begun, bytes]))) await pushFetched(supply, offsetBytes, bytes);
  else tally.overheadBytes += bytes.length;
};

/** Why ranges are not to be had. What cannot be had by ranges may be had in one stream; any other error is thrown. */
export const asRangeless = (error: unknown): string => {
  if (!(error instanceof OtadError) || (error.code !== 'FILE_TOO_LARGE' && !isRangeless(error))) throw error;
  return `the server gives no ranges: ${error.message}`;
};
