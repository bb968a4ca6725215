// The plain image in one stream: always possible, from any static server. Where there is a chunk index it is checked by it, and one
// wrong chunk costs one chunk; without, it knows who sent the image, so that a server whose bytes are not it is not asked
// first again. Never says so of a server that did not send them all.

import { OtadError } from '../core/errors.ts';
import type { ChunkTable, ReleaseSource, ServedSink } from '../core/ports.ts';
import { floorToBlock } from '../core/slot-layout.ts';
import { type ArrivedChunk, createChunkGate } from './chunk-gate.ts';
import { chunkAt } from './chunk-plan.ts';
import { asRangeless, begunChunk, fetchChunk, push } from './chunk-supply.ts';
import type { Fill, FillWay } from './fill-way.ts';
import { createSkipped } from './skipped-bytes.ts';

/** Who sent what the slot holds of an image, and where its link breaks: remembered from one attempt to the next. */
export interface Sender {
  sha256Hex: string;
  endBytes: number;
  /** null: several, or nobody knows who. */
  server: string | null;
  /** The chunk that was cut, in so many attempts in a row. */
  cutChunk: number;
  cuts: number;
}

export const noSender = (): Sender => ({ sha256Hex: '', endBytes: 0, server: null, cutChunk: 0, cuts: 0 });

/** A link that breaks in the same chunk so often does not carry a chunk. Less often it may have been chance. */
const chunkCutsMax = 3;

export interface FullWay extends FillWay {
  /** Who sent the image that it brought, from the first byte to the last, unchecked. null: several, or nobody knows who. */
  sender(): string | null;
}

/**
 * Notes whose bytes come. Of an image that was wrong before, an attempt takes those of one server only: what several of them
 * make together could be wrong for ever, and none of them would be known to lie.
 */
const watchSender = (sender: Sender, { doubt, target, writer }: Fill): ((from: string) => void) => {
  const { sha256Hex } = target.artifact;
  const startBytes = writer.arrivedBytes;
  let sending: string | null = null;
  // A beginning that another way brought, or whose sender nobody remembers, is nobody's.
  if (sender.sha256Hex !== sha256Hex || startBytes > sender.endBytes) sender.server = null;
  if (sender.sha256Hex !== sha256Hex) sender.cuts = 0;
  sender.sha256Hex = sha256Hex;
  return (from) => {
    if (from === sending) return;
    if (sending !== null && doubt.isFullOnly) {
      throw new OtadError('HTTP_TRUNCATED', { path: target.artifact.path, reason: 'it comes from one server only' });
    }
    const isBeginning = sending === null && startBytes === 0;
    sender.server = isBeginning || sender.server === from ? from : null;
    sending = from;
  };
};

/** Takes the bytes of the stream, from `fromBytes` of the image on. */
interface Intake {
  readonly fromBytes: number;
  readonly sink: ServedSink;
  /** The stream broke. */
  onBreak(): Promise<void>;
}

const takeAsTheyCome = ({ writer }: Fill): Intake => ({
  fromBytes: writer.arrivedBytes,
  sink: writer.push,
  onBreak: async () => {},
});

/** In how many attempts in a row, with this one, the link broke in this chunk. */
const noteCut = (sender: Sender, chunk: number): number => {
  sender.cuts = sender.cutChunk === chunk ? sender.cuts + 1 : 1;
  sender.cutChunk = chunk;
  return sender.cuts;
};

/**
 * Gives the writer whole chunks that are right. A wrong one is fetched by itself; where it cannot be had the index may be wrong as
 * well, so the image's digest decides, and the index is not asked any more until the image is whole.
 */
