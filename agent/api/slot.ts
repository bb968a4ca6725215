// What may be said of a slot. The bootloader and the running kernel are the witnesses; the slot's record adds its name
// only where it does not contradict them. Pure.

import { rollbackTarget } from '../core/commands.ts';
import type { Snapshot } from '../core/ports.ts';
import { otherSlot, type SlotName, type SlotRecord, slotNames } from '../core/types.ts';
import type { SlotBody } from './schema.ts';
import { asSentence } from './sentence.ts';

/** The record of a slot, unless the running kernel was started from another root than it names. */
export const trustedRecord = ({ state, boot }: Snapshot, slot: SlotName): SlotRecord | null => {
  const record = state.records[slot];
  const isContradicted =
    record !== null &&
    slot === boot.booted &&
    boot.bootedRoot !== null &&
    record.verity.rootHex.toLowerCase() !== boot.bootedRoot.toLowerCase();
  return isContradicted ? null : record;
};

/** The whole slot was read back against its signed root, and has not been given up since. */
export const isVerified = (record: SlotRecord | null): boolean =>
  record !== null && (record.status === 'verified' || record.status === 'activated');

const bootedNote = (snapshot: Snapshot): string => {
  const { boot } = snapshot;
  const state = boot.slots[boot.booted].state;
  const record = trustedRecord(snapshot, boot.booted);
  const runs =
    state === 'good' ? 'Runs now, confirmed' : state === 'pending' ? 'Runs now, on trial' : 'Runs now, marked bad';
  if (record !== null) return `${runs}.`;
  return snapshot.state.records[boot.booted] === null
    ? `${runs}. No record names its version.`
    : `${runs}. Its record names another image than the one that runs.`;
};

const otherNote = (snapshot: Snapshot, slot: SlotName): string => {
  const { state, boot } = snapshot;
  const record = state.records[slot];
  const bootState = boot.slots[slot].state;
  if (record === null) return bootState === 'good' ? 'Bootable; no record names its version.' : 'Empty or unknown.';
  if (record.status === 'denied') return `Denied: ${asSentence(record.reason ?? 'no reason was kept')}`;
  if (record.status === 'writing') {
    const percent = Math.floor((100 * record.writtenBytes) / Math.max(1, record.imageLengthBytes));
    return `Partly written (${Math.min(100, percent)} %); not bootable.`;
  }
  if (boot.primary === slot)
    return bootState === 'bad' ? 'Chosen, but marked bad.' : 'Activated; the next boot tries it.';
  const denied = state.denylist.find((entry) => entry.release.id === record.release.id);
  if (denied !== undefined) return `Verified, but denied: ${asSentence(denied.reason)}`;
  if (bootState === 'good') return 'Verified; the way back.';
  if (state.staged?.slot === slot) return 'Staged: verified, not activated yet.';
  return bootState === 'pending' ? 'Verified; its trial has not ended.' : 'Verified, not bootable until activated.';
};

/** The slot that a rollback would return to now, or null: the core's own rule, so that nothing else is promised. */
export const wayBack = ({ state, boot }: Snapshot): SlotName | null => {
  const isOnTrial = boot.slots[boot.booted].state !== 'good' && state.staged !== null;
  return isOnTrial || rollbackTarget(state, boot) !== null ? otherSlot(boot.booted) : null;
};

const slotBody = (snapshot: Snapshot, slot: SlotName, path: string): SlotBody => {
  const { boot } = snapshot;
  const isBooted = slot === boot.booted;
  const record = trustedRecord(snapshot, slot);
  return {
    name: slot,
    version: record?.release.version ?? null,
    state: boot.slots[slot].state,
    booted: isBooted,
    primary: slot === boot.primary,
    path,
    verityRoot: (isBooted ? boot.bootedRoot : null) ?? record?.verity.rootHex ?? null,
    hashOffset: record?.verity.hashOffsetBytes ?? null,
    triesLeft: boot.slots[slot].triesLeft,
    recordStatus: record?.status ?? null,
    verified: isVerified(record),
    note: isBooted ? bootedNote(snapshot) : otherNote(snapshot, slot),
  };
};

export const slotBodies = (snapshot: Snapshot, paths: Readonly<Record<SlotName, string>>): SlotBody[] =>
  slotNames.map((slot) => slotBody(snapshot, slot, paths[slot]));
