// The way of the patch: the image is made from what the running slot holds and the little that has changed. The slot is read, never
// written. A part of the patch is believed by the signed digest of its head, what it makes by the signed chunk index; what
// comes out otherwise is fetched. A cut costs the head again and the parts that the writer's position lies in.

import { OtadError } from '../core/errors.ts';
import type {
  ByteRange,
  OpenedPatch,
  PatchedPiece,
  Patching,
  ReleaseSource,
  Sealing,
  SlotDevices,
  SlotReader,
} from '../core/ports.ts';
import { blockSizeBytes } from '../core/slot-layout.ts';
import { type ArtifactPatch, otherSlot, type SlotRecord } from '../core/types.ts';
import { chunkAt, requestBytesMax } from './chunk-plan.ts';
import { type ChunkSupply, fetchAlone, fetchRight, noRisk, push, pushFetched } from './chunk-supply.ts';
import { asReason, type FileTrouble, forgetTrouble, isGivenUp, noTrouble, noteFailure } from './file-trouble.ts';
import type { Fill, FillWay } from './fill-way.ts';
import { readBytes } from './held-chunks.ts';
import type { IndexWay } from './index-way.ts';
import { asSlotReason } from './own-slots.ts';
import { createStretches, type Stretch } from './patch-stretches.ts';
import { sha256Of } from './slot-index.ts';

/** So many stretches may come out otherwise than they should, one request each, before the index is the better way. */
const missesMax = 32;

export interface PatchWayPorts {
  readonly slots: SlotDevices;
  readonly source: ReleaseSource;
  readonly sealing: Sealing;
  readonly patching: Patching;
}

/** What is remembered of patches from one attempt to the next. */
export interface PatchTrouble extends FileTrouble {
  /** So far attempts have come with this patch: only to come further is a reason to go on trying. */
  furthestBytes: number;
}

export const noPatchTrouble = (monoMs: () => number): PatchTrouble => ({ ...noTrouble(monoMs), furthestBytes: 0 });

/** What the running slot holds, and the patch that begins there. */
interface Base {
  readonly record: SlotRecord;
  readonly patch: ArtifactPatch;
}

interface Job extends ChunkSupply {
  readonly patch: ArtifactPatch;
  readonly trouble: PatchTrouble;
}

/** Ends this way with a sentence, from wherever it is found out. */
class Closed extends Error {}

/** The other slot is being written, so the running one is the only base; a sentence where no patch begins at what it holds. */
const findBase = (record: SlotRecord | null, patches: readonly ArtifactPatch[]): Base | string => {
  if (record === null) return 'the running slot does not say what it holds';
  const { imageSha256Hex, imageLengthBytes, verity, status, writtenBytes } = record;
  const patch = patches.find(
    ({ baseSha256Hex, baseRootHex }) => baseSha256Hex === imageSha256Hex && baseRootHex === verity.rootHex,
  );
  if (patch === undefined) return `no patch begins at ${record.release.version}, which the running slot holds`;
  if (status === 'writing' || writtenBytes !== imageLengthBytes) return 'the running slot does not hold a whole image';
  return { record, patch };
};

/** A part of the patch's own file. Throws what ends this way, or the attempt. */
const fetchPart = async (job: Job, range: ByteRange, isRight: (bytes: Uint8Array) => boolean): Promise<Uint8Array> => {
  const { fill, patch } = job;
  const bytes = await fetchRight(job, patch, range, isRight);
  if (bytes === null) throw new Closed('the server sends another patch than the signed one');
  fill.tally.overheadBytes += bytes.length;
  return bytes;
};

/** Bytes of the slot, the caller's own: what a reader gives is gone with its next call. */
const asBase = (reader: SlotReader, signal: AbortSignal) => ({
  lengthBytes: reader.sizeBytes,
  read: async (offsetBytes: number, lengthBytes: number): Promise<Uint8Array> => {
    const bytes = await readBytes(reader, offsetBytes, lengthBytes, signal);
    if (bytes === null) throw new OtadError('SLOT_IO', { step: 'read base', offsetBytes, lengthBytes });
    return bytes.slice();
  },
});

