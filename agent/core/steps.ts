// The moves that decide, recover and commands are made of. Each takes the state and gives a Decision;
// none of them looks at where it is called from.

import { addSpent, broughtSentence } from './brought.ts';
import type { Brought, Effect } from './effects.ts';
import { type ErrorCode, errorCodes, type Failure } from './errors.ts';
import type { Reply } from './events.ts';
import { longRetryAt, retryAt } from './schedule.ts';
import { refOf } from './select.ts';
import type { InstallSpent, Phase, Staged, State } from './state.ts';
import {
  type HistoryEntry,
  type HistoryType,
  type Moment,
  type OfferedFolder,
  otherSlot,
  type Policy,
  type Release,
  type ReleaseRef,
  type SlotName,
  type SlotRecord,
  type Verified,
} from './types.ts';

export interface Decision {
  readonly state: State;
  readonly effects: readonly Effect[];
  readonly history: readonly HistoryEntry[];
  readonly reply: Reply | null;
}

export interface Context {
  readonly moment: Moment;
  readonly policy: Policy;
}

export const stay = (state: State): Decision => ({ state, effects: [], history: [], reply: null });

/** Does `step` on the state that `first` left, keeping what both want. */
export const andThen = (first: Decision, step: (state: State) => Decision): Decision => {
  const next = step(first.state);
  return {
    state: next.state,
    effects: [...first.effects, ...next.effects],
    history: [...first.history, ...next.history],
    reply: next.reply ?? first.reply,
  };
};

export const accepted = (decision: Decision, message: string): Decision => ({
  ...decision,
  reply: { isAccepted: true, message },
});

export const refuse = (state: State, code: ErrorCode, message: string = errorCodes[code].sentence): Decision => ({
  ...stay(state),
  reply: { isAccepted: false, code, message },
});

interface NoteFacts {
  readonly release?: ReleaseRef | null;
  readonly slot?: SlotName;
  readonly reason?: string | null;
  readonly code?: string;
}

export const note = (decision: Decision, { moment }: Context, type: HistoryType, facts: NoteFacts = {}): Decision => ({
  ...decision,
  history: [
    ...decision.history,
    {
      type,
      timeMs: moment.wallMs,
      isTimeSynced: moment.isSynced,
      version: facts.release?.version ?? null,
      slot: facts.slot ?? null,
      reason: facts.reason ?? null,
      code: facts.code ?? null,
    },
  ],
});

export const failure = (code: keyof typeof errorCodes, facts?: string): Failure => ({
  code,
  class: errorCodes[code].class,
  message: facts === undefined ? errorCodes[code].sentence : `${errorCodes[code].sentence} (${facts})`,
});

/** Where nothing is under way: `staged` when something waits, else `idle`. */
export const rest = (state: State): State => ({ ...state, phase: { kind: state.staged === null ? 'idle' : 'staged' } });

/** A new plan: results of effects of the old one no longer count. */
export const begin = (state: State, phase: Phase, effect: (plan: number) => Effect): Decision => {
  const plan = state.plan + 1;
  return { ...stay({ ...state, plan, phase }), effects: [effect(plan)] };
};

/** The part of a phase or an effect that says where the release comes from; nothing for the servers. */
const fromFolder = (folder: OfferedFolder | undefined) => (folder === undefined ? {} : { folder });

/** For the history, which keeps sentences. */
const sourceSentence = (folder: OfferedFolder | undefined): string | null =>
  folder === undefined ? null : `From the folder ${folder.path}.`;

/** What a halt interrupted stays known through checks, also through one that takes the place of another. */
const haltedBefore = ({ phase }: State): Failure | null => {
  if (phase.kind === 'checking') return phase.halted;
  return phase.kind === 'halted' ? phase.failure : null;
};

export const startCheck = (state: State, isForced: boolean, folder?: OfferedFolder): Decision =>
  begin(state, { kind: 'checking', isForced, halted: haltedBefore(state), ...fromFolder(folder) }, (plan) => ({
    kind: 'check',
    plan,
    ...fromFolder(folder),
  }));

