// Owns standard input and output: what is a terminal, what may be coloured, how to ask. Handed to the commands, so that
// none of them touches the process.

import { createInterface } from 'node:readline/promises';
import { OtadError } from '../core/errors.ts';
import { type Paint, paintAnsi, paintNothing, wrap } from './layout.ts';

export interface Terminal {
  /** Output goes to a terminal: bars may be redrawn. */
  readonly isInteractive: boolean;
  /** Somebody can be asked. */
  readonly canAsk: boolean;
  /** Width that text is wrapped to; infinite when the output is not a terminal. */
  readonly columns: number;
  readonly paint: Paint;
  line(text: string): void;
  /** Replaces the line that the cursor is on; '' clears it. Interactive only. */
  redraw(text: string): void;
  /** Goes to standard error. */
  complain(text: string): void;
  /** Asks on standard error; anything but y or yes is no. */
  ask(question: string, signal: AbortSignal): Promise<boolean>;
}

const columnsDefault = 80;

export const createTerminal = (process: NodeJS.Process): Terminal => {
  const { stdin, stdout, stderr, env } = process;
  const isInteractive = stdout.isTTY === true;
  const hasColor = isInteractive && (env.NO_COLOR ?? '') === '' && env.TERM !== 'dumb';
  return {
    isInteractive,
    canAsk: stdin.isTTY === true,
    // A serial console often says 0.
    columns: isInteractive ? stdout.columns || columnsDefault : Number.POSITIVE_INFINITY,
    paint: hasColor ? paintAnsi : paintNothing,
    line: (text) => void stdout.write(`${text}\n`),
    redraw: (text) => void stdout.write(`\r\u001b[K${text}`),
    complain: (text) => {
      const columns = stderr.isTTY ? stderr.columns || columnsDefault : Number.POSITIVE_INFINITY;
      stderr.write(`${wrap(text, columns).join('\n')}\n`);
    },
    ask: async (question, signal) => {
      const reader = createInterface({ input: stdin, output: stderr });
      try {
        return /^y(es)?$/i.test((await reader.question(`${question} [y/N] `, { signal })).trim());
      } catch (cause) {
        // Ctrl-C and Ctrl-D end the question here, and come as no signal.
        stderr.write('\n');
        throw new OtadError('CANCELLED', { reason: 'no answer was given, so nothing was done' }, { cause });
      } finally {
        reader.close();
      }
    },
  };
};
