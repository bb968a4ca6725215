// What a machine says on its serial console: kept in a file from the first byte, and waited for by pattern. Knows nothing of
// what the lines mean.

import { createWriteStream, type WriteStream } from 'node:fs';

const keptCharsMax = 4 << 20;
const escapeKey = String.fromCharCode(27);
const controlSequence = new RegExp(`${escapeKey}(\\[[0-9;:=?!]*[A-Za-z]|[cM])`, 'g');
/** The beginning of one, whose end has not come yet. */
const unfinished = new RegExp(`${escapeKey}(\\[[0-9;:=?!]*)?$`);

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
  /** performance.now() of the last byte. */
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
      add(text.slice(0, start).replace(controlSequence, '').replaceAll('\r', ''));
    },
    note: (line) => add(`\n== lab: ${line}\n`),
    text: () => heard,
    mark: () => dropped + heard.length,
    find: (pattern, from) => pattern.exec(heard.slice(Math.max(0, from - dropped))),
    lastHeardMs: () => lastHeardMs,
    changed: () => new Promise((resolve) => waiting.push(resolve)),
    close: () => new Promise((resolve) => file.end(resolve)),
  };
};
