// Shows a stream of statuses: on a terminal one line a step and a bar that moves below it, otherwise a line a step and
// one every ten percent. Owns the last line of the screen until `end`.

import type { ProgressBody, StatusBody } from '../api/schema.ts';
import { bar, durationText, localTime, plain, sizeText, unsyncedMark, wrap } from './layout.ts';
import type { Terminal } from './terminal.ts';

const barWidth = 24;

export interface Follower {
  show(status: StatusBody): void;
  /** A line of our own, above the bar. */
  note(text: string): void;
  end(): void;
}

/** What makes two statuses the same step: everything but the figures that move. */
const stepOf = ({ phase, progress, attention, hold, staged }: StatusBody): string =>
  JSON.stringify([phase, progress?.slot, progress?.version, progress?.step, attention?.code, hold, staged]);

const withoutPercent = (sentence: string): string => sentence.replace(/: \d+ %\.$/, '.');
const withoutTime = (sentence: string): string => sentence.replace(/ (in \d+ \w+|now)\./, '.');

const headline = (status: StatusBody): string => {
  const isSaid = status.attention === null || status.now.includes(status.attention.message);
  const attention = isSaid ? '' : ` Needs attention: ${status.attention?.message}`;
  const isWaiting = status.phase === 'idle' || status.phase === 'staged';
  return plain(`${withoutPercent(status.now)}${isWaiting ? ` ${status.next}` : ''}${attention}`);
};

const barLine = (progress: ProgressBody, columns: number): string => {
  const { percent, bytesPerS, secondsLeft, savedBytes } = progress;
  const sizes = `${sizeText(progress.doneBytes)} of ${sizeText(progress.totalBytes)}`;
  const saved = savedBytes === 0 ? '' : `  ${sizeText(savedBytes)} saved`;
  const rate = bytesPerS === null ? '' : `  ${sizeText(bytesPerS)}/s`;
  const left = secondsLeft === null ? '' : `  ${durationText(secondsLeft)} left`;
  const text = `${bar(percent, barWidth)} ${percent.toFixed(1).padStart(5)} %  ${sizes}${saved}${rate}${left}`;
  // A line that wraps cannot be redrawn.
  return text.slice(0, Math.max(0, columns - 1));
};

export const createFollower = (terminal: Terminal): Follower => {
  let step: string | null = null;
  let tenth = 0;
  let told: string | null = null;
  let isMarkExplained = false;

  const write = (text: string): void => {
    if (terminal.isInteractive) terminal.redraw('');
    for (const line of wrap(text, terminal.columns)) terminal.line(line);
  };

  const tell = (status: StatusBody): void => {
    const text = headline(status);
    // A poll without news ends where it began.
    if (withoutTime(text) === told) return;
    told = withoutTime(text);
    if (!status.timeSynced && !isMarkExplained) {
      isMarkExplained = true;
      write(`${unsyncedMark} behind a time: the clock is not synchronised, the time may be wrong.`);
    }
    write(`${terminal.paint('dim', localTime(status.timeMs, status.timeSynced))}  ${text}`);
  };

  return {
    show: (status) => {
      const newStep = stepOf(status);
      if (newStep !== step) {
        step = newStep;
        tenth = 0;
        if (status.phase !== 'checking') tell(status);
        else if (terminal.isInteractive) terminal.redraw(plain(status.now).slice(0, terminal.columns - 1));
      }
      const { progress } = status;
      if (progress === null) return;
      if (terminal.isInteractive) {
        terminal.redraw(barLine(progress, terminal.columns));
        return;
      }
      const newTenth = Math.floor(progress.percent / 10);
      if (newTenth <= tenth) return;
      tenth = newTenth;
      terminal.line(`${localTime(status.timeMs, status.timeSynced)}  ${barLine(progress, terminal.columns)}`);
    },
    note: write,
    end: () => {
      if (terminal.isInteractive) terminal.redraw('');
    },
  };
};
