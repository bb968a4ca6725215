// What a start means. The bootloader witnesses, the store testifies: where they differ, the bootloader and the slots'
// own records win, and a lost database is rebuilt from them (I8, I9). Never asks for anything but what the facts support.

import { proceedStaged } from './activating.ts';
import { startAssess } from './assessing.ts';
import { finishConfirm } from './confirming.ts';
import { andThen, type Context, type Decision, note, rest, stay } from './decision.ts';
import { deny, retire } from './denylist.ts';
import { errorCodes } from './errors.ts';
import type { DeviceFacts } from './events.ts';
import { resumeMarking } from './marking.ts';
import { startReboot } from './rebooting.ts';
import { startRevert } from './reverting.ts';
import { firstPoll } from './schedule.ts';
import { refOf } from './select.ts';
import { newStaged } from './staged.ts';
import type { DenyEntry, Staged, State } from './state.ts';
import { otherSlot, type ReleaseRef, type SlotName, type SlotRecord } from './types.ts';

const unknownRelease = (rootHex: string | null): ReleaseRef => ({
  id: `unknown-${rootHex?.slice(0, 16) ?? 'root'}`,
  version: 'unknown',
  sequence: 0,
});

/** A slot that was handed to the bootloader, as far as its own record tells. */
const stagedFromRecord = (facts: DeviceFacts, slot: SlotName, { policy }: Context): Staged => {
  const record = facts.records[slot];
  const bootedRelease = slot === facts.boot.booted ? facts.bootedRelease : null;
  return newStaged({
    slot,
    release: record?.release ?? bootedRelease ?? unknownRelease(facts.boot.bootedRoot),
    verity: record?.verity ?? {
      algorithm: 'sha256',
      blockSizeBytes: 4096,
      saltHex: '',
      rootHex: facts.boot.bootedRoot ?? '',
      hashOffsetBytes: 0,
    },
    intent: 'update',
    isActivated: true,
    healthDeadlineMs: policy.healthDeadlineMs,
  });
};
/** The bootloader was given this root for the slot and has kept it; where it keeps none, the slot's own record must say so. */
const wasHandedOver = ({ boot }: DeviceFacts, slot: SlotName, record: SlotRecord): boolean =>
  boot.roots === undefined ? record.status === 'activated' : boot.roots[slot] === record.verity.rootHex;

/** Releases that the slots themselves show to have failed here: activated, and bad now. */
const deniedByEvidence = (facts: DeviceFacts, { moment }: Context): DenyEntry[] => {
  const slot = otherSlot(facts.boot.booted);
  const record = facts.records[slot];
  if (record === null) return [];
  const hasFailed =
    record.status === 'denied' || (facts.boot.slots[slot].state === 'bad' && wasHandedOver(facts, slot, record));
  const reason = record.reason ?? 'It was activated and is marked bad; the history of it was lost.';
  return hasFailed ? [{ release: refOf(record.release), reason, timeMs: moment.wallMs }] : [];
};

/** What runs, by the slot's record; without one, by the running image's own word. */
const runningRelease = (facts: DeviceFacts): ReleaseRef | null =>
  facts.records[facts.boot.booted]?.release ?? facts.bootedRelease;

const lastGoodRelease = (facts: DeviceFacts): ReleaseRef | null => {
  const { booted, slots } = facts.boot;
  if (slots[booted].state === 'good') return runningRelease(facts);
  const other = otherSlot(booted);
  return slots[other].state === 'good' ? (facts.records[other]?.release ?? null) : null;
};

