// The status body: one look that tells a technician what runs, what is in the slots, what happens and what stands in
// the way. Pure; never claims more than the bootloader and the slots' bytes say (I11).

import type { Failure } from '../core/errors.ts';
import type { Snapshot } from '../core/ports.ts';
import type { Moment, Progress } from '../core/types.ts';
import { advise } from './advice.ts';
import type { ApiContext } from './context.ts';
import { conditionSentence, folderOf, narrate, runningSentence } from './narrative.ts';
import type { DenylistBody, ProgressBody, StatusBody } from './schema.ts';
import { slotBodies, trustedRecord, wayBack } from './slot.ts';

const progressBody = (progress: Progress): ProgressBody => ({
  ...progress,
  percent:
    progress.totalBytes === 0 ? 0 : Math.min(100, Math.floor((1000 * progress.doneBytes) / progress.totalBytes) / 10),
});

const lastCheckBody = ({ lastCheck }: Snapshot['state']): StatusBody['lastCheck'] =>
  lastCheck === null
    ? null
    : {
        timeMs: lastCheck.timeMs,
        version: lastCheck.release?.version ?? null,
        releaseId: lastCheck.release?.id ?? null,
        failure: lastCheck.failure,
        reasons: lastCheck.reasons.map((reason) => ({
          code: reason.code,
          sentence: conditionSentence(reason, lastCheck),
        })),
      };

const stagedBody = ({ staged }: Snapshot['state']): StatusBody['staged'] =>
  staged === null
    ? null
    : {
        slot: staged.slot,
        version: staged.release.version,
        releaseId: staged.release.id,
        intent: staged.intent,
        activated: staged.isActivated,
      };

/** Settings that are left out stay worth a person's look after the state has moved on. */
export const attentionOf = ({ state }: Snapshot, configProblems: readonly Failure[]): Failure | null =>
  state.attention ?? configProblems[0] ?? null;

export const statusBody = (
  snapshot: Snapshot,
  moment: Moment,
  context: Pick<ApiContext, 'identity' | 'automation' | 'slotPaths' | 'configProblems'>,
): StatusBody => {
  const { state, boot, progress } = snapshot;
  const { now, obstacle, next } = narrate(snapshot, moment, context.automation);
  const attention = attentionOf(snapshot, context.configProblems);
  return {
    phase: state.phase.kind,
    runs: runningSentence(snapshot),
    now,
    next: obstacle === null ? next : `${obstacle} ${next}`,
    todo: advise(snapshot, context.automation, attention),
    booted: boot.booted,
    version: trustedRecord(snapshot, boot.booted)?.release.version ?? null,
    confirmed: boot.slots[boot.booted].state === 'good',
    primary: boot.primary,
    slots: slotBodies(snapshot, context.slotPaths),
    progress: progress === null ? null : progressBody(progress),
    folder: folderOf(state.phase)?.path ?? null,
    staged: stagedBody(state),
    wayBack: wayBack(snapshot),
    attention,
    hold: state.hold === null ? null : { reason: state.hold.reason, sinceMs: state.hold.sinceMs },
    lastCheck: lastCheckBody(state),
    nextPollInMs: Math.max(0, state.nextPollMs - moment.monoMs),
    denylist: state.denylist.map((entry) => entry.release.version),
    evidence: [...boot.evidence],
    agentVersion: context.identity.agentVersion,
    compatible: context.identity.compatible,
    channel: context.identity.channel,
    plan: state.plan,
    timeMs: moment.wallMs,
    timeSynced: moment.isSynced,
  };
};

export const denylistBody = ({ state }: Snapshot): DenylistBody => ({
  denylist: state.denylist.map(({ release, reason, timeMs }) => ({
    releaseId: release.id,
    version: release.version,
    sequence: release.sequence,
    reason,
    timeMs,
  })),
});
