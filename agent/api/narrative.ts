// Says in two sentences what the agent does now and what comes next. Pure; one arm for each phase.

import { assertNever } from '../core/errors.ts';
import type { Snapshot } from '../core/ports.ts';
import type { Phase } from '../core/state.ts';
import { type Moment, otherSlot } from '../core/types.ts';
import type { Automation } from './context.ts';
import { trustedRecord } from './slot.ts';

export interface Narrative {
  readonly now: string;
  readonly next: string;
}

/** A span of time as a person says it: '40 s', '12 min', '3 h', '2 days'. */
export const spanText = (ms: number): string => {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 90) return `${s} s`;
  if (s < 90 * 60) return `${Math.round(s / 60)} min`;
  if (s < 48 * 3600) return `${Math.round(s / 3600)} h`;
  return `${Math.round(s / 86400)} days`;
};

/** With exactly one full stop at its end. Reasons come from checks and people, with or without one. */
export const asSentence = (text: string): string => `${text.trim().replace(/[.\s]+$/, '')}.`;

/** A condition by the name of the release it is about, unless it says the name itself. */
export const aboutRelease = (version: string | null, sentence: string): string =>
  version === null || sentence.includes(version) ? asSentence(sentence) : `${version}: ${asSentence(sentence)}`;

const pollSentence = ({ state }: Snapshot, moment: Moment): string => {
  const leftMs = state.nextPollMs - moment.monoMs;
  return leftMs <= 0 ? 'Asks the server for news now.' : `Asks the server for news in ${spanText(leftMs)}.`;
};

const runningVersion = (snapshot: Snapshot): string =>
  trustedRecord(snapshot, snapshot.boot.booted)?.release.version ?? 'an unnamed system';

const runningSentence = (snapshot: Snapshot): string => {
  const { boot } = snapshot;
  const word = boot.slots[boot.booted].state === 'good' ? 'confirmed' : 'not confirmed';
  return `${runningVersion(snapshot)} runs in slot ${boot.booted}, ${word}.`;
};

const idle = (snapshot: Snapshot, moment: Moment): Narrative => {
  const { hold, lastCheck } = snapshot.state;
  const now = runningSentence(snapshot);
  if (hold !== null) {
    const reason = hold.reason === null ? '' : ` (${hold.reason})`;
    return { now, next: `Updates are held${reason}; nothing is installed until they are released.` };
  }
  const blocking = lastCheck?.reasons.find((reason) => reason.code !== 'up-to-date');
  const poll = pollSentence(snapshot, moment);
  if (lastCheck === null || blocking === undefined) return { now, next: poll };
  // A failure is not about the release that an earlier check saw.
  const version = lastCheck.failure === null ? (lastCheck.release?.version ?? null) : null;
  return { now, next: `${aboutRelease(version, blocking.sentence)} ${poll}` };
};

const staged = (snapshot: Snapshot, moment: Moment, automation: Automation): Narrative => {
  const { staged: release, hold } = snapshot.state;
  if (release === null) return { now: 'A release is staged.', next: pollSentence(snapshot, moment) };
  const word = release.isActivated ? 'activated' : 'staged';
  const now = `${release.release.version} is ${word} in slot ${release.slot}.`;
  if (release.isForced) return { now, next: 'Reboots now.' };
  if (hold !== null) return { now, next: 'Updates are held; reboots after they are released.' };
  if (!automation.isAutoReboot) return { now, next: 'Waits for a technician: otactl reboot.' };
  return { now, next: moment.windows.reboot ? 'Reboots now.' : 'Reboots when the window opens.' };
};

const transfer = ({ progress }: Snapshot, phase: Extract<Phase, { kind: 'fetching' | 'verifying' }>): Narrative => {
  const { version } = phase.release;
  const percent =
    progress === null || progress.totalBytes === 0
      ? ''
      : `: ${Math.min(100, Math.floor((100 * progress.doneBytes) / progress.totalBytes))} %`;
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
  return {
    now: isResuming
      ? `${version} resumes: what slot ${phase.slot} already holds is checked${percent}.`
      : `${version} is streamed into slot ${phase.slot}${percent}.`,
    next: 'Then the whole slot is read back and verified.',
  };
};

const activating = (snapshot: Snapshot, step: Extract<Phase, { kind: 'activating' }>['step']): Narrative => {
  const version = snapshot.state.staged?.release.version ?? 'the staged release';
  const next = `Then the gateway reboots into ${version}.`;
  switch (step) {
    case 'verify':
      return { now: `${version} is verified once more before it is activated.`, next };
    case 'baseline':
      return { now: 'Health checks run on the running system, to know what failed before the update.', next };
    case 'flip':
      return { now: `The bootloader is told to try ${version} next.`, next };
    default:
      return assertNever(step);
  }
};

/** What happens now and next. */
export const narrate = (snapshot: Snapshot, moment: Moment, automation: Automation): Narrative => {
  const { state, boot } = snapshot;
  const { phase } = state;
  const back = trustedRecord(snapshot, otherSlot(boot.booted))?.release.version ?? 'the other slot';
  switch (phase.kind) {
    case 'idle':
      return idle(snapshot, moment);
    case 'checking':
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
      return {
        now: `${runningVersion(snapshot)} is given up: ${asSentence(phase.reason)}`,
        next: `The gateway reboots into ${back}.`,
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
