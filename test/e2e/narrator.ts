// Shows a person what the gateway does, from the daemon's answers alone: its sentence for each phase, a progress bar
// while bytes move, each entry of its history once. On a terminal the bar is redrawn in place; elsewhere it is a line.

import type { HistoryBody, ProgressBody, StatusBody } from '../../agent/api/schema.ts';
import { bar, type Paint, paintAnsi, paintNothing, plain, sizeText } from '../../agent/cli/layout.ts';
import type { HistoryEntry, HistoryType } from '../../agent/core/types.ts';
import { historySentence } from '../../agent/log/history-line.ts';
import type { ProgramResult } from './child-process.ts';
import type { Gateway } from './gateway.ts';

const barWidth = 30;
const labelWidth = 9;
const stepWidth = 10;

type Entry = HistoryBody['history'][number];
type Tone = Parameters<Paint>[0];

/** What deserves a line of its own; the rest can be read with `otactl history`. */
const tones: Readonly<Partial<Record<HistoryType, Tone>>> = {
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
  #lastQuarter = -1;
  #seenEntries = 0;
  #isBarOpen = false;
  /** Lines that wait while a transcript is being made; null: none is. */
  #held: string[] | null = null;

  constructor(out: NodeJS.WriteStream) {
    this.#out = out;
    this.#isInteractive = out.isTTY === true;
    this.#paint = this.#isInteractive && (process.env.NO_COLOR ?? '') === '' ? paintAnsi : paintNothing;
  }

  title(text: string): void {
    this.#write(`\n${this.#paint('strong', text)}\n`);
  }

  line(label: string, text: string, tone?: Tone): void {
    const shown = tone === undefined ? plain(text) : this.#paint(tone, plain(text));
    this.#write(`  ${this.#paint('dim', label.padEnd(labelWidth))}${shown}\n`);
  }

  /** Runs a command; shows it and what it printed as they would stand in a technician's terminal. */
  async transcript(command: string, run: () => Promise<ProgramResult>): Promise<ProgramResult> {
    this.#write(`\n  ${this.#paint('strong', `$ ${command}`)}\n`);
    const held: string[] = [];
    this.#held = held;
    const result = await run().finally(() => {
      this.#held = null;
    });
    const { exitCode, stdout, stderr } = result;
    const indented = `${stdout}${stderr}`.trimEnd().replaceAll('\n', '\n    ');
    const status = exitCode === 0 ? '' : `${this.#paint('dim', `    (exit status ${exitCode})`)}\n`;
    this.#write(`    ${indented}\n${status}\n${held.join('')}`);
    return result;
  }

  status(status: StatusBody): void {
    const sentence = status.now.replace(/: \d+ %\.$/, '.');
    if (sentence !== this.#lastSentence) this.line('otad', sentence);
    this.#lastSentence = sentence;
    if (status.progress !== null) this.#progress(status.progress);
  }

  /** Tells the entries that are new since the last call. `history` is newest first. */
  history(history: readonly Entry[]): void {
    // An answer that was overtaken by a newer one.
    if (history.length <= this.#seenEntries) return;
    const fresh = history.slice(0, history.length - this.#seenEntries).reverse();
    this.#seenEntries = history.length;
    for (const entry of fresh) {
      const tone = tones[entry.type as HistoryType];
      if (tone !== undefined) this.line('history', historySentence(entry as HistoryEntry), tone);
    }
  }

  #progress(progress: ProgressBody): void {
    const quarter = Math.floor(progress.percent / 25);
    const isNews = progress.step !== this.#lastStep || quarter !== this.#lastQuarter;
    if (progress.step !== this.#lastStep) this.#closeBar();
    this.#lastStep = progress.step;
    this.#lastQuarter = quarter;
    const sizes = `${sizeText(progress.doneBytes)} of ${sizeText(progress.totalBytes)}`;
    const percent = progress.percent.toFixed(0).padStart(3);
    const saved = progress.savedBytes === 0 ? '' : `, ${sizeText(progress.savedBytes)} saved`;
    const text = `${progress.step.padEnd(stepWidth)}${bar(progress.percent, barWidth)} ${percent} %  ${sizes}${saved}`;
    if (this.#isInteractive && this.#held === null) {
      this.#out.write(`\r\u001b[K  ${' '.repeat(labelWidth)}${text}`);
      this.#isBarOpen = true;
    } else if (isNews) this.line('', text);
  }

  #write(text: string): void {
    if (this.#held !== null) {
      this.#held.push(text);
      return;
    }
    this.#closeBar();
    this.#out.write(text);
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
