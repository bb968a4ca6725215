// What is kept of a case beside its console log, for whoever looks at it afterwards: the gateway's own history and what its
// bootloader holds. Asked while the machine is on; a machine that gives no answer leaves what was kept before.

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { LabBoard } from './boards.ts';
import { limits } from './limits.ts';
import type { Machine } from './machine.ts';

export const recordFiles = { history: 'history.json', boot: 'boot.txt' } as const;

/** Never fails a case. */
export const keepRecord = async (machine: Machine, { showBoot }: LabBoard, folder: string): Promise<void> => {
  const { guest } = machine;
  const ask = async (): Promise<void> => {
    if (!machine.isOn() || machine.boot() === null) return;
    await writeFile(join(folder, recordFiles.boot), `${(await guest.run(showBoot)).output}\n`);
    const history = await guest.history();
    await writeFile(join(folder, recordFiles.history), `${JSON.stringify({ history }, null, 2)}\n`);
  };
  const enough = new AbortController();
  await Promise.race([ask().catch(() => undefined), delay(limits.historyMs, null, { signal: enough.signal })]);
  enough.abort();
};