/** False: it came out otherwise, and was fetched. */
const giveStretch = async (job: Job, stretch: Stretch): Promise<boolean> => {
  const { fill } = job;
  const { tally, target } = fill;
  const { offsetBytes, lengthBytes, bytes, oldBytes, fetchedBytes } = stretch;
  if (bytes !== null) {
    const freshBytes = await push(fill, offsetBytes, bytes, fetchedBytes === 0);
    // What the writer held already counts for nothing: the part that it held comes first, and what was fetched before what was made.
    const heldBytes = Math.min(fetchedBytes, bytes.length - freshBytes);
    const ownBytes = freshBytes - (fetchedBytes - heldBytes);
    const copiedBytes = Math.min(oldBytes, ownBytes);
    tally.overheadBytes += heldBytes;
    tally.copiedBytes += copiedBytes;
    tally.rebuiltBytes += ownBytes - copiedBytes;
    fill.onBytes();
    return true;
  }
  tally.overheadBytes += fetchedBytes;
  const isRight = (fetched: Uint8Array): boolean =>
    typeof fill.index === 'string'
      ? (stretch.isRight?.(fetched) ?? true)
      : fill.index.table.isChunk(chunkAt(fill.index.table, offsetBytes), fetched);
  const fetched = await fetchRight(job, target.artifact, { offsetBytes, lengthBytes }, isRight);
  if (fetched === null) throw new Closed(`the server sends other bytes than the index names, at byte ${offsetBytes}`);
  await pushFetched(job, offsetBytes, fetched);
  return false;
};

/** What is shorter to fetch than to make, in as few requests as can be, as pieces of the image. */
async function* fetchLeft(job: Job, offsetBytes: number, lengthBytes: number): AsyncGenerator<PatchedPiece> {
  for (let done = 0; done < lengthBytes; done += requestBytesMax) {
    const range = { offsetBytes: offsetBytes + done, lengthBytes: Math.min(requestBytesMax, lengthBytes - done) };
    const { bytes } = await fetchAlone(job, job.fill.target.artifact, range);
    yield { kind: 'bytes', offsetBytes: range.offsetBytes, bytes, origin: 'fetched' };
  }
}

const noteProgress = ({ fill, patch, trouble }: Job): void => {
  const { arrivedBytes } = fill.writer;
  if (trouble.path === patch.path && arrivedBytes <= trouble.furthestBytes) return;
  trouble.path = patch.path;
  trouble.failures = 0;
  trouble.furthestBytes = arrivedBytes;
};

/** The image from the writer's position on. */
const make = async (job: Job, opened: OpenedPatch, reader: SlotReader): Promise<void> => {
  const { fill } = job;
  const { tally, writer, signal, index, target } = fill;
  const table = typeof index === 'string' ? null : index.table;
  // A chunk can only be checked whole.
  const fromBytes = table === null ? writer.arrivedBytes : table.offsetOf(chunkAt(table, writer.arrivedBytes));
  let toFetchBytes = opened.leftBytes(fromBytes);
  if (toFetchBytes >= target.artifact.lengthBytes - fromBytes)
    throw new Closed('what is left is shorter than its patch');
  tally.toFetchBytes = toFetchBytes;
  tally.isMaking = true;
  const fetch = async (range: ByteRange, isRight: (bytes: Uint8Array) => boolean): Promise<Uint8Array> => {
    // All that the part before has made is durable before the next one comes: a cut costs no more than these two.
    if (writer.arrivedBytes > fromBytes) await writer.writeOut(true);
    const bytes = await fetchPart(job, range, isRight);
    noteProgress(job);
    toFetchBytes -= bytes.length;
    tally.toFetchBytes = toFetchBytes;
    return bytes;
  };
  const stretches = createStretches(table, fromBytes);
  let misses = 0;
  for await (const piece of opened.pieces(fromBytes, { base: asBase(reader, signal), fetch, signal })) {
    if (piece.kind === 'left') {
      for await (const part of fetchLeft(job, piece.offsetBytes, piece.lengthBytes)) {
        for (const stretch of stretches.take(part)) await giveStretch(job, stretch);
      }
      toFetchBytes -= piece.lengthBytes;
      continue;
    }
    for (const stretch of stretches.take(piece)) {
      if (await giveStretch(job, stretch)) continue;
      misses += 1;
      if (misses >= missesMax) throw new Closed('the running slot does not hold what the patch starts from');
    }
  }
};