/** A state made of nothing but what the device shows. */
const rebuild = (facts: DeviceFacts, context: Context): State => {
  const confirmed = lastGoodRelease(facts);
  return {
    schema: 1,
    plan: 0,
    bootId: facts.bootId,
    booted: facts.boot.booted,
    isBootedConfirmed: facts.boot.slots[facts.boot.booted].state === 'good',
    phase: { kind: 'idle' },
    records: facts.records,
    confirmed: confirmed === null ? null : refOf(confirmed),
    sequenceFloor: confirmed?.sequence ?? 0,
    floorEpoch: 0,
    staged: null,
    denylist: deniedByEvidence(facts, context),
    hold: null,
    failures: 0,
    installFailures: null,
    installSpent: null,
    nextPollMs: firstPoll(context.moment, context.policy),
    lastCheck: null,
    attention: facts.problems[0] ?? null,
  };
};

/** What carries over from before: counters and lists; times of another boot do not. */
const carryOver = (stored: State, facts: DeviceFacts, context: Context): State => {
  const isSameBoot = stored.bootId === facts.bootId;
  const wasBusy = ['checking', 'fetching', 'verifying'].includes(stored.phase.kind);
  const kept = isSameBoot && !wasBusy ? stored.nextPollMs : firstPoll(context.moment, context.policy);
  return {
    ...stored,
    // Results of effects of the process before are stale.
    plan: stored.plan + 1,
    bootId: facts.bootId,
    booted: facts.boot.booted,
    isBootedConfirmed: facts.boot.slots[facts.boot.booted].state === 'good',
    records: facts.records,
    staged: stored.staged === null ? null : { ...stored.staged, notBeforeMs: 0 },
    nextPollMs: kept,
    attention: facts.problems[0] ?? null,
  };
};

/** The running system is not confirmed: it is on trial, whatever the database says. */
const recoverTrial = (state: State, stored: State | null, facts: DeviceFacts, context: Context): Decision => {
  const { booted } = facts.boot;
  const isNewBoot = stored?.bootId !== facts.bootId;
  const record = facts.records[booted];
  const isKnown = state.staged?.slot === booted && (record === null || record.release.id === state.staged.release.id);
  const before = isKnown && state.staged !== null ? state.staged : stagedFromRecord(facts, booted, context);
  const staged: Staged = { ...before, trialBoots: before.trialBoots + (isNewBoot ? 1 : 0) };
  const begun = isNewBoot
    ? note(stay(state), context, 'trial-started', {
        release: staged.release,
        slot: booted,
        reason: `Boot ${staged.trialBoots} of at most ${context.policy.triesMax}.`,
      })
    : stay(state);
  return andThen(begun, (next) => {
    const denied = next.denylist.find((entry) => entry.release.id === staged.release.id);
    if (staged.failureReason !== null) return startRevert(next, context, staged, staged.failureReason);
    if (denied !== undefined) return startRevert(next, context, staged, denied.reason);
    if (staged.trialBoots > context.policy.triesMax) {
      return startRevert(next, context, staged, `${staged.trialBoots} boots did not get it confirmed.`);
    }
    const isSameTrial = stored?.bootId === facts.bootId && stored.phase.kind === 'assessing';
    const sinceMs = isSameTrial && stored.phase.kind === 'assessing' ? stored.phase.sinceMs : context.moment.monoMs;
    return startAssess(next, context, staged, sinceMs);
  });
};

const fellBack = (state: State, context: Context, staged: Staged, reason: string): Decision => {
  const noted = note(stay(state), context, 'rolled-back', { release: staged.release, slot: staged.slot, reason });
  return andThen(noted, (next) => retire(next, context, staged, reason));
};

