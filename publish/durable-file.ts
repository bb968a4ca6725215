// Writing files so that a crash leaves the old file or the new one, whole, and never a part: temporary file in the
// same folder, fsync, rename, fsync of the folder. Must never write through a symbolic link.

import { randomBytes } from 'node:crypto';
import { mkdir, open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { OtadError } from '../agent/core/errors.ts';

/** Suffix of files that are not whole yet. The static server never serves them. */
export const temporarySuffix = '.part';

export const errorCodeOf = (error: unknown): string | undefined =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;

/** Makes renames and new names in this folder durable. */
export const syncFolder = async (folder: string): Promise<void> => {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
};

/** Creates the folder and its parents up to `top` (which exists), each name durable in its parent. */
export const makeFolder = async (folder: string, top: string): Promise<void> => {
  const first = await mkdir(folder, { recursive: true });
  if (first === undefined) return;
  const steps = relative(resolve(top), resolve(folder)).split('/');
  for (let depth = 0; depth < steps.length; depth += 1) await syncFolder(join(resolve(top), ...steps.slice(0, depth)));
};

export const temporaryName = (path: string): string =>
  join(dirname(path), `.${basename(path)}.${randomBytes(6).toString('hex')}${temporarySuffix}`);

/** Moves a whole, synced temporary file to its name, durably. */
export const commitFile = async (temporary: string, path: string): Promise<void> => {
  await rename(temporary, path);
  await syncFolder(dirname(path));
};

/** Replaces or creates `path` with `bytes`, durably and all at once. */
export const writeDurably = async (path: string, bytes: Uint8Array | string, mode = 0o644): Promise<void> => {
  const temporary = temporaryName(path);
  try {
    const handle = await open(temporary, 'wx', mode);
    try {
      await handle.writeFile(bytes);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await commitFile(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw errorCodeOf(error) === 'ENOSPC' ? new OtadError('DISK_FULL', { path }, { cause: error }) : error;
  }
};
