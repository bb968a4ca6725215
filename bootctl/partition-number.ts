// The number of the partition that a path leads to, as the kernel has it in sysfs. Reads only.

import { readFile, realpath } from 'node:fs/promises';
import { basename } from 'node:path';

/** null: no such device, or no partition (a whole disk, a file, a device-mapper device). */
export const partitionNumber = async (path: string): Promise<number | null> => {
  try {
    const name = basename(await realpath(path));
    const text = (await readFile(`/sys/class/block/${name}/partition`, 'latin1')).trim();
    return /^[0-9]{1,3}$/.test(text) ? Number(text) : null;
  } catch {
    return null;
  }
};
