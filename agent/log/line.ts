// One record of the log as one line for a person: with a <N> priority where systemd reads it, coloured on a terminal,
// with the time elsewhere. Pure; a record can never make a second line.

import { flatten, type LogRecord, priorityOf } from './journal-entry.ts';

export type LineStyle = 'prefixed' | 'terminal' | 'plain';

const lineLengthMax = 16 * 1024;
const names: Readonly<Record<number, string>> = { 2: 'fatal', 3: 'error', 4: 'warn', 6: 'info', 7: 'debug' };
const colours: Readonly<Record<number, string>> = {
  2: '\x1b[31m',
  3: '\x1b[31m',
  4: '\x1b[33m',
  6: '\x1b[36m',
  7: '\x1b[2m',
};
const reset = '\x1b[0m';
const faint = '\x1b[2m';

const escaped = (text: string): string =>
  text.replace(/\p{Cc}/gu, (character) => JSON.stringify(character).slice(1, -1));

const isBare = (value: string): boolean => /^[^\s"=\p{C}]+$/u.test(value);

/** Stacks are for the journal; and a history entry's sentence says its fields already. */
const isShown = (record: LogRecord, key: string): boolean =>
  !key.endsWith('Stack') && (record.history === undefined || key === 'code');

const fieldsOf = (record: LogRecord): string =>
  flatten(record)
    .filter(([key]) => isShown(record, key))
    .map(([key, value]) => `${key}=${isBare(value) ? value : JSON.stringify(value)}`)
    .join(' ');

export const renderLine = (record: LogRecord, style: LineStyle): string => {
  const priority = priorityOf(record.level);
  const message = escaped(String(record.msg ?? ''));
  const fields = escaped(fieldsOf(record));
  const tail = fields === '' ? '' : ` ${fields}`;
  const time = typeof record.time === 'number' ? new Date(record.time).toISOString() : '';
  const name = (names[priority] ?? 'info').padEnd(5);
  switch (style) {
    case 'prefixed':
      return `<${priority}>${message}${tail}`.slice(0, lineLengthMax);
    case 'terminal': {
      const colouredTail = tail === '' ? '' : `${faint}${tail}${reset}`;
      return `${faint}${time.slice(11, 19)}${reset} ${colours[priority] ?? ''}${name}${reset} ${message.slice(0, lineLengthMax)}${colouredTail}`;
    }
    case 'plain':
      return `${time} ${name} ${message}${tail}`.slice(0, lineLengthMax);
  }
};
