// The install pipeline: from a signed release to a slot that was read back whole, through the exclusive handle that wrote it:
// between the two nobody else can open it. Only `verify`, which reads the medium and believes nothing of the step that wrote,
// makes a record say 'verified' (I3); nothing here touches the bootloader.

import { OtadError } from '../core/errors.ts';
import type { Installer, InstallPorts, SlotHandle } from '../core/ports.ts';
import type { SlotName, SlotRecord } from '../core/types.ts';
import { fetchBootSet } from './boot-fetch.ts';
import { chosenSource } from './chosen-source.ts';
import { forgetTrouble, noTrouble } from './file-trouble.ts';
import type { FillWay } from './fill-way.ts';
import { createFullWay, noSender } from './full-way.ts';
import { createIndexWay } from './index-way.ts';
import { installTargetOf, isSameImage, isSameRelease, requireFit } from './install-target.ts';
import { createPatchWay, noPatchTrouble } from './patch-way.ts';
import { createReporter, emptyTally, type OnProgress, type Tally, withLastWord } from './progress-reporter.ts';
import { fillSlot, installReport } from './slot-fill.ts';
import { asReason, openLedger, type SlotLedger } from './slot-ledger.ts';
import { isMediumFault, readBack } from './slot-medium.ts';

export interface Install {
  /**
   * Writes the release's image and tree into `slot`. The record it leaves says 'writing' and all bytes, or 'verified' already.
   * With `isReadBackNext` the slot stays open until the next call here, which as a rule is `verify`. What writes opens it anew.
   */
  write(request: Parameters<Installer['write']>[0], signal: AbortSignal, onProgress: OnProgress): Promise<SlotRecord>;
  /** Reads the whole slot back from the medium; only then its record says 'verified'. With `isLookOnly` not a byte of the slot changes. */
  verify(
    request: { readonly slot: SlotName; readonly rootHex: string; readonly isLookOnly?: boolean },
    signal: AbortSignal,
    onProgress: OnProgress,
  ): Promise<SlotRecord>;
  /** Nobody will read back what a write left open: it is closed. Never throws. */
  letGo(): Promise<void>;
  /** The boot files that were fetched are not needed any more. Never throws. */
  dropBootSet(): Promise<void>;
  /** Marks what the slot holds as failed here. Null where the slot holds nothing that has a record. Idempotent. */
  retire(slot: SlotName, reason: string, signal: AbortSignal): Promise<SlotRecord | null>;
  /** Marks what the slot holds, which must be verified, as handed to the bootloader. Null where the slot has no record. Idempotent. */
  markActivated(slot: SlotName, signal: AbortSignal): Promise<SlotRecord | null>;
}

/** The record of a slot that claims to hold all of the image with this root; throws what is wrong with the claim. */
const requireWhole = (slot: SlotName, record: SlotRecord | null, rootHex: string): SlotRecord => {
  if (record === null) throw new OtadError('SLOT_READBACK_MISMATCH', { slot, reason: 'the slot has no record' });
  const { release, imageLengthBytes, writtenBytes, verity, status, reason } = record;
  if (status === 'denied') throw new OtadError('DENIED', { slot, version: release.version, reason });
  if (verity.rootHex !== rootHex) {
    throw new OtadError('VERITY_ROOT_MISMATCH', { slot, expected: rootHex, actual: verity.rootHex });
  }
  if (writtenBytes !== imageLengthBytes) {
    throw new OtadError('SLOT_READBACK_MISMATCH', {
      slot,
      writtenBytes,
      imageLengthBytes,
      reason: 'not written whole',
    });
  }
  return record;
};

/** What is verified is the slot and its boot files: without one of them the next attempt begins with what is missing. */
const rottenCodes: readonly string[] = ['SLOT_READBACK_MISMATCH', 'BOOT_SET_INCOMPLETE'];

