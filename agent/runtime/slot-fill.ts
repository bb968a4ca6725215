// Fills one slot with one image: what the medium provably holds already is kept, the rest comes by one way or another, the end is sealed.
// Invariants: the record says 'writing' before the first byte of a new image replaces an old one; it never claims more
// than is durable; bytes that turn out wrong are never a prefix to resume from.

import { OtadError } from '../core/errors.ts';
import type { InstallPorts, SlotHandle, TimeBudget } from '../core/ports.ts';
import { blockSizeBytes } from '../core/slot-layout.ts';
import type { SlotName, SlotRecord } from '../core/types.ts';
import type { FileTrouble } from './file-trouble.ts';
import type { Fill } from './fill-way.ts';
import { bringImage, type ImageAttempt, isDigestWrong, type Ways } from './image-bringing.ts';
import { type InstallTarget, isSameImage, isSameRelease, recordOf } from './install-target.ts';
import { createLinkPace } from './link-pace.ts';
import { createReporter, type OnProgress, type Report, savedBytesOf, type Tally } from './progress-reporter.ts';
import { findIndex, type HeldIndex, loadIndex } from './slot-index.ts';
import type { SlotLedger } from './slot-ledger.ts';
import { isMediumFault, visitImage } from './slot-medium.ts';
import { type Mark, SlotWriter } from './slot-writer.ts';

const checkpointBytesMin = 1024 * 1024;
const checkpointBytesMax = 16 * 1024 * 1024;
const checkpointsPerImage = 64;

/**
 * Marked durably so often: after 1 MiB, and of images above 64 MiB after a 64th, since each mark is two flushes and a millisecond
 * of CPU. A power cut costs at most so much, and what is in memory; over a slow link less, since that is marked every second.
 */
export const checkpointBytesOf = (imageLengthBytes: number): number =>
  Math.min(checkpointBytesMax, Math.max(checkpointBytesMin, Math.ceil(imageLengthBytes / checkpointsPerImage)));

/** One attempt to fill one slot. */
interface Attempt extends ImageAttempt {
  readonly slot: SlotName;
  readonly handle: SlotHandle;
  readonly ledger: SlotLedger;
  readonly report: Report;
  readonly signal: AbortSignal;
}

const isResumable = (record: SlotRecord | null, target: InstallTarget): record is SlotRecord =>
  record !== null &&
  isSameImage(record, target) &&
  record.writtenBytes > 0 &&
  (record.writtenBytes % blockSizeBytes === 0 || record.writtenBytes === record.imageLengthBytes);

const adoptPrefix = async (attempt: Attempt, lengthBytes: number): Promise<void> => {
  const { writer, handle, report, signal } = attempt;
  const visit = async (padded: Uint8Array, length: number): Promise<void> => {
    await writer.adopt(padded, length);
    report('reading', writer.positionBytes);
  };
  report('reading', 0);
  await visitImage(handle, lengthBytes, visit, signal);
};

/** Leaves the writer behind the prefix that the medium provably holds, which may be none, and the record saying so. */
const resume = async (attempt: Attempt): Promise<void> => {
  const { ledger, writer, target, commit } = attempt;
  const record = ledger.current();
  if (isResumable(record, target)) {
    const { writtenBytes, prefixSha256Hex } = record;
    // Before the tree is touched, the record stops saying 'verified', 'activated' or 'denied', or another release's name.
    if (record.status !== 'writing' || !isSameRelease(record, target)) await commit({ writtenBytes, prefixSha256Hex });
    try {
      await adoptPrefix(attempt, writtenBytes);
      if (writer.mark().prefixSha256Hex === prefixSha256Hex) return;
    } catch (error) {
      if (!isMediumFault(error)) throw error; // a block that cannot be read is written again
    }
  }
  writer.restart();
  await commit(writer.mark());
};

/** The end of the image: all digests, then the tree, then the record. */
const seal = async (attempt: Attempt): Promise<SlotRecord> => {
  const { writer, target, slot, doubt, commit } = attempt;
  const { artifact, verity, release } = target;
  const mark = writer.mark();
  if (isDigestWrong(attempt)) {
    // Whichever part was wrong, it is on the medium by now and its mark in the record: the next attempt starts at zero.
    writer.restart();
    await commit(writer.mark());
    const facts = { slot, version: release.version, expected: artifact.sha256Hex, actual: mark.prefixSha256Hex };
    throw new OtadError('IMAGE_DIGEST_MISMATCH', facts);
  }
  doubt.isFullOnly = false;
  const { rootHex, write } = writer.sealTree();
  if (rootHex !== verity.rootHex) {
    // The bytes are the signed ones, so they stay; it is the release that does not agree with itself.
    await commit(mark);
    const facts = { slot, version: release.version, expected: verity.rootHex, actual: rootHex };
    throw new OtadError('VERITY_ROOT_MISMATCH', facts);
  }
  await write();
  return commit(mark);
};

