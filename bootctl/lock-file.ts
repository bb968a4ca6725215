// Takes the lock that fw_printenv and fw_setenv take: flock(2), exclusive, on one well-known file.
// Node has no flock(2). The lock belongs to the open file description, so `flock` from util-linux (or busybox) locks a
// descriptor that it inherits and ends; the lock then stays with our descriptor and goes with it, SIGKILL included.

import { spawn } from 'node:child_process';
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { OtadError } from '../agent/core/errors.ts';

export const fwLockPath = '/var/lock/fw_printenv.lock';
const waitMsDefault = 10_000;

const openLock = async (path: string): Promise<FileHandle> => {
  try {
    // Read-only, so that a file that root made can be locked by the agent's user.
    return await open(path, constants.O_RDONLY);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') throw cause;
    return open(path, constants.O_RDONLY | constants.O_CREAT, 0o644);
  }
};

const lockDescriptor = (handle: FileHandle, path: string, waitMs: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve, reject) => {
    const child = spawn('flock', ['-x', '3'], {
      stdio: ['ignore', 'ignore', 'ignore', handle.fd],
      signal,
      timeout: waitMs,
      killSignal: 'SIGKILL',
    });
    child.once('error', (cause) => {
      if (signal.aborted) reject(new OtadError('CANCELLED'));
      else
        reject(new OtadError('BOOT_ENV_UNSUPPORTED', { reason: 'flock cannot be run: install util-linux' }, { cause }));
    });
    child.once('exit', (code) => {
      if (signal.aborted) reject(new OtadError('CANCELLED'));
      else if (code === 0) resolve();
      else reject(new OtadError('BOOT_ENV_BUSY', { path, waitedMs: waitMs }));
    });
  });

/** Runs `body` under the lock; waits at most `waitMs` for it (BOOT_ENV_BUSY). */
export const withLockFile = async <T>(
  path: string,
  signal: AbortSignal,
  body: () => Promise<T>,
  waitMs = waitMsDefault,
): Promise<T> => {
  if (signal.aborted) throw new OtadError('CANCELLED');
  let handle: FileHandle;
  try {
    handle = await openLock(path);
  } catch (cause) {
    throw new OtadError('BOOT_ENV_UNWRITABLE', { path, reason: 'the lock file cannot be opened' }, { cause });
  }
  try {
    await lockDescriptor(handle, path, waitMs, signal);
    return await body();
  } finally {
    await handle.close();
  }
};
