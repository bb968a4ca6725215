// Says what runs, what the agent does now, what stands in the way and what comes next. Pure; one arm for each phase.

import { assertNever } from '../core/errors.ts';
import type { Snapshot } from '../core/ports.ts';
import type { Phase } from '../core/state.ts';
import { type Moment, type OfferedFolder, otherSlot } from '../core/types.ts';
import type { Automation } from './context.ts';
import { asSentence, spanText } from './sentence.ts';
import { trustedRecord } from './slot.ts';

export interface Narrative {
  readonly now: string;
  /** The condition that keeps an update away, or null. */
  readonly obstacle: string | null;
  readonly next: string;
}

type Reason = NonNullable<Snapshot['state']['lastCheck']>['reasons'][number];

/**
 * An unmet condition of the last check as one sentence that names its release. Why a release was denied is told where
 * it is looked for, in its slot and in the denylist, and not again wherever the release is mentioned.
 */
export const conditionSentence = (
  { code, sentence }: Reason,
  { release, failure }: NonNullable<Snapshot['state']['lastCheck']>,
): string => {
  // A failure is not about the release that an earlier check saw.
  const version = failure === null ? (release?.version ?? null) : null;
  if (code === 'denied' && version !== null) return `${version} is denied here and not tried again by itself.`;
  const isAboutHere = version === null || code === 'up-to-date' || code === 'hold' || code === 'unconfirmed';
  return isAboutHere || sentence.includes(version) ? asSentence(sentence) : `${version}: ${asSentence(sentence)}`;
};

const pollSentence = ({ state }: Snapshot, moment: Moment): string => {
  const leftMs = state.nextPollMs - moment.monoMs;
  // Less than half a second would read as 'in 0 s'.
  return leftMs < 500 ? 'Asks the server for news now.' : `Asks the server for news in ${spanText(leftMs)}.`;
};

const runningVersion = (snapshot: Snapshot): string =>
  trustedRecord(snapshot, snapshot.boot.booted)?.release.version ?? 'an unnamed system';

/** What runs, by evidence, and whether the bootloader holds it for good. */
export const runningSentence = (snapshot: Snapshot): string => {
  const { boot } = snapshot;
  const word = boot.slots[boot.booted].state === 'good' ? 'confirmed' : 'not confirmed';
  return `${runningVersion(snapshot)} runs in slot ${boot.booted}, ${word}.`;
};

/** Every phase but `idle` is under way; nothing but itself keeps it from its end. */
type Busy = Exclude<Phase, { kind: 'idle' }>;
type Step = Omit<Narrative, 'obstacle'>;

const idle = (snapshot: Snapshot, moment: Moment): Narrative => {
  const { hold, lastCheck } = snapshot.state;
  const now = runningSentence(snapshot);
  const next = pollSentence(snapshot, moment);
  if (hold !== null) return { now, obstacle: 'Updates are held; nothing is installed until they are released.', next };
  const blocking = lastCheck?.reasons.find(({ code }) => code !== 'up-to-date' && code !== 'hold');
  const obstacle = lastCheck === null || blocking === undefined ? null : conditionSentence(blocking, lastCheck);
  return { now, obstacle, next };
};

const staged = (snapshot: Snapshot, moment: Moment, automation: Automation): Step => {
  const { staged: release, hold } = snapshot.state;
  if (release === null) return { now: 'A release is staged.', next: pollSentence(snapshot, moment) };
  const word = release.isActivated ? 'activated' : 'staged';
  const now = `${release.release.version} is ${word} in slot ${release.slot}.`;
  if (release.isForced) return { now, next: 'Reboots now.' };
  if (hold !== null) return { now, next: 'Updates are held; reboots after they are released.' };
  if (!automation.isAutoReboot) return { now, next: 'Waits for a technician: otactl reboot.' };
  return { now, next: moment.windows.reboot ? 'Reboots now.' : 'Reboots when the window opens.' };
};

const percentOf = ({ progress }: Snapshot): string =>
  progress === null || progress.totalBytes === 0
    ? ''
    : `: ${Math.min(100, Math.floor((100 * progress.doneBytes) / progress.totalBytes))} %`;

/** The folder that the step under way reads. */
export const folderOf = (phase: Phase): OfferedFolder | null =>
  phase.kind === 'checking' || phase.kind === 'fetching' ? (phase.folder ?? null) : null;