const patchCodes: readonly string[] = ['PATCH_MALFORMED', 'PATCH_BASE_MISMATCH', 'PATCH_CODEC_MISMATCH'];

/** Why the patch is left; what another way could not help against either is thrown. */
const asClosed = (error: unknown, { fill, patch, trouble }: Job): string => {
  if (error instanceof Closed) return error.message;
  if (!(error instanceof OtadError)) throw error;
  const isLibrary = error.code === 'INTERNAL' && error.details.step === 'zstd';
  if (isLibrary || patchCodes.includes(error.code)) return error.message;
  // The attempt's time is over: a patch that it is spent on again and again must not keep the image away.
  const { reason } = fill.signal;
  if (reason instanceof OtadError && reason.code === 'HTTP_TIMEOUT') noteFailure(trouble, patch.path);
  return asReason(error, 'its patch', patch.path, trouble);
};

/** How far attempts came with another patch, or before the slot had to be begun anew, says nothing of this one. */
const turnTo = (trouble: PatchTrouble, patch: ArtifactPatch, { writer }: Fill): void => {
  const isOther = trouble.path !== patch.path;
  if (isOther) forgetTrouble(trouble, patch.path);
  if (isOther || (writer.arrivedBytes === 0 && trouble.furthestBytes >= blockSizeBytes)) trouble.furthestBytes = 0;
};

/** The patch's base and its running slot, open; a sentence where there is none to be had. */
const openBase = async ({ slot, target, signal }: Fill, slots: SlotDevices) => {
  const running = otherSlot(slot);
  try {
    const base = findBase(await slots.readRecord(running, signal), target.artifact.patches ?? []);
    return typeof base === 'string' ? base : { ...base, reader: await slots.openForReading(running, signal) };
  } catch (error) {
    return asSlotReason(error);
  }
};

/** Of an image that was written here and has rotted since, little is missing: less, as a rule, than its patch is long. */
const isShorterByIndex = async (fill: Fill, patch: ArtifactPatch, indexWay: IndexWay): Promise<boolean> =>
  fill.writtenBytes > fill.writer.arrivedBytes && (await indexWay.toFetchBytes(fill)) < patch.lengthBytes;

export const createPatchWay = (
  { slots, source, sealing, patching }: PatchWayPorts,
  trouble: PatchTrouble,
  indexWay: IndexWay,
): FillWay => ({
  name: 'patch',
  bring: async (fill: Fill) => {
    const { artifact } = fill.target;
    const base = await openBase(fill, slots);
    if (typeof base === 'string') return base;
    const { patch, record, reader } = base;
    const job: Job = { fill, source, patch, trouble, risk: noRisk() };
    try {
      turnTo(trouble, patch, fill);
      if (isGivenUp(trouble, patch.path)) return 'the link broke too often while its patch came';
      if (await isShorterByIndex(fill, patch, indexWay)) return 'the slot holds most of the image already';
      const range = { offsetBytes: 0, lengthBytes: patch.headLengthBytes };
      const head = await fetchPart(job, range, (bytes) => sha256Of(bytes, sealing) === patch.headSha256Hex);
      const opened = await patching.open(head, {
        lengthBytes: patch.lengthBytes,
        base: { lengthBytes: record.imageLengthBytes, sha256Hex: record.imageSha256Hex },
        image: { lengthBytes: artifact.lengthBytes, sha256Hex: artifact.sha256Hex },
      });
      await make(job, opened, reader);
      return null;
    } catch (error) {
      return asClosed(error, job);
    } finally {
      fill.tally.isMaking = false;
      await reader.close();
    }
  },
});