export interface FillRequest extends Ways {
  readonly slot: SlotName;
  readonly target: InstallTarget;
  readonly handle: SlotHandle;
  readonly ledger: SlotLedger;
  readonly ports: InstallPorts;
  /** What is left of this attempt's time for fetching. */
  readonly inTime: TimeBudget;
  /** What this attempt brought before the image: its boot files. */
  readonly tally: Tally;
  /** Of the indexes that could not be fetched in attempts before this one. */
  readonly trouble: FileTrouble;
}

/** Of one install, its boot files counted before its image. */
export const installReport = (
  { slot, target, tally, ports }: Pick<FillRequest, 'slot' | 'target' | 'tally' | 'ports'>,
  onProgress: OnProgress,
): Report => {
  const totalBytes = target.artifact.lengthBytes + (target.bootSet?.totalBytes ?? 0);
  const fixed = { slot, version: target.release.version, totalBytes };
  return createReporter(fixed, { monoMs: ports.monoMs, tally, onProgress });
};

const doubtful = { isFullOnly: true } as const;

const openAttempt = (request: FillRequest, signal: AbortSignal, onProgress: OnProgress): Attempt => {
  const { slot, target, handle, ledger, ports } = request;
  const { sealing, monoMs, log } = ports;
  // Records are written to their end even when the step is cancelled: one block and its flush.
  const steady = new AbortController().signal;
  const record = ledger.current();
  const doubt = { isFullOnly: record !== null && isSameImage(record, target) && record.isFullOnly === true };
  const commit = ({ writtenBytes, prefixSha256Hex }: Mark): Promise<SlotRecord> =>
    ledger.commit(
      { ...recordOf(target, writtenBytes, prefixSha256Hex), ...(doubt.isFullOnly ? doubtful : {}) },
      steady,
    );
  const checkpoint = async (mark: Mark): Promise<void> => {
    await commit(mark);
  };
  const writer = new SlotWriter(
    { handle, sealing, monoMs, checkpointBytes: checkpointBytesOf(target.artifact.lengthBytes), checkpoint },
    target,
  );
  const bootBytes = target.bootSet?.totalBytes ?? 0;
  const reportAll = installReport(request, onProgress);
  const report: Report = (step, doneBytes) => reportAll(step, bootBytes + doneBytes);
  return { slot, target, handle, ledger, writer, doubt, commit, report, log, signal };
};

/** The index of what the slot holds now, before it is another image's. */
const indexBefore = async (
  { target, handle, ledger, ports }: FillRequest,
  signal: AbortSignal,
): Promise<HeldIndex | null> => {
  const record = ledger.current();
  return record === null || isSameImage(record, target) ? null : findIndex(handle, record, ports, signal);
};

const prepareFill = async (
  request: FillRequest,
  { writer, report, doubt }: Attempt,
  found: Pick<Fill, 'before' | 'writtenBytes' | 'tally'>,
  signal: AbortSignal,
): Promise<Fill> => {
  const { tally } = found;
  const { slot, target, handle, ports, trouble } = request;
  const { sealing, indexing, source, monoMs, log } = ports;
  const onBytes = (): void => report('fetching', writer.arrivedBytes);
  const onFetched = (lengthBytes: number): void => {
    tally.fetchedBytes += lengthBytes;
    tally.overheadBytes += lengthBytes;
    onBytes();
  };
  const index = await loadIndex({ target, handle, source, sealing, indexing, onFetched, trouble }, signal);
  onBytes();
  const pace = createLinkPace(monoMs);
  return { ...found, slot, target, writer, medium: handle, doubt, index, pace, onBytes, signal, log };
};

/** Leaves image and tree durable in the slot and gives its record, which says 'writing' and all bytes. */
export const fillSlot = async (
  request: FillRequest,
  signal: AbortSignal,
  onProgress: OnProgress,
): Promise<SlotRecord> => {
  const { target, ports, tally } = request;
  const bootBytes = tally.fetchedBytes - tally.overheadBytes;
  const attempt = openAttempt(request, signal, onProgress);
  const record = request.ledger.current();
  const writtenBytes = record !== null && isSameImage(record, target) ? record.writtenBytes : 0;
  const before = await indexBefore(request, signal);
  await resume(attempt);
  if (attempt.writer.arrivedBytes < target.artifact.lengthBytes) {
    await request.inTime(signal, async (bounded) => {
      const fill = await prepareFill(request, attempt, { before, writtenBytes, tally }, bounded);
      await bringImage(attempt, fill, request, bootBytes);
    });
    const { fetchedBytes, overheadBytes, copiedBytes, rebuiltBytes } = tally;
    const bytes = { fetchedBytes, overheadBytes, copiedBytes, rebuiltBytes, savedBytes: savedBytesOf(tally) };
    ports.log.info('The image is in the slot.', { slot: request.slot, ...bytes });
  }
  return seal(attempt);
};
