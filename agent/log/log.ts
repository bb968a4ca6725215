// The agent's log: pino in front, and behind it the journal's own socket, or lines on a stream. No worker threads and no
// files: keeping logs is the journal's work. Must never throw into its caller, and never log a secret it was not given.

import { fstatSync } from 'node:fs';
import { type Level, type Logger, pino, stdSerializers } from 'pino';
import type { RuntimeLog, TransferLog } from '../core/ports.ts';
import type { HistoryEntry } from '../core/types.ts';
import { historyLevel, historySentence } from './history-line.ts';
import type { LogRecord } from './journal-entry.ts';
import { createJournalSink } from './journald.ts';
import { type LineStyle, renderLine } from './line.ts';
import { messageIds } from './message-ids.ts';

type Fields = Readonly<Record<string, unknown>>;
type Environment = Readonly<Record<string, string | undefined>>;

export interface Log extends RuntimeLog, TransferLog {
  debug(message: string, fields?: Fields): void;
  error(message: string, fields?: Fields): void;
  /** A history entry with its MESSAGE_ID; call it after the entry is durable. */
  history(entry: HistoryEntry): void;
  /** For libraries that want pino itself. */
  readonly pino: Logger;
  /** Resolves when everything logged so far has left the process, as far as it can. */
  flush(): Promise<void>;
}

/** Where lines go; process.stdout fits. */
export interface LineStream {
  write(text: string): unknown;
}

export interface LogOptions {
  readonly level: Extract<Level, 'error' | 'warn' | 'info' | 'debug'>;
  /** The inherited socket named `journal`, or null: lines on `stream`. */
  readonly journalDescriptor: number | null;
  readonly stream: LineStream;
  readonly lineStyle: LineStyle;
}

const identifier = 'otad';

/**
 * How lines on descriptor 1 should look: JOURNAL_STREAM names the device and inode of a stream that journald reads, and
 * counts only when descriptor 1 still is that stream.
 */
export const lineStyleOf = (env: Environment, isTerminal: boolean): LineStyle => {
  if (isTerminal) return 'terminal';
  try {
    const { dev, ino } = fstatSync(1);
    return env.JOURNAL_STREAM === `${dev}:${ino}` ? 'prefixed' : 'plain';
  } catch {
    return 'plain';
  }
};

const createLineSink = (stream: LineStream, style: LineStyle) => ({
  write(line: string): void {
    stream.write(`${renderLine(JSON.parse(line) as LogRecord, style)}\n`);
  },
  flush: (): Promise<void> => Promise.resolve(),
});

/** An error's name goes without saying; its stack is kept for the journal and left out of lines. */
const serializeError = (error: unknown): unknown => {
  if (!(error instanceof Error)) return error;
  const { message, code, stack } = stdSerializers.err(error) as { message: string; code?: string; stack: string };
  return { message, ...(code === undefined ? {} : { code }), stack };
};

export const createLog = (options: LogOptions): Log => {
  const { journalDescriptor } = options;
  const sink =
    journalDescriptor === null
      ? createLineSink(options.stream, options.lineStyle)
      : createJournalSink(journalDescriptor, identifier);
  const logger = pino(
    { level: options.level, base: null, serializers: { error: serializeError, err: serializeError } },
    sink,
  );
  // Fields that bear the log's own names are dropped: no caller can forge a level or a message id.
  const own = ({ level, time, msg, messageId, ...fields }: Fields): Fields => fields;

  return {
    debug: (message, fields = {}) => logger.debug(own(fields), message),
    info: (message, fields) => logger.info(own(fields), message),
    warn: (message, fields) => logger.warn(own(fields), message),
    error: (message, fields = {}) => logger.error(own(fields), message),
    history(entry) {
      const { type, version, slot, reason, code } = entry;
      const fields = { history: type, version, slot, reason, code, messageId: messageIds[type] };
      logger[historyLevel(type)](fields, historySentence(entry));
    },
    transfer: (note, message, fields) => logger.info({ ...own(fields), messageId: messageIds[note] }, message),
    pino: logger,
    flush: () => sink.flush(),
  };
};
