// Runs a machine in QEMU with OVMF under emulation, watches its console, and ends it. An emulator that dies by itself is
// started again, at most twice, and counted; a wrong answer of the machine never is.

import { spawn } from 'node:child_process';
import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { DebianRoot } from './debian-root.ts';

export interface Machine {
  /** Raw disk image. */
  readonly disk: string;
  /** Firmware variables; made from the distribution's empty ones when missing. */
  readonly variables: string;
  readonly isReadOnly?: boolean;
}

export interface ConsoleLog {
  readonly lines: readonly string[];
  /** How often the emulator died and was started again. */
  readonly restarts: number;
}

const restartsMax = 2;
const consoleBytesMax = 4 << 20;

export const freshVariables = (debian: DebianRoot, path: string): Promise<void> =>
  copyFile(join(debian.root, 'usr/share/OVMF/OVMF_VARS_4M.fd'), path);

const argumentsOf = (debian: DebianRoot, machine: Machine): readonly string[] => {
  const [, ...first] = debian.command('usr/bin/qemu-system-x86_64');
  const data = ['qemu', 'seabios', 'OVMF'].flatMap((name) => ['-L', join(debian.root, 'usr/share', name)]);
  const code = join(debian.root, 'usr/share/OVMF/OVMF_CODE_4M.fd');
  return [
    ...first,
    ...data,
    ...['-nodefaults', '-no-user-config', '-display', 'none', '-machine', 'q35', '-cpu', 'max', '-m', '256'],
    ...['-accel', 'tcg,thread=multi', '-serial', 'stdio'],
    ...['-drive', `if=pflash,format=raw,unit=0,readonly=on,file=${code}`],
    ...['-drive', `if=pflash,format=raw,unit=1,file=${machine.variables}`],
    ...[
      '-drive',
      `if=none,id=disk,format=raw,file=${machine.disk},readonly=${machine.isReadOnly === true ? 'on' : 'off'}`,
    ],
    ...['-device', 'virtio-blk-pci,drive=disk,bootindex=1'],
  ];
};

const escapeKey = String.fromCharCode(27);
const controlSequence = new RegExp(`${escapeKey}\\[[0-9;=?]*[A-Za-z]`, 'g');

/** Without the control sequences of the firmware's text console, and without a line that has not ended. */
const wholeLines = (text: string): readonly string[] =>
  text
    .slice(0, text.lastIndexOf('\n') + 1)
    .replace(controlSequence, '')
    .split(/[\r\n]+/);

type Ending = 'enough' | 'off' | 'died' | 'timeout';

const runOnce = (
  debian: DebianRoot,
  machine: Machine,
  isEnough: (lines: readonly string[]) => boolean,
  timeoutMs: number,
): Promise<{ readonly ending: Ending; readonly lines: readonly string[]; readonly complaint: string }> =>
  new Promise((resolve, reject) => {
    const [program] = debian.command('usr/bin/qemu-system-x86_64');
    const child = spawn(program, argumentsOf(debian, machine), { stdio: ['ignore', 'pipe', 'pipe'] });
    let text = '';
    let complaint = '';
    let ending: Ending | null = null;
    const lines = (): readonly string[] => wholeLines(text);
    const end = (how: Ending): void => {
      ending ??= how;
      child.kill('SIGKILL');
    };
    const timer = setTimeout(() => end('timeout'), timeoutMs);
    child.stdout.on('data', (bytes: Buffer) => {
      text = (text + bytes.toString('latin1')).slice(-consoleBytesMax);
      if (isEnough(lines())) end('enough');
    });
    child.stderr.on('data', (bytes: Buffer) => {
      complaint = (complaint + bytes.toString('utf8')).slice(-4096);
    });
    child.once('error', reject);
    child.once('close', (code) => {
      clearTimeout(timer);
      resolve({ ending: ending ?? (code === 0 ? 'off' : 'died'), lines: lines(), complaint });
    });
  });

/** Starts an emulator again, at most twice, for as long as it dies; the last of its runs, and how many were before it. */
export const startAgain = async <T>(
  start: () => Promise<T>,
  hasDied: (run: T) => boolean,
): Promise<{ readonly run: T; readonly restarts: number }> => {
  for (let restarts = 0; ; restarts += 1) {
    const run = await start();
    if (!hasDied(run) || restarts === restartsMax) return { run, restarts };
  }
};

/**
 * Until `isEnough`, or until the machine turns itself off. Throws when neither happens in time; `prepare` makes disk and
 * variables anew before each start, so that a restart begins where the first start did.
 */
export const runMachine = async (
  debian: DebianRoot,
  machine: Machine,
  logPath: string,
  isEnough: (lines: readonly string[]) => boolean,
  timeoutMs: number,
  prepare: () => Promise<void>,
): Promise<ConsoleLog> => {
  await mkdir(join(logPath, '..'), { recursive: true });
  const start = async () => {
    await prepare();
    const run = await runOnce(debian, machine, isEnough, timeoutMs);
    await writeFile(logPath, `${run.lines.join('\n')}\n${run.complaint}`);
    return run;
  };
  const { run, restarts } = await startAgain(start, ({ ending }) => ending === 'died');
  if (run.ending === 'timeout')
    throw new Error(`the machine did not get there within ${timeoutMs} ms; console: ${logPath}`);
  if (run.ending === 'died') throw new Error(`the emulator died ${restarts + 1} times: ${run.complaint}`);
  return { lines: run.lines, restarts };
};
