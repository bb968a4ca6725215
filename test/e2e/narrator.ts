// Shows a person what the gateway does, from the daemon's answers alone: its sentence for each phase, a progress bar
// while bytes move, each entry of its history once. On a terminal the bar is redrawn in place; elsewhere it is a line.

import type { HistoryBody, ProgressBody, StatusBody } from '../../agent/api/schema.ts';
import { bar, type Paint, paintAnsi, paintNothing, plain, sizeText } from '../../agent/cli/layout.ts';
import type { Gateway } from './gateway.ts';

const barWidth = 30;
const labelWidth = 9;

type Entry = HistoryBody['history'][number];

/** What deserves a line of its own; the rest can be read with `otactl history`. */
const toneOf: Readonly<Record<string, 'good' | 'warn' | 'bad' | 'strong'>> = {
  installed: 'strong',
  activated: 'strong',
  'trial-started': 'strong',
  confirmed: 'good',
  'health-failed': 'bad',
  'install-failed': 'bad',
  'check-failed': 'warn',
  'rolled-back': 'warn',
  'rollback-requested': 'warn',
  denied: 'bad',
  undenied: 'strong',
  halted: 'bad',
};

export class Narrator {
  readonly #out: NodeJS.WriteStream;
  readonly #paint: Paint;
  readonly #isInteractive: boolean;
  #lastSentence = '';
  #lastStep = '';
  #seenEntries = 0;
  #isBarOpen = false;

  constructor(out: NodeJS.WriteStream) {
    this.#out = out;
    this.#isInteractive = out.isTTY === true;
    this.#paint = this.#isInteractive && (process.env.NO_COLOR ?? '') === '' ? paintAnsi : paintNothing;
  }

  title(text: string): void {
    this.#closeBar();
    this.#out.write(`\n${this.#paint('strong', text)}\n`);
  }

  line(label: string, text: string, tone?: Parameters<Paint>[0]): void {
    this.#closeBar();
    const shown = tone === undefined ? plain(text) : this.#paint(tone, plain(text));
    this.#out.write(`  ${this.#paint('dim', label.padEnd(labelWidth))}${shown}\n`);
  }

  /** A command and what it printed, as they would stand in a technician's terminal. */
  transcript(command: string, output: string, exitCode: number | null): void {
    this.#closeBar();
    const indented = output.trimEnd().replaceAll('\n', '\n    ');
    const status = exitCode === 0 ? '' : this.#paint('dim', `  (exit status ${exitCode})`);
    this.#out.write(`\n  ${this.#paint('strong', `$ ${command}`)}${status}\n    ${indented}\n`);
  }

  status(status: StatusBody): void {
    const sentence = status.now.replace(/: \d+ %\.$/, '.');
    const isMoving = status.progress !== null;
    if (sentence !== this.#lastSentence) this.line('otad', sentence);
    this.#lastSentence = sentence;
    if (isMoving && status.progress !== null) this.#progress(status.progress);
  }

  /** Tells the entries that are new since the last call. `history` is newest first. */
  history(history: readonly Entry[]): void {
    const fresh = history.slice(0, history.length - this.#seenEntries).reverse();
    this.#seenEntries = history.length;
    for (const entry of fresh) {
      const tone = toneOf[entry.type];
      if (tone === undefined) continue;
      const where = entry.slot === null ? '' : ` (slot ${entry.slot})`;
      const why = entry.reason === null ? '' : `: ${entry.reason}`;
      this.line('history', `${entry.type} ${entry.version ?? ''}${where}${why}`, tone);
    }
  }

  #progress(progress: ProgressBody): void {
    const isNewStep = progress.step !== this.#lastStep;
    if (isNewStep) this.#closeBar();
    this.#lastStep = progress.step;
    const isWhole = progress.doneBytes >= progress.totalBytes;
    if (!this.#isInteractive && !isWhole) return;
    const sizes = `${sizeText(progress.doneBytes)} of ${sizeText(progress.totalBytes)}`;
    const text = `${progress.step.padEnd(10)}${bar(progress.percent, barWidth)} ${progress.percent.toFixed(0).padStart(3)} %  ${sizes}`;
    if (!this.#isInteractive) {
      this.line('', text);
      return;
    }
    this.#out.write(`\r\u001b[K  ${' '.repeat(labelWidth)}${text}`);
    this.#isBarOpen = true;
  }

  #closeBar(): void {
    if (this.#isBarOpen) this.#out.write('\n');
    this.#isBarOpen = false;
  }
}

/** Follows the gateway until the signal fires. */
export const narrateGateway = async (gateway: Gateway, narrator: Narrator, signal: AbortSignal): Promise<void> => {
  let telling: Promise<void> = Promise.resolve();
  const tellHistory = async (): Promise<void> => {
    // While the board reboots nobody answers; the next status asks again.
    const history = await gateway.api.history().catch(() => null);
    if (history !== null) narrator.history(history);
  };
  await gateway.follow((status) => {
    narrator.status(status);
    telling = telling.then(tellHistory);
  }, signal);
  await telling;
};
