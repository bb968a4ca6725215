// The kernel's table of mounts, as /proc/self/mountinfo shows it to this process. Only reads.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

export interface Mount {
  /** `major:minor`; major 0 where no block device stands behind it. */
  readonly number: string;
  readonly mountPoint: string;
  /** `ext4`, `overlay`. */
  readonly type: string;
  /** Options of the file system, not of the mount. */
  readonly options: string;
}

export const unescapeMount = (text: string): string =>
  text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));

/** In the order of mounting: of two at one place the later one is seen. Throws what reading throws. */
export const readMounts = async (proc: string): Promise<readonly Mount[]> => {
  const table = await readFile(join(proc, 'self/mountinfo'), 'utf8');
  return table.split('\n').flatMap((line) => {
    const [left = '', right = ''] = line.split(' - ');
    const [, , number, , mountPoint] = left.split(' ');
    const [type = '', , options = ''] = right.split(' ');
    return number === undefined || mountPoint === undefined
      ? []
      : [{ number, mountPoint: unescapeMount(mountPoint), type, options }];
  });
};
