// Keeps two publishers of one folder apart on one machine. The lock is a listening abstract unix socket named after the
// folder's inode: the kernel drops it with the process, so a crash never leaves a stale lock behind.

import { stat } from 'node:fs/promises';
import { createServer } from 'node:net';
import { OtadError } from '../../agent/core/errors.ts';
import { errorCodeOf } from '../durable-file.ts';

/** Runs `work` while no other process (nor another call here) holds the folder. Throws BUSY. */
export const withPublisherLock = async <T>(folder: string, work: () => Promise<T>): Promise<T> => {
  const { dev, ino } = await stat(folder);
  const server = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) =>
      reject(errorCodeOf(error) === 'EADDRINUSE' ? new OtadError('BUSY', { folder }, { cause: error }) : error),
    );
    server.listen(`\0otapub-${dev}-${ino}`, resolve);
  });
  try {
    return await work();
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
};
