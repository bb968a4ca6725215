// What a machine says on its serial console: kept in a file from the first byte, and waited for by pattern. Knows nothing of
// what the lines mean, but that systemd's sign of waiting is no word: a gateway that says nothing else is silent.

import { createWriteStream, type WriteStream } from 'node:fs';

const keptCharsMax = 4 << 20;
const escapeKey = String.fromCharCode(27);
const controlSequence = new RegExp(`${escapeKey}(\\[[0-9;:=?!]*[A-Za-z]|[cM])`, 'g');
/** The beginning of one, whose end has not come yet. */
const unfinished = new RegExp(`${escapeKey}(\\[[0-9;:=?!]*)?$`);

/** How systemd shows that it waits: `[ ***  ] Job otad.service/start running (1min 2s / 15min)`, several times a second. */
const spinner = '\\[(?=[ *]{0,5}\\*)[ *]{6}\\]';
const waitingLine = new RegExp(`^${spinner} [^\\n]*\\n`, 'gm');
/** The beginning of such a line, or of one that may become one. */
const begunWaitingLine = new RegExp(`(?<=^|\\n)(${spinner}[^\\n]{0,300}|\\[[ *]{0,6})$`);

export interface ConsoleLog {
  readonly path: string;
  append(bytes: Buffer): void;
  /** A line of the lab's own, so that the log tells what was done to the machine. */
  note(line: string): void;
  /** All that was said so far. */
  text(): string;
  /** Position to search from. */
  mark(): number;
  /** The first match after the mark; null: not yet. */
  find(pattern: RegExp, from: number): RegExpExecArray | null;
  /** performance.now() of the last word. That systemd goes on waiting is none. */
  lastHeardMs(): number;
  /** Resolves at the next byte. */
  changed(): Promise<void>;
  close(): Promise<void>;
}

export const createConsoleLog = (path: string): ConsoleLog => {
  const file: WriteStream = createWriteStream(path, { flags: 'a' });
  let heard = '';
  let dropped = 0;
  let lastHeardMs = performance.now();
  let waiting: (() => void)[] = [];
  let held = '';
  let begun = '';
  const decoder = new TextDecoder();
  const add = (text: string): void => {
    file.write(text);
    heard += text;
    if (heard.length > keptCharsMax) {
      dropped += heard.length - keptCharsMax;
      heard = heard.slice(-keptCharsMax);
    }
    lastHeardMs = performance.now();
    const woken = waiting;
    waiting = [];
    for (const wake of woken) wake();
  };
  return {
    path,
    append: (bytes) => {
      const text = held + decoder.decode(bytes, { stream: true });
      const start = unfinished.exec(text)?.index ?? text.length;
      held = text.slice(start);
      // Without what terminals do with it.
      const plain = begun + text.slice(0, start).replace(controlSequence, '').replaceAll('\r', '');
      const isLineStart = heard === '' || heard.endsWith('\n');
      const firstLine = isLineStart ? 0 : plain.indexOf('\n') + 1 || plain.length;
      const lines = plain.slice(firstLine).replace(waitingLine, '');
      const end = begunWaitingLine.exec(lines)?.index ?? lines.length;
      begun = lines.slice(end);
      const words = plain.slice(0, firstLine) + lines.slice(0, end);
      if (words !== '') add(words);
    },
    note: (line) => add(`\n== lab: ${line}\n`),
    text: () => heard,
    mark: () => dropped + heard.length,
    find: (pattern, from) => pattern.exec(heard.slice(Math.max(0, from - dropped))),
    lastHeardMs: () => lastHeardMs,
    changed: () => new Promise((resolve) => waiting.push(resolve)),
    close: () => new Promise((resolve) => file.end(begun, resolve)),
  };
};
