// What a process has cost so far, as the kernel counts it in /proc.

import { readFile, writeFile } from 'node:fs/promises';

/** USER_HZ is 100 on every Linux that Node runs on. */
const ticksPerS = 100;

export type ProcessId = number | 'self';

/** CPU seconds, user and system, in the text of /proc/PID/stat: of the process, and of the children that it waited for. */
export const cpuSecondsIn = (stat: string): number => {
  // The program's name stands in brackets and may hold spaces and brackets.
  const fields = stat
    .slice(stat.lastIndexOf(')') + 2)
    .trim()
    .split(' ');
  const ticks = fields.slice(11, 15).map(Number);
  if (ticks.length !== 4 || ticks.some(Number.isNaN)) throw new Error(`/proc says: ${stat}`);
  return ticks.reduce((sum, count) => sum + count, 0) / ticksPerS;
};

export const cpuSecondsOf = async (pid: ProcessId): Promise<number> =>
  cpuSecondsIn(await readFile(`/proc/${pid}/stat`, 'utf8'));

/** VmHWM: the most since the start, or since {@link forgetPeak}. */
export const residentMib = async (pid: ProcessId, field: 'VmRSS' | 'VmHWM'): Promise<number> => {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) / 1024;
};

/** From here on the peak counts anew. */
export const forgetPeak = (pid: ProcessId): Promise<void> => writeFile(`/proc/${pid}/clear_refs`, '5');