/** Invalidate comes first and is awaited: a slot that is being written is never selectable (I3). */
export const startInstall = (
  state: State,
  context: Context,
  release: Verified<Release>,
  { isForced, folder }: Pick<Extract<Phase, { kind: 'checking' }>, 'isForced' | 'folder'>,
): Decision => {
  const slot = otherSlot(state.booted);
  const started = begin(
    { ...state, staged: null },
    { kind: 'fetching', step: 'invalidate', slot, release, isForced, ...fromFolder(folder) },
    (plan) => ({ kind: 'invalidate', plan, slot }),
  );
  return note(started, context, 'install-started', { release, slot, reason: sourceSentence(folder) });
};

export const startWrite = (state: State, phase: Extract<Phase, { kind: 'fetching' }>): Decision =>
  begin(state, { ...phase, step: 'write' }, (plan) => ({
    kind: 'write',
    plan,
    slot: phase.slot,
    release: phase.release,
    ...fromFolder(phase.folder),
  }));

/** What `release` has cost so far, over the network. */
export const spentFor = ({ installSpent }: State, release: ReleaseRef): InstallSpent | null =>
  installSpent?.releaseId === release.id ? installSpent : null;

/** A write came to its end, good or bad. What a folder gave costs nothing. */
export const withSpent = (
  state: State,
  { step, release, folder }: Extract<Phase, { kind: 'fetching' }>,
  fetchedBytes: number,
): State =>
  step !== 'write' || folder !== undefined
    ? state
    : { ...state, installSpent: addSpent(state.installSpent, release.id, fetchedBytes) };

export const startVerify = (
  before: State,
  phase: Extract<Phase, { kind: 'fetching' }>,
  record: SlotRecord,
  brought: Brought | undefined,
): Decision => {
  const { slot, release, isForced, folder } = phase;
  const state = withSpent(before, phase, brought?.fetchedBytes ?? 0);
  const sentence =
    brought === undefined ? {} : { brought: broughtSentence(brought, spentFor(state, release), folder !== undefined) };
  return begin(state, { kind: 'verifying', slot, release, isForced, ...sentence }, (plan) => ({
    kind: 'verify',
    plan,
    slot,
    rootHex: record.verity.rootHex,
    isLookOnly: false,
  }));
};

const startBaseline = (state: State, staged: Staged): Decision =>
  begin(state, { kind: 'activating', step: 'baseline' }, (plan) => ({
    kind: 'assess',
    plan,
    purpose: 'baseline',
    deadlineMs: 0,
    extraChecks: staged.healthChecks,
  }));

/** The baseline comes before the flip, so that it is durable before the reboot that needs it. */
export const startActivation = (state: State, staged: Staged): Decision =>
  staged.verifiedInBoot === state.bootId
    ? startBaseline({ ...state, staged }, staged)
    : begin({ ...state, staged }, { kind: 'activating', step: 'verify' }, (plan) => ({
        kind: 'verify',
        plan,
        slot: staged.slot,
        rootHex: staged.verity.rootHex,
        isLookOnly: staged.intent === 'rollback',
      }));

export const afterVerifyAgain = (state: State, staged: Staged): Decision =>
  startBaseline({ ...state, staged: { ...staged, verifiedInBoot: state.bootId } }, staged);

export const startFlip = (state: State, { policy }: Context, staged: Staged): Decision =>
  begin({ ...state, staged }, { kind: 'activating', step: 'flip' }, (plan) => ({
    kind: 'activate',
    plan,
    slot: staged.slot,
    tries: policy.triesMax,
    verity: staged.verity,
  }));

export const halt = (state: State, context: Context, why: Failure): Decision =>
  note(
    stay({ ...state, plan: state.plan + 1, phase: { kind: 'halted', failure: why }, attention: why }),
    context,
    'halted',
    {
      reason: why.message,
      code: why.code,
    },
  );

