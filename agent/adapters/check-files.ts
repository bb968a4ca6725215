// Which programs of health.d are checks. Of files with one name the last folder's counts, a link to /dev/null masks.
// A file that looks like a check but may not be run is a check that fails: skipped silently, a missing `chmod +x`
// would confirm a release that nobody asked. So does a folder that cannot be read, and so do more files than are taken.
// Runs nothing.

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

interface Folder {
  readonly names: readonly string[];
  /** The failing check that stands for checks nobody could list; null when all are listed. */
  readonly unlisted: CheckFile | null;
}

const readFolder = async (path: string): Promise<Folder> => {
  try {
    return { names: (await readdir(path)).filter((name) => !isNoCheck(name)), unlisted: null };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // Most gateways have one of the folders; a missing one says nothing. Any other error hides checks.
    const unlisted = code === 'ENOENT' ? null : { name: path, path, problem: `folder cannot be read: ${code}` };
    return { names: [], unlisted };
  }
};

/** Stands for the files beyond the limit. No file is called like it, nor is a folder that cannot be read. */
const tooMany = (folders: readonly string[], count: number): CheckFile => {
  const path = folders.at(-1) ?? '';
  return { name: join(path, '*'), path, problem: `${count} checks, of which only ${filesMax} are run` };
};

/**
 * The checks of `folders` (lowest precedence first) in the order of their names, at most 64; before them, as checks with
 * a problem, whatever keeps the list from being whole.
 */
export const listCheckFiles = async (folders: readonly string[], ownUid: number): Promise<readonly CheckFile[]> => {
  const byName = new Map<string, string>();
  const unlisted: CheckFile[] = [];
  for (const folder of folders) {
    const found = await readFolder(folder);
    if (found.unlisted !== null) unlisted.push(found.unlisted);
    for (const name of found.names) byName.set(name, join(folder, name));
  }
  const unmasked: (readonly [name: string, path: string])[] = [];
  for (const file of [...byName].sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (!(await isMasked(file[1]))) unmasked.push(file);
  }
  if (unmasked.length > filesMax) unlisted.push(tooMany(folders, unmasked.length));
  const files: CheckFile[] = [];
  for (const [name, path] of unmasked.slice(0, filesMax)) {
    files.push({ name, path, problem: await problemOf(path, ownUid) });
  }
  return [...unlisted, ...files];
};
