// The file that a command of hours is to write, judged before the work begins: what cannot be written, or would take the
// place of what is read, is a usage error and costs nothing.

import { open, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { errorCodeOf, temporaryName } from '../durable-file.ts';
import { isFolder, usageError } from './command.ts';

const statOf = (path: string) => stat(path).catch(() => null);

/** By device and inode: a link is another name of the same file. */
const checkNotRead = async (path: string, inputs: readonly string[]): Promise<void> => {
  const there = await statOf(path);
  for (const input of inputs) {
    const read = await statOf(input);
    if (there !== null && read !== null && there.dev === read.dev && there.ino === read.ino)
      throw usageError(`-o ${path} is ${input}, which is read: name another file`);
  }
  if (there !== null && !there.isFile()) throw usageError(`-o ${path} is not a plain file: name another one`);
};

/** Makes a file beside it, as the write will; permissions alone would not tell of a medium that is read-only. */
const checkWritable = async (path: string): Promise<void> => {
  const probe = temporaryName(path);
  try {
    await (await open(probe, 'wx')).close();
    await rm(probe);
  } catch (error) {
    const folder = dirname(path);
    throw usageError(
      `-o ${path} cannot be written, as no file can be made in ${folder} (${errorCodeOf(error)}): name another one`,
    );
  }
};

/** Throws BAD_REQUEST unless `path` can be made or replaced, and is none of the `inputs` by whatever name. */
export const checkOutput = async (path: string, inputs: readonly string[]): Promise<void> => {
  if (path === '') throw usageError('-o needs the name of a file');
  if (path.endsWith('/') || (await isFolder(path)))
    throw usageError(`-o ${path} is a folder: name a file in it, such as ${path.replace(/\/*$/, '')}/update.patch`);
  if (!(await isFolder(dirname(path))))
    throw usageError(`-o ${path}: there is no folder ${dirname(path)}; make it first`);
  await checkNotRead(path, inputs);
  await checkWritable(path);
};
