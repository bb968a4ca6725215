// Which programs of health.d are checks. Of files with one name the last folder's counts, a link to /dev/null masks.
// A file that looks like a check but may not be run is a check that fails: skipped silently, a missing `chmod +x`
// would confirm a release that nobody asked. Runs nothing.

import { constants } from 'node:fs';
import { access, readdir, readlink, stat } from 'node:fs/promises';
import { join } from 'node:path';

export interface CheckFile {
  readonly name: string;
  readonly path: string;
  /** Why it must not be run; null when it may. */
  readonly problem: string | null;
}

const filesMax = 64;
const othersWrite = 0o002;

/** Documentation, hidden files, and what editors and package managers leave behind. */
const isNoCheck = (name: string): boolean => /^\.|^README|~$|\.(md|txt|dpkg-[a-z]+|rpm[a-z]+|swp)$/.test(name);

const problemOf = async (path: string, ownUid: number): Promise<string | null> => {
  try {
    const { mode, uid, isRegular } = await stat(path).then((file) => ({ ...file, isRegular: file.isFile() }));
    if (!isRegular) return 'is no regular file';
    if ((mode & othersWrite) !== 0) return 'may be written by others, so it is not run';
    if (uid !== 0 && uid !== ownUid) return `belongs to user ${uid}, so it is not run`;
    await access(path, constants.X_OK);
    return null;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return code === 'EACCES' ? 'is not executable' : `cannot be read: ${code}`;
  }
};

const isMasked = async (path: string): Promise<boolean> => {
  try {
    return (await readlink(path)) === '/dev/null';
  } catch {
    return false;
  }
};

const namesIn = async (folder: string): Promise<readonly string[]> => {
  try {
    return (await readdir(folder)).filter((name) => !isNoCheck(name));
  } catch {
    // Most gateways have one of the folders; a missing one says nothing.
    return [];
  }
};

/** The checks of `folders` (lowest precedence first) in the order of their names; at most 64. */
export const listCheckFiles = async (folders: readonly string[], ownUid: number): Promise<readonly CheckFile[]> => {
  const byName = new Map<string, string>();
  for (const folder of folders) {
    for (const name of await namesIn(folder)) byName.set(name, join(folder, name));
  }
  const files: CheckFile[] = [];
  for (const [name, path] of [...byName].sort(([a], [b]) => (a < b ? -1 : 1)).slice(0, filesMax)) {
    if (!(await isMasked(path))) files.push({ name, path, problem: await problemOf(path, ownUid) });
  }
  return files;
};
