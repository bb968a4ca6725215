// The folder of a demonstration: one at a time uses it, nothing of anybody else's is removed, and fw_env.config can name it.

import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import { join, resolve } from 'node:path';

const claimName = 'demo.pid';
/** All that a demonstration leaves in its folder. */
const ownEntries: readonly string[] = ['vendor', 'gateway', claimName];

const hasWhiteSpace = (path: string): boolean => /\s/.test(path);

/** `.virtual` in the project; elsewhere for a project whose path fw_env.config cannot hold. */
export const defaultFolder = (projectDir: string): string =>
  hasWhiteSpace(projectDir) ? join(tmpdir(), `otad-virtual-${userInfo().username}`) : resolve(projectDir, '.virtual');

const readOr = async (path: string): Promise<string> => {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ESRCH') return '';
    throw error;
  }
};

/** The process of a demonstration that still uses the folder, or null. */
const findUser = async (folder: string): Promise<number | null> => {
  const pid = Number(await readOr(join(folder, claimName)));
  if (!Number.isInteger(pid) || pid <= 0 || pid === process.pid) return null;
  return (await readOr(`/proc/${pid}/cmdline`)).includes('demo.js') ? pid : null;
};

/** Removes what an earlier demonstration left and takes the folder. Throws when it is in use, holds something else or has a name that will not do. */
export const claimFolder = async (folder: string): Promise<void> => {
  if (hasWhiteSpace(folder)) {
    throw new Error(`${folder}: a path with white space cannot stand in fw_env.config; name another with --folder`);
  }
  const entries = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  const foreign = entries.find((name) => !ownEntries.includes(name));
  if (foreign !== undefined) throw new Error(`${folder} holds ${foreign}: name a folder that is empty or new`);
  const user = await findUser(folder);
  if (user !== null) {
    throw new Error(
      `process ${user} shows a gateway in ${folder}: end it there with Ctrl-C, or name another with --folder`,
    );
  }
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, claimName), `${process.pid}\n`);
};
