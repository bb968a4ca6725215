// Finds a group's number in /etc/group. Node has no getgrnam, and a child process for one line is too much.

import { readFile } from 'node:fs/promises';

const isMissing = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === 'ENOENT';

/** The group's number, or null when there is no such group. Only local groups: sysusers.d makes ours. */
export const readGroupId = async (name: string, path = '/etc/group'): Promise<number | null> => {
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    if (isMissing(error)) return '';
    throw error;
  });
  for (const line of text.split('\n')) {
    const [group, , gid] = line.split(':');
    if (group === name && gid !== undefined && /^\d+$/.test(gid)) return Number(gid);
  }
  return null;
};
