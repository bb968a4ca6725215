// Shows a stream of statuses: on a terminal one line a step and a bar that moves below it, otherwise a line a step and
// one every ten percent. Owns the last line of the screen until `end`.

import type { ProgressBody, StatusBody } from '../api/schema.ts';
import { bar, localTime, plain, sizeText } from './layout.ts';
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

const withoutPercent = (sentence: string): string => sentence.replace(/: \d+ %\.$/, '.').replace(/ in \d+ \w+\.$/, '.');

const headline = (status: StatusBody): string => {
  const attention = status.attention === null ? '' : ` Needs attention: ${status.attention.message}`;
  const isWaiting = status.phase === 'idle' || status.phase === 'staged';
  return plain(`${withoutPercent(status.now)}${isWaiting ? ` ${status.next}` : ''}${attention}`);
};

const barLine = (progress: ProgressBody, bytesPerS: number | null, columns: number): string => {
  const sizes = `${sizeText(progress.doneBytes)} of ${sizeText(progress.totalBytes)}`;
  const rate = bytesPerS === null ? '' : `  ${sizeText(bytesPerS)}/s`;
  const text = `${bar(progress.percent, barWidth)} ${progress.percent.toFixed(1).padStart(5)} %  ${sizes}${rate}`;
  // A line that wraps cannot be redrawn.
  return text.slice(0, Math.max(0, columns - 1));
};

export const createFollower = (terminal: Terminal): Follower => {
  let step: string | null = null;
  let tenth = 0;
  let start: { timeMs: number; doneBytes: number } | null = null;

  const write = (text: string): void => {
    if (terminal.isInteractive) terminal.redraw('');
    terminal.line(text);
  };

  const rateOf = (status: StatusBody, progress: ProgressBody): number | null => {
    start ??= { timeMs: status.timeMs, doneBytes: progress.doneBytes };
    const passedS = (status.timeMs - start.timeMs) / 1000;
    return passedS < 1 ? null : (progress.doneBytes - start.doneBytes) / passedS;
  };

  return {
    show: (status) => {
      const newStep = stepOf(status);
      if (newStep !== step) {
        step = newStep;
        tenth = 0;
        start = null;
        write(`${terminal.paint('dim', localTime(status.timeMs, status.timeSynced))}  ${headline(status)}`);
      }
      const { progress } = status;
      if (progress === null) return;
      if (terminal.isInteractive) {
        terminal.redraw(barLine(progress, rateOf(status, progress), terminal.columns));
        return;
      }
      const newTenth = Math.floor(progress.percent / 10);
      if (newTenth <= tenth) return;
      tenth = newTenth;
      terminal.line(`${localTime(status.timeMs, status.timeSynced)}  ${barLine(progress, null, terminal.columns)}`);
    },
    note: write,
    end: () => {
      if (terminal.isInteractive) terminal.redraw('');
    },
  };
};