const transfer = (snapshot: Snapshot, phase: Extract<Phase, { kind: 'fetching' | 'verifying' }>): Step => {
  const { progress } = snapshot;
  const { version } = phase.release;
  const percent = percentOf(snapshot);
  if (phase.kind === 'verifying') {
    return {
      now: `${version} in slot ${phase.slot} is read back and checked against its signed root${percent}.`,
      next: 'Staged when every byte matches.',
    };
  }
  if (phase.step === 'invalidate') {
    return {
      now: `Slot ${phase.slot} is made unbootable before ${version} is written to it.`,
      next: 'Then the image is streamed into the slot.',
    };
  }
  const isResuming = progress?.step === 'reading';
  const folder = folderOf(phase);
  return {
    now: isResuming
      ? `${version} resumes: what slot ${phase.slot} already holds is checked${percent}.`
      : `${version} is streamed${folder === null ? '' : ` from ${folder.path}`} into slot ${phase.slot}${percent}.`,
    next: 'Then the whole slot is read back and verified.',
  };
};

const activating = (snapshot: Snapshot, step: Extract<Phase, { kind: 'activating' }>['step']): Step => {
  const version = snapshot.state.staged?.release.version ?? 'the staged release';
  const next = `Then the gateway reboots into ${version}.`;
  switch (step) {
    case 'verify':
      return { now: `${version} is verified once more before it is activated${percentOf(snapshot)}.`, next };
    case 'baseline':
      return { now: 'Health checks run on the running system, to know what failed before the update.', next };
    case 'flip':
      return { now: `The bootloader is told to try ${version} next.`, next };
    default:
      return assertNever(step);
  }
};

const stepOf = (snapshot: Snapshot, moment: Moment, automation: Automation, phase: Busy): Step => {
  const { boot } = snapshot;
  const back = trustedRecord(snapshot, otherSlot(boot.booted))?.release.version ?? 'the other slot';
  switch (phase.kind) {
    case 'checking':
      if (phase.folder !== undefined) {
        return { now: `The folder ${phase.folder.path} is read.`, next: 'Installs what it holds, or says why not.' };
      }
      return { now: 'The server is asked for news.', next: 'Installs what is new, or says why not.' };
    case 'fetching':
    case 'verifying':
      return transfer(snapshot, phase);
    case 'staged':
      return staged(snapshot, moment, automation);
    case 'activating':
      return activating(snapshot, phase.step);
    case 'rebooting':
      return {
        now: `The gateway reboots into slot ${phase.slot}.`,
        next: 'Health checks decide whether the new system stays.',
      };
    case 'assessing':
      return {
        now: `${runningVersion(snapshot)} is on trial: health checks run.`,
        next: `Confirmed when they pass; otherwise the gateway returns to ${back}.`,
      };
    case 'confirming':
      return { now: `${runningVersion(snapshot)} passed its health checks and is confirmed.`, next: 'Then it stays.' };
    case 'reverting':
      if (phase.step === 'verify') {
        return {
          now: `${back} is read back and checked before the gateway returns to it${percentOf(snapshot)}.`,
          next: `Then ${runningVersion(snapshot)} is given up; if a byte is wrong, it goes on running.`,
        };
      }
      return {
        now: `${runningVersion(snapshot)} is given up: ${asSentence(phase.reason)}`,
        next: `The gateway reboots into ${back}.`,
      };
    case 'marking':
      return { now: `Slot ${phase.slot} is marked bad: ${asSentence(phase.reason)}`, next: 'Then otad goes on.' };
    case 'leaving':
      return {
        now: `${runningVersion(snapshot)} runs in slot ${boot.booted}, which is marked bad: ${asSentence(snapshot.state.staged?.failureReason ?? '')}`,
        next: `The next reboot starts ${back}.`,
      };
    case 'halted':
      return {
        now: `Stopped: ${asSentence(phase.failure.message)}`,
        next: `Stays up and needs attention. ${pollSentence(snapshot, moment)}`,
      };
    default:
      return assertNever(phase);
  }
};

/** What happens now and next. */
export const narrate = (snapshot: Snapshot, moment: Moment, automation: Automation): Narrative => {
  const { phase } = snapshot.state;
  return phase.kind === 'idle'
    ? idle(snapshot, moment)
    : { ...stepOf(snapshot, moment, automation, phase), obstacle: null };
};
