// One case on one machine: opens the network and the machine, lets the case run, keeps the records, and counts the emulators
// that died. Only those are run again; a wrong answer is the end of the case.

import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { DebianRoot } from '../debian-root.ts';
import type { LabBoard } from './boards.ts';
import type { CaseContext } from './case.ts';
import { EmulatorDied } from './emulator.ts';
import { limits } from './limits.ts';
import { createMachine, type Machine, type MeasuredUpdate, type Stage } from './machine.ts';
import { MonitorError } from './monitor.ts';
import type { LabReleases } from './releases.ts';
import { openSite, type Site } from './site.ts';

const restartsMax = 2;

export interface BenchOptions {
  readonly debian: DebianRoot;
  readonly board: LabBoard;
  readonly releases: LabReleases;
  readonly stage: Stage;
  readonly update: () => Promise<MeasuredUpdate>;
  /** Of the machine; short, since sockets lie in it. */
  readonly folder: string;
  /** Takes over the network of the machine, which then outlives it; null: closed with the machine. */
  readonly keepSite: ((site: Site) => void) | null;
  /** Console log and history; what an earlier run left there goes. */
  readonly logFolder: string;
}

export interface Outcome<T> {
  /** How often the emulator died and was started again. */
  readonly restarts: number;
  readonly error: Error | null;
  readonly value: T | null;
}

const isEmulatorsFault = (error: unknown): boolean => error instanceof EmulatorDied || error instanceof MonitorError;

/** What the gateway itself says of its life, if it still says anything. */
const keepHistory = async (machine: Machine, context: CaseContext): Promise<void> => {
  const asked = async (): Promise<string> =>
    machine.boot() === null ? '' : JSON.stringify({ history: await context.guest.history() }, null, 2);
  const text = await Promise.race([asked(), delay(limits.historyMs, '', { ref: false })]).catch(() => '');
  if (text !== '') await writeFile(join(machine.console.path, '../history.json'), `${text}\n`);
};

const runOnce = async <T>(options: BenchOptions, run: (context: CaseContext) => Promise<T>): Promise<T> => {
  const { debian, board, releases, stage, folder, logFolder, update } = options;
  await rm(logFolder, { recursive: true, force: true });
  await mkdir(logFolder, { recursive: true });
  const site = await openSite(releases.repositoryFolder);
  const consolePath = join(logFolder, 'console.log');
  const machine = await createMachine({ debian, board, folder, consolePath, stage });
  const context = { debian, board, releases, machine, guest: machine.guest, site, update };
  try {
    await machine.powerOn();
    return await Promise.race([
      run(context),
      delay(limits.caseMs, null, { ref: false }).then(() => {
        throw new Error(`the case took longer than ${limits.caseMs / 60_000} minutes`);
      }),
    ]);
  } finally {
    if (machine.isOn()) await keepHistory(machine, context);
    await machine.close();
    if (options.keepSite === null) await site.close();
    else options.keepSite(site);
    await rm(folder, { recursive: true, force: true });
  }
};

export const runOnBench = async <T>(
  options: BenchOptions,
  run: (context: CaseContext) => Promise<T>,
): Promise<Outcome<T>> => {
  for (let restarts = 0; ; restarts += 1) {
    try {
      return { restarts, error: null, value: await runOnce(options, run) };
    } catch (error) {
      if (restarts < restartsMax && isEmulatorsFault(error)) {
        console.log(`  the emulator died, once more: ${(error as Error).message}`);
        continue;
      }
      return { restarts, error: error instanceof Error ? error : new Error(String(error)), value: null };
    }
  }
};
