// The boot body: everything that a technician asks of boot control, in one look. What was read of the device just now
// counts; where it could not be read, what was read last, with the problem beside it. Pure.

import type { BootInspection, Snapshot } from '../core/ports.ts';
import { type HistoryEntry, type Moment, otherSlot, type SlotName, slotNames } from '../core/types.ts';
import type { ApiContext } from './context.ts';
import { narrate, runningSentence } from './narrative.ts';
import type { BootBody } from './schema.ts';
import { slotBodies, trustedRecord, wayBack } from './slot.ts';

type SlotBoot = BootBody['slots'][number];

/** When this version last proved itself in this slot. `history` is newest first. */
const lastGoodOf = (history: readonly HistoryEntry[], slot: SlotName, version: string | null): SlotBoot['lastGood'] => {
  const entry = history.find(
    (candidate) =>
      candidate.slot === slot &&
      candidate.version === version &&
      (candidate.type === 'confirmed' || candidate.type === 'installed'),
  );
  if (entry === undefined || version === null) return null;
  const { timeMs, isTimeSynced, type } = entry;
  return { timeMs, isTimeSynced, what: type === 'confirmed' ? 'confirmed' : 'verified' };
};

const pendingOf = (snapshot: Snapshot, moment: Moment, automation: ApiContext['automation']): string | null => {
  const { phase } = snapshot.state;
  const isPending = ['staged', 'activating', 'rebooting', 'reverting', 'marking', 'leaving'].includes(phase.kind);
  if (!isPending && snapshot.boot.primary === snapshot.boot.booted) return null;
  if (!isPending) return `The next reboot starts slot ${otherSlot(snapshot.boot.booted)}.`;
  const { now, next } = narrate(snapshot, moment, automation);
  return `${now} ${next}`;
};

export const bootBody = (
  remembered: Snapshot,
  inspection: BootInspection,
  history: readonly HistoryEntry[],
  moment: Moment,
  { automation, slotPaths }: Pick<ApiContext, 'automation' | 'slotPaths'>,
): BootBody => {
  const boot = inspection.status ?? remembered.boot;
  const snapshot = { ...remembered, boot };
  const [a, b] = slotBodies(snapshot, slotPaths);
  const notes = { a: a?.note ?? '', b: b?.note ?? '' };
  const slotBoot = (slot: SlotName): SlotBoot => {
    const record = trustedRecord(snapshot, slot);
    const version = record?.release.version ?? null;
    return {
      name: slot,
      booted: slot === boot.booted,
      state: boot.slots[slot].state,
      triesLeft: boot.slots[slot].triesLeft,
      version,
      recordRoot: record?.verity.rootHex ?? null,
      bootloaderRoot: boot.roots?.[slot] ?? null,
      lastGood: lastGoodOf(history, slot, version),
      note: notes[slot],
      path: slotPaths[slot],
      ...inspection.slots[slot],
    };
  };
  return {
    bootloader: inspection.bootloader,
    foundBy: inspection.foundBy,
    runs: runningSentence(snapshot),
    booted: boot.booted,
    primary: boot.primary,
    pending: pendingOf(snapshot, moment, automation),
    bootedRoot: boot.bootedRoot,
    witnesses: (boot.witnesses ?? []).map((witness) => ({ ...witness })),
    slots: slotNames.map(slotBoot),
    wayBack: wayBack(snapshot),
    problems: [...inspection.problems],
    evidence: [...boot.evidence],
    records: inspection.records.map((record) => ({ ...record })),
    timeMs: moment.wallMs,
    timeSynced: moment.isSynced,
  };
};