const takeByIndex = async (
  fill: Fill,
  table: ChunkTable,
  source: ReleaseSource,
  sender: Sender,
  onGiven: () => void,
): Promise<Intake> => {
  const { writer, tally, doubt, log } = fill;
  const first = chunkAt(table, writer.arrivedBytes);
  const begun = await begunChunk(fill, table);
  const gate = createChunkGate(table, first, begun);
  /** Of a chunk, those that did not come over the network. */
  const ownBytes = (chunk: number): number => (chunk === first ? begun.length : 0);
  const rightChunk = async ({ chunk, bytes, server }: ArrivedChunk): Promise<Uint8Array> => {
    if (doubt.isFullOnly || table.isChunk(chunk, bytes)) return bytes;
    if (server !== null) source.distrust(server);
    const fetched = await fetchChunk({ fill, source }, table, chunk, server === null ? 0 : 1).catch((error) => {
      log.info('A wrong chunk cannot be fetched by itself.', { reason: asRangeless(error) });
      return null;
    });
    if (fetched === null) doubt.isFullOnly = true;
    else tally.overheadBytes += bytes.length - ownBytes(chunk);
    return fetched ?? bytes;
  };
  const give = async (whole: Iterable<ArrivedChunk>): Promise<void> => {
    for (const arrived of whole) {
      const { chunk } = arrived;
      const bytes = await rightChunk(arrived);
      const cameBytes = bytes.length - (bytes === arrived.bytes ? ownBytes(chunk) : 0);
      tally.overheadBytes += cameBytes - (await push(fill, table.offsetOf(chunk), bytes, false));
      onGiven();
    }
  };
  return {
    fromBytes: table.offsetOf(first) + begun.length,
    sink: (bytes, server) => give(gate.take(bytes, server)),
    onBreak: async () => {
      const { heldBytes } = gate;
      const chunk = chunkAt(table, writer.arrivedBytes);
      // A link that does not carry one chunk at a time would never carry the image.
      const isCut = table.offsetOf(chunk) + heldBytes.length > writer.arrivedBytes;
      if (isCut && noteCut(sender, chunk) >= chunkCutsMax) doubt.isFullOnly = true;
      if (doubt.isFullOnly) await push(fill, table.offsetOf(chunk), heldBytes, false);
      else tally.overheadBytes += heldBytes.length - ownBytes(chunk);
    },
  };
};

export const createFullWay = (source: ReleaseSource, sender: Sender): FullWay => ({
  name: 'full',
  bring: async (fill) => {
    const { target, writer, tally, doubt, index, onBytes, signal } = fill;
    const { artifact } = target;
    const note = watchSender(sender, fill);
    const isChecked = typeof index !== 'string' && !doubt.isFullOnly;
    const tell = (): void => {
      tally.toFetchBytes = artifact.lengthBytes - writer.arrivedBytes;
      onBytes();
    };
    const intake = isChecked ? await takeByIndex(fill, index.table, source, sender, tell) : takeAsTheyCome(fill);
    tell();
    const startBytes = writer.arrivedBytes;
    const skipped = createSkipped((lengthBytes) => {
      tally.fetchedBytes += lengthBytes;
      tally.overheadBytes += lengthBytes;
      onBytes();
    });
    let held: Promise<void> | null = null;
    const sink: ServedSink = (bytes, from) => {
      note(from);
      tally.fetchedBytes += bytes.length;
      const holding = intake.sink(bytes, from);
      held = holding instanceof Promise ? holding : null;
      tell();
      return holding;
    };
    try {
      await source.stream(artifact, intake.fromBytes, sink, signal, skipped.note);
      await held;
    } catch (error) {
      if (writer.fault === null && error instanceof OtadError && error.class === 'transient') await intake.onBreak();
      // What is kept are whole blocks.
      throw floorToBlock(writer.arrivedBytes) > startBytes ? error : skipped.asFault(error, artifact.path);
    } finally {
      sender.endBytes = writer.arrivedBytes;
      // By the index every server is blamed for its own chunks.
      if (isChecked) sender.server = null;
    }
    if (writer.fault !== null) throw writer.fault;
    if (writer.arrivedBytes < artifact.lengthBytes) {
      throw new OtadError('HTTP_TRUNCATED', { path: artifact.path, arrivedBytes: writer.arrivedBytes });
    }
    return null;
  },
  sender: () => sender.server,
});
