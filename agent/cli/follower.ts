// Shows a stream of statuses: on a terminal one line a step and a bar that moves below it, otherwise a line a step and
// one every ten percent. Owns the last line of the screen until `end`.

import type { ProgressBody, StatusBody } from '../api/schema.ts';
import { bar, durationText, localTime, plain, shortSize, sizeText, unsyncedMark, wrap } from './layout.ts';
import type { Terminal } from './terminal.ts';

/** The widest that the text leaves room for: in steps, so that it does not shrink and grow with every figure. */
const barWidths = [24, 12, 6] as const;
const barWidthMin = 6;

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

/** Where the bytes came from that are here so far: of the image by patch and from own slots, and what the network brought. */
const splitText = ({ rebuiltBytes, copiedBytes, fetchedBytes }: ProgressBody): string =>
  (
    [
      ['patch', rebuiltBytes],
      ['copied', copiedBytes],
      ['fetched', fetchedBytes],
    ] as const
  )
    .filter(([, bytes]) => bytes > 0)
    .map(([word, bytes]) => `${word} ${shortSize(bytes)}`)
    .join(', ');

/** What stands behind the bar, in this order; where the line is short, the first of `leftOut` goes first. */
const factsOf = (progress: ProgressBody): ReadonlyMap<string, string> => {
  const { bytesPerS, secondsLeft, savedBytes } = progress;
  return new Map([
    ['percent', `${progress.percent.toFixed(1).padStart(5)} %`],
    ['sizes', `${sizeText(progress.doneBytes)} of ${sizeText(progress.totalBytes)}`],
    ['split', splitText(progress)],
    ['saved', savedBytes === 0 ? '' : `${sizeText(savedBytes)} saved`],
    ['rate', bytesPerS === null ? '' : `${shortSize(bytesPerS)}/s`],
    ['left', secondsLeft === null ? '' : `${durationText(secondsLeft)} left`],
  ]);
};

const leftOut: readonly string[] = ['saved', 'sizes', 'rate', 'left', 'split'];

const textOf = (facts: ReadonlyMap<string, string>, without: readonly string[]): string =>
  [...facts]
    .filter(([name, text]) => text !== '' && !without.includes(name))
    .map(([, text]) => text)
    .join('  ');

export const barLine = (progress: ProgressBody, columns: number): string => {
  // A line that wraps cannot be redrawn.
  const width = Math.max(0, columns - 1);
  const facts = factsOf(progress);
  const besidesBar = '[] '.length;
  const texts = [...leftOut, ''].map((_, count) => textOf(facts, leftOut.slice(0, count)));
  const text = texts.find(({ length }) => length + besidesBar + barWidthMin <= width) ?? texts.at(-1) ?? '';
  const barWidth = barWidths.find((one) => text.length + besidesBar + one <= width) ?? barWidthMin;
  return `${bar(progress.percent, barWidth)} ${text}`.slice(0, width);
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