/** The cap on reboots was reached, and the long pause after it is over: what kept the system from rebooting may be gone. */
export const isRebootDue = (staged: Staged, { moment, policy }: Context): boolean =>
  staged.reboots >= policy.rebootAttemptsMax && staged.notBeforeMs > 0 && moment.monoMs >= staged.notBeforeMs;

/** Reboots on behalf of one release are counted before they are asked for, and capped: after that, one each long pause (I10, I8). */
export const startReboot = (
  state: State,
  context: Context,
  staged: Staged,
  phase: 'rebooting' | 'reverting',
): Decision => {
  const { monoMs } = context.moment;
  const isCapped = staged.reboots >= context.policy.rebootAttemptsMax;
  if (isCapped && !isRebootDue(staged, context)) {
    const why = failure('REBOOT_INEFFECTIVE', `${staged.reboots} reboots asked for`);
    const notBeforeMs = staged.notBeforeMs > monoMs ? staged.notBeforeMs : longRetryAt(context.moment, context.policy);
    return halt(backOff({ ...state, staged: { ...staged, notBeforeMs } }, context, why, false), context, why);
  }
  const slot = phase === 'rebooting' ? staged.slot : otherSlot(state.booted);
  const sinceMs = monoMs;
  const reboots = isCapped ? staged.reboots : staged.reboots + 1;
  const started = begin(
    { ...state, staged: { ...staged, reboots, notBeforeMs: 0 } },
    phase === 'rebooting'
      ? { kind: 'rebooting', slot, sinceMs }
      : { kind: 'reverting', step: 'reboot', sinceMs, reason: staged.failureReason ?? '' },
    (plan) => ({ kind: 'reboot', plan, slot }),
  );
  return note(started, context, 'reboot-requested', { release: staged.release, slot });
};

/** The remaining part of the deadline: an agent that is restarted again and again must still come to an end. */
export const startAssess = (state: State, { moment }: Context, staged: Staged, sinceMs: number): Decision =>
  begin({ ...state, staged }, { kind: 'assessing', sinceMs }, (plan) => ({
    kind: 'assess',
    plan,
    purpose: 'trial',
    deadlineMs: Math.max(0, staged.healthDeadlineMs - (moment.monoMs - sinceMs)),
    extraChecks: staged.healthChecks,
  }));

export const startConfirm = (state: State): Decision =>
  begin(state, { kind: 'confirming' }, (plan) => ({ kind: 'confirm', plan, slot: state.booted }));

/** Puts a release on the denylist. Bounded: the oldest entries fall off, which a channel that goes forward offers no more. */
export const deny = (state: State, context: Context, release: ReleaseRef, reason: string): Decision => {
  if (state.denylist.some((entry) => entry.release.id === release.id)) return stay(state);
  const entry = { release: refOf(release), reason, timeMs: context.moment.wallMs };
  const denylist = [...state.denylist, entry].slice(-context.policy.denylistMax);
  return note(stay({ ...state, denylist }), context, 'denied', { release, reason });
};

/** The trial failed: denied in the same transaction, before anything is undone (I6). Way back and way there have a cap of reboots each. */
export const startRevert = (state: State, context: Context, staged: Staged, reason: string): Decision => {
  const marked: Staged = {
    ...staged,
    failureReason: reason,
    reboots: staged.failureReason === null ? 0 : staged.reboots,
  };
  const sinceMs = context.moment.monoMs;
  return andThen(deny({ ...state, staged: marked }, context, staged.release, reason), (next) =>
    begin(next, { kind: 'reverting', step: 'flip', sinceMs, reason }, (plan) => ({
      kind: 'revert',
      plan,
      slot: next.booted,
    })),
  );
};

