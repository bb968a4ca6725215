// A gateway on the bench: its disk and what its firmware remembers, a console log over all its boots, and the power switch.
// Whoever waits for it goes on waiting while it says something, and learns at once when the emulator dies.

import { copyFile, mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { DebianRoot } from '../debian-root.ts';
import type { LabBoard } from './boards.ts';
import { type ConsoleLog, createConsoleLog } from './console-log.ts';
import { type ControlChannel, openControlChannel } from './control-channel.ts';
import { type Emulator, startEmulator } from './emulator.ts';
import { createGuest, type Guest } from './guest.ts';
import { watchHost } from './host-watch.ts';
import { limits } from './limits.ts';
import { makeThinDisk } from './qcow-disk.ts';
import { noEvidence } from './verdict.ts';
import { type Signs, waitWithSigns } from './wait.ts';

/** What a machine starts from: disk, firmware memory, and the state of a running system where there is one. */
export interface Stage {
  readonly folder: string;
  readonly disk: { readonly path: string; readonly format: 'raw' | 'qcow2' };
  /** Files of the board that outlive a power cut, by name; they lie in the folder. */
  readonly memoryFiles: readonly string[];
  readonly state: { readonly path: string; readonly boot: string } | null;
  /** What the update cost that leads to it; null: none does. */
  readonly update: MeasuredUpdate | null;
}

/** A part of an update, as one sees it from outside. */
export interface Leg {
  readonly name: string;
  readonly ms: number;
}

export interface MeasuredUpdate {
  readonly legs: readonly Leg[];
  /** From the server, headers included. */
  readonly receivedBytes: number;
}

export interface PowerOptions {
  /** What the battery-backed clock says: QEMU's -rtc. Default: the right time. */
  readonly clock?: string;
  /** Beside its own. Default: none. */
  readonly secondDiskPath?: string | null;
}

export interface Machine {
  readonly folder: string;
  readonly diskPath: string;
  readonly console: ConsoleLog;
  readonly guest: Guest;
  /** Power on, or go on from the state of the stage the first time. */
  powerOn(options?: PowerOptions): Promise<void>;
  /** The emulator is killed, for a look at the disk. Nothing happens to a machine that is off. */
  powerOff(): Promise<void>;
  /** The same, in the middle of what it does; these are counted. */
  powerCut(place: string): Promise<void>;
  /** How many power cuts struck a machine that was on. */
  cuts(): number;
  isOn(): boolean;
  /** Why nothing that this machine did says anything of the gateway; null: it does. */
  noEvidence(): string | null;
  /** What the emulator reported over all boots, by its own names. */
  events(): readonly string[];
  /** The reset button. */
  reset(): Promise<void>;
  setCable(isPluggedIn: boolean): Promise<void>;
  /** A port on the host's loopback that leads to this one of the guest, until the power goes. */
  forward(guestPort: number): Promise<number>;
  /** Boot that answers now; null: none did yet. */
  boot(): string | null;
  /** Until a boot other than this one answers. */
  nextBoot(than: string | null): Promise<string>;
  /** Until the console has said this since the mark. Gives the match. */
  said(pattern: RegExp, since: number, what: string): Promise<RegExpExecArray>;
  /** Until `ask` gives something. */
  until<T>(what: string, ask: () => T | null): Promise<T>;
  /** Writes the running machine's whole state into a stage's folder; the machine is off then. */
  saveTo(folder: string, update: MeasuredUpdate | null): Promise<Stage>;
  close(): Promise<void>;
}

export interface MachineOptions {
  readonly debian: DebianRoot;
  readonly board: LabBoard;
  /** Absolute and short; is made anew. */
  readonly folder: string;
  readonly consolePath: string;
  readonly stage: Stage;
}

const eventsMax = 1000;

interface Running {
  readonly emulator: Emulator;
  readonly channel: ControlChannel;
}

export const createMachine = async (options: MachineOptions): Promise<Machine> => {
  const { debian, board, folder, stage } = options;
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  const diskPath = join(folder, 'disk.qcow2');
  await makeThinDisk(debian, diskPath, stage.disk);
  for (const name of stage.memoryFiles) await copyFile(join(stage.folder, name), join(folder, name));
  const console = createConsoleLog(options.consolePath);
  const host = watchHost();
  const events: string[] = [];
  let cuts = 0;
  let running: Running | null = null;
  let state = stage.state;

  const on = (): Running => {
    if (running === null) throw new Error('the machine is off');
    return running;
  };
  const whyNoEvidence = (): string | null => {
    const hasEnded = running?.emulator.ended.aborted === true;
    const lastWords = hasEnded ? (running?.emulator.complaint() ?? '') : null;
    return noEvidence({ lastWords, console: console.text(), hostPauseMs: host.pauseMs() }, limits.hostPauseMs);
  };
  const signs: Signs = {
    console,
    lines: () => on().channel.lines(),
    noEvidence: whyNoEvidence,
    askEmulator: async () => {
      await on().emulator.monitor.command('query-status');
    },
  };
  const waitFor = <T>(what: string, limitMs: number, ask: () => T | null | undefined): Promise<T> =>
    waitWithSigns(signs, { what, limitMs }, ask);
  const powerOff = async (): Promise<void> => {
    const was = running;
    running = null;
    if (was === null) return;
    was.channel.close();
    was.emulator.monitor.close();
    await was.emulator.kill();
    console.note('power is off');
  };
  return {
    ...{ folder, diskPath, console, powerOff },
    powerCut: async (place) => {
      console.note(`power cut in ${place}`);
      if (running?.emulator.ended.aborted === false) cuts += 1;
      await powerOff();
    },
    cuts: () => cuts,
    noEvidence: whyNoEvidence,
    events: () => events,
    guest: createGuest(() => on().channel),
    powerOn: async ({ clock = 'base=utc', secondDiskPath = null } = {}) => {
      if (running !== null) throw new Error('the machine is on');
      console.note(state === null ? 'power is on' : 'goes on from a saved state');
      const emulator = await startEmulator({
        ...{ debian, folder, diskPath, secondDiskPath, clock, console },
        onEvent: (name) => {
          console.note(`the emulator reports ${name}`);
          if (events.length < eventsMax) events.push(name);
        },
        boardArguments: board.emulatorArguments(debian, folder),
        statePath: state?.path ?? null,
      });
      const channel = await openControlChannel(emulator.controlPath, state?.boot ?? null, emulator.ended);
      running = { emulator, channel };
      state = null;
    },
    reset: async () => {
      console.note('reset');
      await on().emulator.monitor.reset();
    },
    setCable: async (isPluggedIn) => {
      console.note(isPluggedIn ? 'the network cable is plugged in' : 'the network cable is pulled out');
      await on().emulator.monitor.setCable(isPluggedIn);
    },
    forward: (guestPort) => on().emulator.monitor.forward(guestPort),
    isOn: () => running !== null,
    boot: () => on().channel.boot(),
    nextBoot: (than) =>
      waitFor('the next boot', limits.comeBackMs, () => {
        const boot = on().channel.boot();
        return boot === than ? null : boot;
      }),
    said: (pattern, since, what) => waitFor(what, limits.comeBackMs, () => console.find(pattern, since)),
    until: (what, ask) => waitFor(what, limits.installMs, ask),
    saveTo: async (target, update) => {
      await mkdir(target, { recursive: true });
      const boot = on().channel.boot();
      if (boot === null) throw new Error('nobody answers: a state to go on from has somebody');
      const path = join(target, 'state');
      await on().emulator.monitor.saveState(path);
      await powerOff();
      await copyFile(diskPath, join(target, 'disk.qcow2'));
      for (const name of stage.memoryFiles) await copyFile(join(folder, name), join(target, name));
      return {
        folder: target,
        disk: { path: join(target, 'disk.qcow2'), format: 'qcow2' },
        memoryFiles: stage.memoryFiles,
        state: { path, boot },
        update,
      };
    },
    close: async () => {
      await powerOff();
      host.close();
      await console.close();
    },
  };
};
