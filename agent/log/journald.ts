// Sends log entries to journald over an inherited datagram socket (OpenFile=/run/systemd/journal/socket:journal). The
// socket blocks, so entries wait in a bounded queue and are written one at a time off the main thread. A full queue or a
// dead journal loses lines, says how many, and never holds the agent up.

import { write } from 'node:fs';
import { encodeJournalEntry, type LogRecord } from './journal-entry.ts';

export interface JournalSink {
  /** Takes one line of pino. */
  write(line: string): void;
  /** Resolves when the queue is empty. */
  flush(): Promise<void>;
}

const queueMax = 1024;
const queueBytesMax = 4 * 1024 * 1024;
const warning = 40;

const writeDatagram = (descriptor: number, bytes: Buffer): Promise<boolean> =>
  new Promise((resolve) => write(descriptor, bytes, (error) => resolve(error === null)));

export const createJournalSink = (descriptor: number, identifier: string): JournalSink => {
  let queue: Buffer[] = [];
  let queued = 0;
  let queuedBytes = 0;
  let lost = 0;
  let draining: Promise<void> | null = null;

  const drain = async (): Promise<void> => {
    while (queue.length > 0) {
      const batch = queue;
      queue = [];
      for (const bytes of batch) {
        if (!(await writeDatagram(descriptor, bytes))) lost += 1;
        queued -= 1;
        queuedBytes -= bytes.length;
      }
      if (lost > 0) await reportLoss();
    }
    draining = null;
  };
  const reportLoss = async (): Promise<void> => {
    const count = lost;
    const entry = encodeJournalEntry(
      { level: warning, msg: `${count} log entries were lost.`, lost: count },
      identifier,
    );
    if (await writeDatagram(descriptor, entry)) lost -= count;
  };

  return {
    write(line) {
      const bytes = encodeJournalEntry(JSON.parse(line) as LogRecord, identifier);
      if (queued >= queueMax || queuedBytes + bytes.length > queueBytesMax) {
        lost += 1;
        return;
      }
      queue.push(bytes);
      queued += 1;
      queuedBytes += bytes.length;
      draining ??= drain();
    },
    async flush() {
      await draining;
    },
  };
};