/** A good system runs, and something was on its way to become the running one. */
const recoverStaged = (
  state: State,
  staged: Staged,
  facts: DeviceFacts,
  context: Context,
  isNewBoot: boolean,
): Decision => {
  const { boot } = facts;
  // The bootloader holds it as good: only the record of that was lost.
  if (staged.slot === boot.booted) return finishConfirm(state, context);
  if (staged.failureReason !== null) {
    // It may have been confirmed before somebody marked it bad: what counts as confirmed is what runs.
    const running = runningRelease(facts) ?? state.confirmed;
    const confirmed = running === null ? null : refOf(running);
    return fellBack({ ...state, confirmed }, context, staged, staged.failureReason);
  }
  const isPrimary = boot.primary === staged.slot;
  const isPending = boot.slots[staged.slot].state === 'pending' && isPrimary;
  if (!isPending) {
    // Power may have gone between the flip and its commit: then the bootloader alone knows that it was tried, and failed.
    const wasTried = staged.isActivated || boot.roots?.[staged.slot] === staged.verity.rootHex;
    if (wasTried && boot.slots[staged.slot].state === 'bad') {
      const seen = staged.trialBoots === 0 ? 'never' : `${staged.trialBoots} times`;
      return fellBack(
        state,
        context,
        staged,
        `${errorCodes.TRIES_EXHAUSTED.sentence} Power cycles count; otad came up ${seen}.`,
      );
    }
    // The flip did not happen, or was taken back: still staged.
    return proceedStaged(rest({ ...state, staged: { ...staged, isActivated: false } }), context);
  }
  // It failed before, and was still selectable when that was cut short: made unselectable, never started (I6).
  const denied = state.denylist.find((entry) => entry.release.id === staged.release.id);
  if (denied !== undefined) return retire(state, context, staged, denied.reason);
  const activated: Staged = { ...staged, isActivated: true };
  if (isNewBoot && activated.reboots >= context.policy.rebootAttemptsMax) {
    return fellBack(state, context, activated, `${activated.reboots} reboots did not start it.`);
  }
  return proceedStaged(rest({ ...state, staged: activated }), context);
};

const recoverGood = (state: State, stored: State | null, facts: DeviceFacts, context: Context): Decision => {
  const { boot } = facts;
  const other = otherSlot(boot.booted);
  const isOtherPending = boot.slots[other].state === 'pending' && boot.primary === other;
  const staged = state.staged ?? (isOtherPending ? stagedFromRecord(facts, other, context) : null);
  if (staged !== null) {
    return recoverStaged({ ...state, staged }, staged, facts, context, stored?.bootId !== facts.bootId);
  }
  const running = runningRelease(facts);
  const { confirmed } = state;
  if (running === null || confirmed === null || running.id === confirmed.id) {
    return stay(rest({ ...state, confirmed: confirmed ?? (running === null ? null : refOf(running)) }));
  }
  // The bootloader chose the other good slot by itself: say so, and keep the floor.
  const reason = `The bootloader started slot ${boot.booted} instead; slot ${other} did not come up.`;
  return note(stay(rest({ ...state, confirmed: refOf(running) })), context, 'rolled-back', {
    release: confirmed,
    slot: other,
    reason,
  });
};

/** The first decision of every process: facts first, then what the store adds to them. */
export const recover = (stored: State | null, facts: DeviceFacts, context: Context): Decision => {
  const state = stored === null ? rebuild(facts, context) : carryOver(stored, facts, context);
  const { booted, slots } = facts.boot;
  const opened = stored === null ? note(stay(state), context, 'store-rebuilt', { slot: booted }) : stay(state);
  const isNewBoot = stored?.bootId !== facts.bootId;
  const started = isNewBoot
    ? note(opened, context, 'started', { release: runningRelease(facts), slot: booted })
    : opened;
  return andThen(started, (next) => {
    const resumed = resumeMarking(next, stored, facts, context);
    if (resumed !== null) return resumed;
    if (slots[booted].state === 'good') return recoverGood(next, stored, facts, context);
    // Marked bad, and running: the way back was chosen and not taken yet.
    if (slots[booted].state === 'bad' && slots[otherSlot(booted)].state === 'good') {
      const staged = next.staged?.slot === booted ? next.staged : stagedFromRecord(facts, booted, context);
      const reason = staged.failureReason ?? 'The bootloader holds the running slot as bad.';
      return andThen(deny(next, context, staged.release, reason), (denied) =>
        startReboot(denied, context, { ...staged, failureReason: reason }, 'reverting'),
      );
    }
    return recoverTrial(next, stored, facts, context);
  });
};
