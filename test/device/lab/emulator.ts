// One run of QEMU, from power-on to the end of the process. Says whether it was ended or died; knows nothing of what runs
// inside. Nothing of it outlives close().

import { type ChildProcess, spawn } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { DebianRoot } from '../debian-root.ts';
import type { ConsoleLog } from './console-log.ts';
import { limits } from './limits.ts';
import { type Monitor, openMonitor } from './monitor.ts';
import { EmulatorDied } from './verdict.ts';

export interface EmulatorOptions {
  readonly debian: DebianRoot;
  /** Sockets and pid lie here. Short: a unix socket's path has 107 characters. */
  readonly folder: string;
  /** Firmware and machine type. */
  readonly boardArguments: readonly string[];
  readonly diskPath: string;
  /** Another one, in qcow2, that the firmware does not start from; null: none. */
  readonly secondDiskPath: string | null;
  /** State of a machine to go on from; null: power on. */
  readonly statePath: string | null;
  /** What the hardware clock says, as QEMU takes it. */
  readonly clock: string;
  readonly console: ConsoleLog;
  /** Told what of the machine's life only the emulator sees. */
  readonly onEvent: (name: string) => void;
}

export interface Emulator {
  readonly monitor: Monitor;
  readonly controlPath: string;
  /** Aborted as soon as the process has ended. */
  readonly ended: AbortSignal;
  /** What it complained about so far. */
  complaint(): string;
  /** Ends it at once, as a power cut does. */
  kill(): Promise<void>;
}

const complaintCharsMax = 4096;

/** What this board has of its own and no other has: the number in its firmware's tables, and the address of its network card. */
export const hardware = { uuid: '6f0e9b52-4c1d-4f7a-9a53-2b8c7d1e0f46', address: '52:54:00:4f:54:41' } as const;

/** One processor: two machines share the cores of the lab, and a second processor would only wait for the first. */
const memory = ['-m', '512', '-smp', '1', '-accel', 'tcg,thread=multi,tb-size=512'];

const argumentsOf = (options: EmulatorOptions): readonly string[] => {
  const { debian, folder, boardArguments, diskPath, secondDiskPath, statePath, clock } = options;
  const data = ['qemu', 'seabios', 'OVMF'].flatMap((name) => ['-L', join(debian.root, 'usr/share', name)]);
  const second = [
    '-drive',
    `if=none,id=second,format=qcow2,file=${secondDiskPath}`,
    '-device',
    'virtio-blk-pci,drive=second',
  ];
  const socket = (id: string): string => `socket,id=${id},path=${join(folder, id)},server=on,wait=off`;
  return [
    ...data,
    ...['-nodefaults', '-no-user-config', '-display', 'none', ...memory, '-rtc', clock],
    ...['-chardev', socket('console'), '-serial', 'chardev:console'],
    ...['-chardev', socket('monitor'), '-mon', 'chardev=monitor,mode=control'],
    ...boardArguments,
    ...['-uuid', hardware.uuid],
    ...['-drive', `if=none,id=disk,format=qcow2,discard=unmap,file=${diskPath}`],
    ...['-device', 'virtio-blk-pci,drive=disk,bootindex=1'],
    ...['-netdev', 'user,id=net', '-device', `virtio-net-pci,netdev=net,mac=${hardware.address},romfile=`],
    ...['-device', 'virtio-rng-pci', '-device', 'i6300esb', '-action', 'watchdog=reset'],
    ...['-device', 'virtio-serial-pci', '-chardev', socket('control')],
    ...['-device', 'virtserialport,chardev=control,name=otad.lab'],
    ...(secondDiskPath === null ? [] : second),
    // The console is connected first: nothing that the firmware says is lost.
    ...['-S', ...(statePath === null ? [] : ['-incoming', `file:${statePath}`])],
  ];
};

/** Everything that the machine says on its console goes into the log. */
const listenToConsole = async (path: string, log: ConsoleLog, signal: AbortSignal): Promise<void> => {
  const sinceMs = performance.now();
  for (;;) {
    const isOpen = await new Promise<boolean>((resolve) => {
      const socket = createConnection(path);
      socket.once('connect', () => resolve(true));
      socket.on('error', () => resolve(false));
      socket.on('data', log.append);
      const leave = (): void => void socket.destroy();
      signal.addEventListener('abort', leave, { once: true });
      socket.once('close', () => signal.removeEventListener('abort', leave));
    });
    if (isOpen || signal.aborted || performance.now() - sinceMs > limits.connectMs) return;
    await delay(limits.lookAtEmulatorMs);
  }
};

const goOn = async (monitor: Monitor): Promise<void> => {
  const sinceMs = performance.now();
  for (;;) {
    const { status } = (await monitor.command('query-status')) as { readonly status: string };
    if (status !== 'inmigrate') break;
    if (performance.now() - sinceMs > limits.monitorMs) throw new EmulatorDied('the state was not loaded');
    await delay(limits.lookAtEmulatorMs);
  }
  await monitor.command('cont');
};

const reasonOf = (child: ChildProcess): string => `exit status ${child.exitCode}, signal ${child.signalCode}`;

/** Powers the machine on, or lets a saved one go on. Throws EmulatorDied. */
export const startEmulator = async (options: EmulatorOptions): Promise<Emulator> => {
  const { debian, folder, console, onEvent } = options;
  for (const name of ['console', 'monitor', 'control']) await rm(join(folder, name), { force: true });
  // However the lab ends, its emulators end with it.
  const command = ['--pdeathsig', 'KILL', ...debian.command('usr/bin/qemu-system-x86_64'), ...argumentsOf(options)];
  const child = spawn('setpriv', command, { stdio: ['ignore', 'ignore', 'pipe'] });
  const end = new AbortController();
  let complaint = '';
  child.stderr.on('data', (bytes: Buffer) => {
    complaint = (complaint + bytes.toString('utf8')).slice(-complaintCharsMax);
  });
  const gone = new Promise<void>((resolve) => {
    child.once('error', (error) => {
      complaint += error.message;
      resolve();
    });
    child.once('close', () => resolve());
  }).then(() => end.abort());
  const kill = async (): Promise<void> => {
    child.kill('SIGKILL');
    await gone;
  };
  try {
    await listenToConsole(join(folder, 'console'), console, end.signal);
    const monitor = await openMonitor(join(folder, 'monitor'), onEvent, end.signal);
    await goOn(monitor);
    return {
      ...{ monitor, controlPath: join(folder, 'control'), ended: end.signal, kill },
      complaint: () => `${reasonOf(child)} ${complaint}`.trim(),
    };
  } catch (cause) {
    await kill();
    throw new EmulatorDied(`the emulator did not start: ${reasonOf(child)} ${complaint}`.trim(), { cause });
  }
};
