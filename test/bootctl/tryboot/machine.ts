// A Raspberry Pi in a temporary folder: autoboot.txt, two boot partitions, the intent on a data partition, and the modelled
// firmware, all on the same bytes as the adapter.

import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { OtadError } from '../../../agent/core/errors.ts';
import type { BootControl } from '../../../agent/core/ports.ts';
import { type SlotName, slotNames } from '../../../agent/core/types.ts';
import { parseKernelCommandLine } from '../../../bootctl/kernel-command-line.ts';
import { withSlotArguments } from '../../../bootctl/tryboot/command-line-file.ts';
import { createTrybootControl, type Lock, type TrybootOptions } from '../../../bootctl/tryboot/control.ts';
import { rotaPartitions } from '../../../bootctl/tryboot/device-tree.ts';
import { trybootFiles } from '../../../bootctl/tryboot/files.ts';
import { type FirmwareChoice, type Reset, startFirmware } from '../../../bootctl/tryboot/firmware.ts';
import { encodeIntent } from '../../../bootctl/tryboot/intent.ts';
import { type BootMachine, contractStart, contractVerity } from '../../contract/boot-control.ts';

/** As rpi-image-gen writes it for image-rota. */
export const rotaAutoboot = '[all]\ntryboot_a_b=1\nboot_partition=2\n[tryboot]\nboot_partition=3\n';
export const boardArguments = 'console=serial0,115200 root=/dev/mapper/root rootwait panic=10';

export interface PiPaths {
  readonly folder: string;
  readonly autoboot: string;
  readonly intents: readonly [string, string];
  readonly bootFolders: Readonly<Record<SlotName, string>>;
  readonly rebootParam: string;
  readonly deviceTree: string;
  readonly bootId: string;
}

export interface Pi extends BootMachine {
  readonly paths: PiPaths;
  /** A control over the same files; the options replace those of the machine's own. */
  controlWith(options: Partial<TrybootOptions>): BootControl;
  /** Starts after this reset; what is in /run goes. `isBootable` false: the firmware finds no system in the slot's partition. */
  start(reset: Reset, isBootable?: (slot: SlotName) => boolean): Promise<SlotName | null>;
  /** An orderly reboot as systemd does it, with the argument that was left for it. */
  reboot(isBootable?: (slot: SlotName) => boolean): Promise<SlotName | null>;
  booted(): SlotName;
}

/** One step after the other in this process; the lock file of the real one costs a child process a step. */
const createProcessLock = (): Lock => {
  let last: Promise<unknown> = Promise.resolve();
  return (signal, body) => {
    const next = last.then(() => {
      if (signal.aborted) throw new OtadError('CANCELLED');
      return body();
    });
    last = next.catch(() => {});
    return next;
  };
};

const u32 = (value: number): Uint8Array => Buffer.from([0, 0, 0, value]);

const readOrNull = (path: string): Promise<Buffer | null> => readFile(path).catch(() => null);

const makePaths = async (): Promise<PiPaths> => {
  // In memory where that is possible: cuts are made by the tests, so a flush that reaches a disk proves nothing here.
  const folder = await mkdtemp(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'otad-tryboot-'));
  const paths: PiPaths = {
    folder,
    autoboot: join(folder, 'bootconfig/autoboot.txt'),
    intents: [join(folder, 'data/intent-1.json'), join(folder, 'data/intent-2.json')],
    bootFolders: { a: join(folder, 'boot_a'), b: join(folder, 'boot_b') },
    rebootParam: join(folder, 'run/reboot-param'),
    deviceTree: join(folder, 'device-tree'),
    bootId: join(folder, 'boot_id'),
  };
  for (const name of ['bootconfig', 'boot_a', 'boot_b', 'data', 'run', 'device-tree']) await mkdir(join(folder, name));
  return paths;
};

