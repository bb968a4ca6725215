// One case on one machine: opens the network and the machine, lets the case run, keeps the records, and counts the emulators
// that died. Only those are run again; a wrong answer is the end of the case.

import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { DebianRoot } from '../debian-root.ts';
import type { LabBoard } from './boards.ts';
import type { CaseContext } from './case.ts';
import { limits } from './limits.ts';
import { createMachine, type MeasuredUpdate, type Stage } from './machine.ts';
import { MonitorError } from './monitor.ts';
import { keepRecord } from './record.ts';
import type { LabReleases } from './releases.ts';
import { openSite, type Site } from './site.ts';
import { EmulatorDied, isAnswer } from './verdict.ts';

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
  /** Power cuts that struck, in the run that counts. */
  readonly cuts: number;
  readonly error: Error | null;
  readonly value: T | null;
}

const isEmulatorsFault = (error: unknown): boolean => error instanceof EmulatorDied || error instanceof MonitorError;

const asError = (error: unknown): Error => (error instanceof Error ? error : new Error(String(error)));

interface Run<T> {
  readonly cuts: number;
  readonly error: Error | null;
  readonly value: T | null;
}

const runOnce = async <T>(options: BenchOptions, run: (context: CaseContext) => Promise<T>): Promise<Run<T>> => {
  const { debian, board, releases, stage, folder, logFolder, update } = options;
  await rm(logFolder, { recursive: true, force: true });
  await mkdir(logFolder, { recursive: true });
  const site = await openSite(releases.repositoryFolder);
  const consolePath = join(logFolder, 'console.log');
  const machine = await createMachine({ debian, board, folder, consolePath, stage });
  const record = (): Promise<void> => keepRecord(machine, board, logFolder);
  const context = { debian, board, releases, machine, guest: machine.guest, site, update, keepRecord: record };
  try {
    await machine.powerOn();
    const value = await Promise.race([
      run(context),
      delay(limits.caseMs, null, { ref: false }).then(() => {
        throw new Error(`the case took longer than ${limits.caseMs / 60_000} minutes`);
      }),
    ]);
    return { cuts: machine.cuts(), error: null, value };
  } catch (error) {
    const fault = machine.noEvidence();
    const isKnown = fault === null || isEmulatorsFault(error) || isAnswer(error);
    return {
      cuts: machine.cuts(),
      error: isKnown
        ? asError(error)
        : new EmulatorDied(`${fault}; seen was: ${asError(error).message}`, { cause: error }),
      value: null,
    };
  } finally {
    await record();
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
    const done = await runOnce(options, run);
    if (restarts === restartsMax || !isEmulatorsFault(done.error)) return { ...done, restarts };
    console.log(`  the emulator died, once more: ${done.error?.message}`);
  }
};
