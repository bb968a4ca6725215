// Where trusted metadata stays between runs: a folder of files, each the bytes that a server gave. A file is replaced whole
// or not at all (temporary file, fsync, rename, fsync of the folder). What cannot be read counts as absent, since every
// file is verified again before use; what cannot be written is an error.

import { constants } from 'node:fs';
import { type FileHandle, mkdir, open, rename, rm } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { OtadError } from '../agent/core/errors.ts';

/** Durable files by name. Names come from `tuf-client.ts` alone and hold no separator. */
export interface TrustedFiles {
  /** The whole file, or null where there is none that can be read. */
  read(name: string): Promise<Uint8Array | null>;
  /** Durable when it returns; a cut leaves the old bytes or the new ones. */
  write(name: string, bytes: Uint8Array): Promise<void>;
  /** Durable when it returns. Absent already is fine. */
  remove(name: string): Promise<void>;
}

/** No metadata file that was ever accepted is longer; a longer one here is damage. */
const storedBytesMax = 4 * 1024 * 1024;

const namePattern = /^[A-Za-z0-9%_-][A-Za-z0-9%._-]{0,250}$/;

const codeOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? '';

const failure = (cause: unknown, action: string, path: string): OtadError =>
  codeOf(cause) === 'ENOSPC' || codeOf(cause) === 'EDQUOT'
    ? new OtadError('DISK_FULL', { action, path }, { cause })
    : new OtadError('STORE_IO', { action, path, errno: codeOf(cause) }, { cause });

const syncFolder = async (folder: string): Promise<void> => {
  const handle = await open(folder, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
};

/** A new folder outlives a cut only when the folder that names it is synchronised: `first` is the topmost that is new. */
const makeFolder = async (folder: string): Promise<void> => {
  const first = await mkdir(resolve(folder), { recursive: true, mode: 0o755 });
  if (first === undefined) {
    return;
  }
  for (let made = resolve(folder); made.length >= first.length; made = dirname(made)) {
    await syncFolder(dirname(made));
  }
};

const readHandle = async (handle: FileHandle): Promise<Uint8Array | null> => {
  const { size } = await handle.stat();
  return size > storedBytesMax ? null : await handle.readFile();
};

const readOrNull = async (path: string): Promise<Uint8Array | null> => {
  try {
    const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
    try {
      return await readHandle(handle);
    } finally {
      await handle.close();
    }
  } catch (cause) {
    // Rotten storage reads as absent: the server has the file, and a gateway must not stop updating because of a cache.
    if (['ENOENT', 'EIO', 'ELOOP', 'EISDIR', 'EUCLEAN', 'EBADMSG'].includes(codeOf(cause))) {
      return null;
    }
    throw failure(cause, 'read', path);
  }
};

const replaceFile = async (folder: string, name: string, bytes: Uint8Array): Promise<void> => {
  const temporary = join(folder, `.${name}.new`);
  await makeFolder(folder);
  // What an earlier cut left under the temporary name is of no use, and must not be written through.
  await rm(temporary, { force: true });
  const handle = await open(temporary, 'wx', 0o644);
  try {
    await handle.writeFile(bytes);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(temporary, join(folder, name));
  await syncFolder(folder);
};

const checkedName = (name: string): string => {
  if (!namePattern.test(name)) {
    throw new OtadError('INTERNAL', { reason: 'not a name for a trusted file', name: name.slice(0, 128) });
  }
  return name;
};

/** Trusted files in `folder`, which is made when the first one is written. One writer at a time. */
export const createTrustedStore = (folder: string): TrustedFiles => ({
  read: (name) => readOrNull(join(folder, checkedName(name))),
  write: async (name, bytes) => {
    try {
      await replaceFile(folder, checkedName(name), bytes);
    } catch (cause) {
      await rm(join(folder, `.${name}.new`), { force: true }).catch(() => undefined);
      throw cause instanceof OtadError ? cause : failure(cause, 'write', join(folder, name));
    }
  },
  remove: async (name) => {
    const path = join(folder, checkedName(name));
    try {
      await rm(path);
      await syncFolder(folder);
    } catch (cause) {
      if (codeOf(cause) !== 'ENOENT') {
        throw failure(cause, 'remove', path);
      }
    }
  },
});