/** A technician leaves a trial: what he returns to is read back first. Where no record says what it should be, the bootloader's root decides. */
export const startRevertVerified = (
  state: State,
  context: Context,
  staged: Staged,
  reason: string,
  sinceMs: number,
): Decision => {
  const slot = otherSlot(state.booted);
  const rootHex = state.records[slot]?.verity.rootHex;
  if (rootHex === undefined) return startRevert(state, context, staged, reason);
  return begin(state, { kind: 'reverting', step: 'verify', sinceMs, reason }, (plan) => ({
    kind: 'verify',
    plan,
    slot,
    rootHex,
    isLookOnly: true,
  }));
};

/** What is in the other slot failed for good: denied, unselectable, and its record says so. */
export const retire = (state: State, context: Context, staged: Staged, reason: string): Decision =>
  andThen(deny(state, context, staged.release, reason), (denied) => {
    const record = denied.records[staged.slot];
    const records =
      record === null ? denied.records : { ...denied.records, [staged.slot]: { ...record, status: 'denied', reason } };
    const cleared = rest({ ...denied, records, staged: null, plan: denied.plan + 1 });
    return { ...stay(cleared), effects: [{ kind: 'retire', plan: cleared.plan, slot: staged.slot, reason }] };
  });

/** The bootloader holds the running slot as good: the trial is over and won. Also reached when only the record of that was lost. */
export const finishConfirm = (state: State, context: Context): Decision => {
  const { staged } = state;
  const release = staged?.release ?? state.records[state.booted]?.release ?? null;
  const left = state.confirmed;
  // The floor never falls (I5): a rollback lowers what runs, not what may come. A new epoch, which root signs, sets it anew.
  const isNewEpoch = (staged?.floorEpoch ?? 0) > state.floorEpoch;
  const floorBefore = isNewEpoch ? 0 : state.sequenceFloor;
  const confirmed: State = rest({
    ...state,
    staged: null,
    isBootedConfirmed: true,
    confirmed: release === null ? state.confirmed : refOf(release),
    sequenceFloor: Math.max(floorBefore, staged?.rollbackFloor ?? 0, release?.sequence ?? 0),
    floorEpoch: Math.max(state.floorEpoch, staged?.floorEpoch ?? 0),
    // What is confirmed after all, by itself or by a technician, has not failed here.
    denylist: state.denylist.filter((entry) => entry.release.id !== release?.id),
    failures: 0,
    installFailures: null,
    installSpent: null,
    attention: null,
  });
  const noted = note(stay(confirmed), context, 'confirmed', { release, slot: state.booted });
  if (staged?.intent !== 'rollback' || left === null || left.id === release?.id) return noted;
  const reason = staged.request ?? 'A technician rolled back from it.';
  return andThen(
    note(noted, context, 'rolled-back', { release: left, slot: otherSlot(state.booted), reason }),
    (next) => deny(next, context, left, reason),
  );
};

/** Counts a failed check or install and says when to try again. */
export const backOff = (state: State, { moment, policy }: Context, why: Failure, fetchedEnough: boolean): State => {
  const failures = fetchedEnough ? 1 : state.failures + 1;
  return { ...state, failures, nextPollMs: retryAt(failures, why, moment, policy) };
};

export const backOffLong = (state: State, { moment, policy }: Context, why: Failure): State => ({
  ...state,
  failures: state.failures + 1,
  nextPollMs: longRetryAt(moment, policy),
  attention: why,
});

/** Takes the next step with what is staged, if it may: activate, then reboot. */
export const proceedStaged = (state: State, context: Context): Decision => {
  const { staged } = state;
  if (state.phase.kind !== 'staged' || staged === null) return stay(state);
  const { moment, policy } = context;
  const mayReboot = staged.isForced || (state.hold === null && policy.isAutoReboot && moment.windows.reboot);
  if (!mayReboot || moment.monoMs < staged.notBeforeMs) return stay(state);
  return staged.isActivated ? startReboot(state, context, staged, 'rebooting') : startActivation(state, staged);
};