export const createInstall = (ports: InstallPorts): Install => {
  const { slots, sealing, bootStage, monoMs } = ports;
  const trouble = noTrouble(monoMs);
  const patchTrouble = noPatchTrouble(monoMs);
  const sender = noSender();
  // Records are written to their end even when the step is cancelled: one block and its flush.
  const steady = new AbortController().signal;

  let kept: { readonly slot: SlotName; readonly handle: SlotHandle } | null = null;

  /** The end of the last close: a slot that is not closed yet does not open. */
  let closed: Promise<void> = Promise.resolve();

  const letGo = (): Promise<void> => {
    const before = kept;
    kept = null;
    if (before !== null) closed = before.handle.close().catch(() => {}); // all that it was given is durable
    return closed;
  };

  const open = async (slot: SlotName, signal: AbortSignal, isFresh: boolean): Promise<SlotHandle> => {
    if (kept?.slot === slot && !isFresh) {
      const { handle } = kept;
      kept = null;
      return handle;
    }
    await letGo();
    return slots.open(slot, signal);
  };

  const withSlot = async <T>(
    slot: SlotName,
    signal: AbortSignal,
    use: (handle: SlotHandle, ledger: SlotLedger) => Promise<T>,
    { isFresh = false, isKept = false } = {},
  ): Promise<T> => {
    const handle = await open(slot, signal, isFresh);
    let result: T;
    try {
      result = await use(handle, await openLedger(handle, sealing, signal));
    } catch (error) {
      await handle.close().catch(() => {}); // what went wrong first is what counts
      throw error;
    }
    if (isKept) kept = { slot, handle };
    else await handle.close();
    return result;
  };

  const bring = async (
    { slot, release, folder, isReadBackNext = false }: Parameters<Install['write']>[0],
    tally: Tally,
    signal: AbortSignal,
    onProgress: OnProgress,
  ): Promise<SlotRecord> => {
    const target = installTargetOf(release, sealing);
    const from = { ...ports, source: chosenSource(ports.source, folder) };
    const indexWay = createIndexWay(from);
    const patches = target.artifact.patches === undefined ? [] : [createPatchWay(from, patchTrouble, indexWay)];
    // What is at hand costs nothing: a folder is read in one stream.
    const ways: readonly FillWay[] = folder === undefined ? [...patches, indexWay] : [];
    const { source } = from;
    const fullWay = createFullWay(source, sender);
    const inTime = ports.openBudget();
    const fill = async (handle: SlotHandle, ledger: SlotLedger): Promise<SlotRecord> => {
      requireFit(target, handle.sizeBytes, sealing);
      if (target.bootSet === null) await from.bootStage.drop();
      else {
        const report = installReport({ slot, target, tally, ports }, onProgress);
        const { bootSet } = target;
        await inTime(signal, (bounded) => fetchBootSet(bootSet, { ...from, slot, report, tally }, bounded));
      }
      const record = ledger.current();
      const isDone = record?.status === 'verified' && isSameImage(record, target) && isSameRelease(record, target);
      if (record !== null && isDone) return record;
      const request = { slot, target, handle, ledger, ports: from, ways, fullWay, source, inTime, tally, trouble };
      const filled = await fillSlot(request, signal, onProgress);
      for (const one of [trouble, patchTrouble]) forgetTrouble(one);
      return filled;
    };
    // Whether the slot may be written is asked before each image: what was kept open was asked for the one before.
    return withSlot(slot, signal, fill, { isFresh: true, isKept: isReadBackNext });
  };

  const write: Install['write'] = (request, signal, onProgress) => {
    const tally = emptyTally();
    return withLastWord(tally, onProgress, (tell) => bring(request, tally, signal, tell));
  };

  const verify: Install['verify'] = async ({ slot, rootHex, isLookOnly = false }, signal, onProgress) =>
    withSlot(slot, signal, async (handle, ledger) => {
      const record = requireWhole(slot, ledger.current(), rootHex);
      // Only reading makes a record 'verified', and this reading leaves no trace.
      if (isLookOnly && record.status === 'writing') {
        throw new OtadError('SLOT_READBACK_MISMATCH', { slot, status: record.status, reason: 'not verified any more' });
      }
      const { release, imageLengthBytes: totalBytes } = record;
      const fixed = { slot, version: release.version, totalBytes };
      const report = createReporter(fixed, { monoMs, tally: emptyTally(), onProgress });
      report('verifying', 0);
      // What a slot starts by that ran already lies in its boot place, which is for whoever flips to look at.
      const bootSet = isLookOnly ? undefined : record.bootSetSha256Hex;
      try {
        if (bootSet !== undefined) await bootStage.check(bootSet, signal);
        const result = await readBack(handle, sealing, record, (done) => report('verifying', done), signal);
        if (result.kind === 'differs') {
          const { part, rootHex: actual } = result;
          throw new OtadError('SLOT_READBACK_MISMATCH', {
            slot,
            version: release.version,
            part,
            expected: rootHex,
            actual,
          });
        }
        // What was read is what the slot's path leads to.
        await handle.requireSamePlace();
      } catch (error) {
        // It is not what it was: the next attempt to write compares the prefix and writes again what differs.
        const isRotten = isMediumFault(error) || (error instanceof OtadError && rottenCodes.includes(error.code));
        if (isRotten && !isLookOnly) await ledger.commit({ ...record, status: 'writing' }, steady);
        throw error;
      }
      return isLookOnly ? record : ledger.commit({ ...record, status: 'verified' }, steady);
    });

  const retire: Install['retire'] = (slot, reason, signal) =>
    withSlot(slot, signal, async (_handle, ledger) => {
      const record = ledger.current();
      if (record === null) return null;
      return ledger.commit({ ...record, status: 'denied', reason: asReason(reason) }, steady);
    });

  const markActivated: Install['markActivated'] = (slot, signal) =>
    withSlot(slot, signal, async (_handle, ledger) => {
      const record = ledger.current();
      if (record === null) return null;
      if (record.status !== 'verified' && record.status !== 'activated') {
        // Verified before, by a record that is gone: storage that forgets is no bug of ours.
        throw new OtadError('SLOT_READBACK_MISMATCH', { slot, status: record.status, reason: 'not verified any more' });
      }
      return ledger.commit({ ...record, status: 'activated' }, steady);
    });

  return { write, verify, retire, markActivated, letGo, dropBootSet: () => bootStage.drop() };
};
