// Tells the journal how an install goes on: a line every ten percent of a step, never two in ten seconds, and what an attempt
// brought that ended early. Changes nothing of the install, and never throws by itself.

import { sizeText } from '../core/brought.ts';
import { toFailure } from '../core/errors.ts';
import type { Installer, TransferLog } from '../core/ports.ts';
import type { Progress } from '../core/types.ts';
import type { OnProgress } from './progress-reporter.ts';

export interface JournalPorts {
  readonly monoMs: () => number;
  readonly log: TransferLog;
}

const linesPerStep = 10;
/** What is over sooner needs no line: its beginning and its end stand in the journal. */
const lineGapMsMin = 10_000;

const percentOf = ({ doneBytes, totalBytes }: Progress): number =>
  totalBytes === 0 ? 0 : Math.floor((100 * doneBytes) / totalBytes);

const timeText = (seconds: number): string =>
  seconds < 120 ? `${Math.ceil(seconds)} s left` : `${Math.ceil(seconds / 60)} min left`;

const broughtText = ({ rebuiltBytes, copiedBytes, fetchedBytes }: Progress): string =>
  [
    ...(rebuiltBytes > 0 ? [`${sizeText(rebuiltBytes)} by patch`] : []),
    ...(copiedBytes > 0 ? [`${sizeText(copiedBytes)} copied`] : []),
    `${sizeText(fetchedBytes)} fetched`,
  ].join(', ');

const stepWords: Readonly<Record<Progress['step'], string>> = {
  reading: 'what is there already is read',
  fetching: 'streamed',
  verifying: 'read back',
};

const progressText = (progress: Progress): string => {
  const { version, slot, step, bytesPerS, secondsLeft } = progress;
  const facts = [
    `${percentOf(progress)} %`,
    ...(step === 'verifying' ? [] : [broughtText(progress)]),
    ...(bytesPerS === null ? [] : [`${sizeText(bytesPerS)}/s`]),
    ...(secondsLeft === null ? [] : [timeText(secondsLeft)]),
  ];
  return `${version} in slot ${slot}, ${stepWords[step]}: ${facts.join(', ')}.`;
};

const fieldsOf = (progress: Progress) => ({ ...progress, percent: percentOf(progress) });

/** Of one effect. Its beginning was told just now. */
const createLines = ({ monoMs, log }: JournalPorts): OnProgress => {
  let told = { step: '', tenth: 0, atMs: monoMs() };
  return (progress) => {
    const { step } = progress;
    const tenth = Math.floor((percentOf(progress) * linesPerStep) / 100);
    // What began anew is told again.
    if (step !== told.step || tenth < told.tenth) told = { ...told, step, tenth: step === told.step ? tenth : 0 };
    const atMs = monoMs();
    // Its end is told by what follows.
    if (tenth === told.tenth || tenth === linesPerStep || atMs - told.atMs < lineGapMsMin) return;
    told = { step, tenth, atMs };
    log.transfer('install-progress', progressText(progress), fieldsOf(progress));
  };
};

/** The same install, and the journal hears of it. */
export const withJournal = (install: Installer, ports: JournalPorts): Installer => ({
  ...install,
  write: async (request, signal, onProgress) => {
    const tell = createLines(ports);
    const last: { progress: Progress | null } = { progress: null };
    try {
      return await install.write(request, signal, (progress) => {
        last.progress = progress;
        tell(progress);
        onProgress(progress);
      });
    } catch (error) {
      const { progress } = last;
      if (progress !== null) {
        const { version, slot } = progress;
        const message = `The attempt to bring ${version} into slot ${slot} ended at ${percentOf(progress)} %: ${broughtText(progress)}.`;
        ports.log.transfer('attempt-failed', message, { ...fieldsOf(progress), code: toFailure(error).code });
      }
      throw error;
    }
  },
  verify: (request, signal, onProgress) => {
    const tell = createLines(ports);
    return install.verify(request, signal, (progress) => {
      tell(progress);
      onProgress(progress);
    });
  },
});
