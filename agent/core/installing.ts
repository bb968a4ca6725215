// From a release that was chosen to one that is verified and waits: the slot is made unselectable, written, read back. Keeps
// what the attempts cost, and ends a row of failures with a denial or a long pause.

import { proceedStaged } from './activating.ts';
import { addSpent, broughtSentence, failedSentence } from './brought.ts';
import { andThen, begin, type Context, type Decision, note, rest, setRecord, stay } from './decision.ts';
import { deny } from './denylist.ts';
import type { Brought } from './effects.ts';
import type { Failure } from './errors.ts';
import { afterFolder, fromFolder, sourceSentence } from './folder.ts';
import { backOff, backOffLong, goodAttemptBytes } from './schedule.ts';
import { newStaged } from './staged.ts';
import type { InstallSpent, Phase, State } from './state.ts';
import { otherSlot, type Release, type ReleaseRef, type SlotRecord, type Verified } from './types.ts';

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
const spentFor = ({ installSpent }: State, release: ReleaseRef): InstallSpent | null =>
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

export const installDone = (
  state: State,
  context: Context,
  phase: Extract<Phase, { kind: 'verifying' }>,
  record: SlotRecord,
): Decision => {
  const { slot, release } = phase;
  const next = setRecord(
    { ...state, failures: 0, installFailures: null, installSpent: null, attention: null },
    slot,
    record,
  );
  // Forced is the install, not the reboot: that is a step of its own, with its own command and window.
  const ready = rest({
    ...next,
    staged: newStaged({
      slot,
      release,
      verity: record.verity,
      intent: 'update',
      verifiedInBoot: state.bootId,
      healthDeadlineMs: release.health.deadlineS * 1000,
      healthChecks: release.health.checks,
      rollbackFloor: release.rollbackFloor,
      floorEpoch: release.floorEpoch,
    }),
  });
  return andThen(note(stay(ready), context, 'installed', { release, slot, reason: phase.brought ?? null }), (after) =>
    proceedStaged(after, context),
  );
};

/** A folder that fails says nothing of the servers, which are asked as before, nor of the release that they have. */
export const folderInstallFailed = (state: State, context: Context, release: ReleaseRef, why: Failure): Decision =>
  note(stay(rest(afterFolder({ ...state, staged: null }, context))), context, 'install-failed', {
    release,
    reason: why.message,
    code: why.code,
  });

/** After too many failures the release is denied when it is to blame; otherwise the pause becomes long, since each try may cost a download. */
export const installFailed = (
  state: State,
  context: Context,
  release: ReleaseRef,
  why: Failure,
  fetchedBytes: number,
): Decision => {
  const counts = why.class !== 'transient';
  const before = state.installFailures?.releaseId === release.id ? state.installFailures.count : 0;
  const count = counts ? before + 1 : before;
  const tooOften = counts && count >= context.policy.installAttemptsMax;
  const installFailures = { releaseId: release.id, count };
  const lastCheck =
    state.lastCheck === null
      ? null
      : {
          ...state.lastCheck,
          reasons: [
            {
              code: 'install-failed' as const,
              sentence: `The last install of ${release.version} failed: ${why.message}`,
            },
          ],
        };
  const failed = rest({ ...state, staged: null, installFailures, lastCheck });
  const paused = tooOften
    ? backOffLong(failed, context, why)
    : backOff(failed, context, why, fetchedBytes >= goodAttemptBytes && !counts);
  const reason = failedSentence(why.message, fetchedBytes, spentFor(state, release));
  const noted = note(stay(paused), context, 'install-failed', { release, reason, code: why.code });
  return tooOften && why.class === 'release'
    ? andThen(noted, (next) => deny(next, context, release, why.message))
    : noted;
};
