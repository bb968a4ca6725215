// Fills one slot with one image: what the medium provably holds already is kept, the rest is streamed, the end is sealed.
// Invariants: the record says 'writing' before the first byte of a new image replaces an old one; it never claims more
// than is durable; bytes that turn out wrong are never a prefix to resume from.

import { OtadError } from '../core/errors.ts';
import type { ReleaseSource, Sealing, SlotHandle } from '../core/ports.ts';
import { blockSizeBytes } from '../core/slot-layout.ts';
import type { SlotName, SlotRecord } from '../core/types.ts';
import { type InstallTarget, isSameImage, isSameRelease, recordOf } from './install-target.ts';
import { createReporter, type OnProgress, type Report } from './progress-reporter.ts';
import type { SlotLedger } from './slot-ledger.ts';
import { isMediumFault, visitImage } from './slot-medium.ts';
import { type Mark, SlotWriter } from './slot-writer.ts';

const checkpointBytesMin = 1024 * 1024;
const checkpointBytesMax = 16 * 1024 * 1024;
const checkpointsPerImage = 16;

/** A power cut costs at most this many bytes of an image, fetched again. Small images are marked more often. */
export const checkpointBytesOf = (imageLengthBytes: number): number =>
  Math.min(checkpointBytesMax, Math.max(checkpointBytesMin, Math.ceil(imageLengthBytes / checkpointsPerImage)));

/** One attempt to fill one slot. */
interface Attempt {
  readonly slot: SlotName;
  readonly target: InstallTarget;
  readonly handle: SlotHandle;
  readonly ledger: SlotLedger;
  readonly writer: SlotWriter;
  readonly commit: (mark: Mark) => Promise<SlotRecord>;
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
    report('reading', writer.positionBytes, 0);
  };
  report('reading', 0, 0);
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

const isDigestWrong = ({ writer, target }: Attempt): boolean =>
  writer.positionBytes === target.artifact.lengthBytes && writer.mark().prefixSha256Hex !== target.artifact.sha256Hex;

/** After the stream broke: makes durable what arrived, unless the whole is known to be wrong. */
const salvage = async (attempt: Attempt): Promise<void> => {
  const { writer, commit } = attempt;
  await writer.settle();
  if (isDigestWrong(attempt)) writer.restart();
  await commit(writer.mark());
};

const isSourceFault = (fault: unknown): boolean => fault instanceof OtadError && fault.class === 'source';

const fetchRest = async (attempt: Attempt, source: ReleaseSource): Promise<void> => {
  const { writer, target, report, signal } = attempt;
  const { artifact } = target;
  const startBytes = writer.positionBytes;
  if (startBytes === artifact.lengthBytes) return;
  let held: Promise<void> | null = null;
  const sink = (bytes: Uint8Array): void | Promise<void> => {
    const holding = writer.push(bytes);
    held = holding instanceof Promise ? holding : null;
    report('fetching', writer.arrivedBytes, writer.arrivedBytes - startBytes);
    return holding;
  };
  report('fetching', startBytes, 0);
  try {
    await source.stream(artifact, startBytes, sink, signal);
    await held;
    if (writer.fault !== null) throw writer.fault;
    if (writer.arrivedBytes < artifact.lengthBytes) {
      throw new OtadError('HTTP_TRUNCATED', { path: artifact.path, arrivedBytes: writer.arrivedBytes });
    }
  } catch (error) {
    // A slot that failed is not written again; any other end keeps its bytes.
    if (writer.fault === null || isSourceFault(writer.fault)) await salvage(attempt);
    throw writer.fault ?? error;
  }
  await writer.settle();
};

/** The end of the image: all digests, then the tree, then the record. */
const seal = async (attempt: Attempt): Promise<SlotRecord> => {
  const { writer, target, slot, commit } = attempt;
  const { artifact, verity, release } = target;
  const mark = writer.mark();
  if (isDigestWrong(attempt)) {
    // Whichever part was wrong, it is on the medium by now and its mark in the record: the next attempt starts at zero.
    writer.restart();
    await commit(writer.mark());
    const facts = { slot, version: release.version, expected: artifact.sha256Hex, actual: mark.prefixSha256Hex };
    throw new OtadError('IMAGE_DIGEST_MISMATCH', facts);
  }
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

export interface FillRequest {
  readonly slot: SlotName;
  readonly target: InstallTarget;
  readonly handle: SlotHandle;
  readonly ledger: SlotLedger;
  readonly sealing: Sealing;
  readonly source: ReleaseSource;
}

/** Leaves image and tree durable in the slot and gives its record, which says 'writing' and all bytes. */
export const fillSlot = async (
  request: FillRequest,
  signal: AbortSignal,
  onProgress: OnProgress,
): Promise<SlotRecord> => {
  const { slot, target, handle, ledger, sealing, source } = request;
  const totalBytes = target.artifact.lengthBytes;
  // Records are written to their end even when the step is cancelled: one block and its flush.
  const steady = new AbortController().signal;
  const commit = ({ writtenBytes, prefixSha256Hex }: Mark): Promise<SlotRecord> =>
    ledger.commit(recordOf(target, writtenBytes, prefixSha256Hex), steady);
  const checkpoint = async (mark: Mark): Promise<void> => {
    await commit(mark);
  };
  const writer = new SlotWriter(
    { handle, sealing, checkpointBytes: checkpointBytesOf(totalBytes), checkpoint },
    target,
  );
  const report = createReporter({ slot, version: target.release.version, totalBytes }, onProgress);
  const attempt: Attempt = { slot, target, handle, ledger, writer, commit, report, signal };
  await resume(attempt);
  await fetchRest(attempt, source);
  return seal(attempt);
};