const writeFactory = async (paths: PiPaths): Promise<void> => {
  await writeFile(paths.autoboot, rotaAutoboot);
  for (const slot of slotNames) {
    const text = withSlotArguments(`${boardArguments}\n`, slot, contractStart.slots[slot].verity);
    await writeFile(join(paths.bootFolders[slot], 'cmdline.txt'), text);
  }
  const start = {
    sequence: 1,
    default: 'a',
    model: contractStart,
    armed: null,
    seenBootId: '',
    outcome: null,
  } as const;
  for (const path of paths.intents) await writeFile(path, encodeIntent(start));
};

/** What the firmware leaves for Linux. */
const writeDeviceTree = async ({ deviceTree }: PiPaths, { partition, isTryboot }: FirmwareChoice): Promise<void> => {
  await writeFile(join(deviceTree, 'partition'), u32(partition ?? 0));
  await writeFile(join(deviceTree, 'tryboot'), u32(isTryboot ? 1 : 0));
  await writeFile(join(deviceTree, 'boot-mode'), u32(1));
};

/** Slot `a` runs and is good, `b` holds nothing; as an image-rota disk after otad's first confirmed boot. */
export const createTrybootMachine = async (): Promise<Pi> => {
  const paths = await makePaths();
  await writeFactory(paths);
  let booted: SlotName = 'a';
  let isRunning = false;
  let boots = 0;

  const options: TrybootOptions = {
    autobootPath: paths.autoboot,
    intentPaths: paths.intents,
    bootFolders: paths.bootFolders,
    evidence: async () => parseKernelCommandLine(await readFile(join(paths.folder, 'cmdline'), 'latin1')),
    deviceTreePath: paths.deviceTree,
    rebootParamPath: paths.rebootParam,
    bootIdPath: paths.bootId,
    lock: createProcessLock(),
    files: { ...trybootFiles, isMounted: async () => true },
  };
  const control = createTrybootControl(options);

  const start: Pi['start'] = async (reset, isBootable = () => true) => {
    await rm(paths.rebootParam, { force: true });
    const slotAt = (partition: number) => slotNames.find((slot) => rotaPartitions[slot] === partition);
    const choice = startFirmware(reset, {
      autoboot: await readOrNull(paths.autoboot),
      isBootable: (partition, config) => {
        const slot = slotAt(partition);
        return config === 'config.txt' && slot !== undefined && isBootable(slot);
      },
      isWalking: true,
    });
    const slot = choice.partition === null ? undefined : slotAt(choice.partition);
    isRunning = slot !== undefined;
    if (slot === undefined) return null;
    booted = slot;
    boots += 1;
    await writeDeviceTree(paths, choice);
    await writeFile(paths.bootId, `boot-${boots}\n`);
    await writeFile(join(paths.folder, 'cmdline'), await readFile(join(paths.bootFolders[slot], 'cmdline.txt')));
    return slot;
  };

  const reboot: Pi['reboot'] = async (isBootable) => {
    const argument = (await readOrNull(paths.rebootParam))?.toString('latin1').trim() ?? null;
    return start({ kind: 'reboot', argument }, isBootable);
  };

  await start({ kind: 'power-on' });
  return {
    paths,
    control,
    controlWith: (other) => createTrybootControl({ ...options, ...other }),
    start,
    reboot,
    booted: () => booted,
    powerOn: async (isBootable) => {
      // What runs reboots in order; where nothing came up there is nobody to ask.
      if (!isRunning) return start({ kind: 'power-on' }, isBootable);
      await control.prepareReboot(new AbortController().signal);
      return reboot(isBootable);
    },
    close: () => rm(paths.folder, { recursive: true, force: true }),
  };
};

const { signal } = new AbortController();

/** Slot b holds release 1 and is to be tried, with three tries. */
export const activateB = ({ control }: Pi): Promise<void> => control.activate('b', 3, contractVerity('b'), signal);

/** Slot b runs on trial, started by the flag; nobody has looked yet. */
export const startTrial = async (pi: Pi): Promise<void> => {
  await activateB(pi);
  await pi.control.prepareReboot(signal);
  if ((await pi.reboot()) !== 'b') throw new Error('the trial did not start');
};

/** Slot b runs and is confirmed. */
export const confirmB = async (pi: Pi): Promise<void> => {
  await startTrial(pi);
  await pi.control.status(signal);
  await pi.control.markGood('b', signal);
};
