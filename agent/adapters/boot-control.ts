// Which bootloader flips the slots here, and its control, guarded: nothing is made unselectable or selectable for a slot
// that could not be written. The one place that knows all bootloaders; the rest of otad knows the port.

import { access, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { partitionNumber } from '../../bootctl/partition-number.ts';
import { createSystemdBootControl } from '../../bootctl/systemd-boot/control.ts';
import { openEfiVariables } from '../../bootctl/systemd-boot/efi-variables.ts';
import { readRotaLayout } from '../../bootctl/tryboot/by-slot.ts';
import { createTrybootControl } from '../../bootctl/tryboot/control.ts';
import { checkRebootCommand } from '../../bootctl/tryboot/reboot-argument.ts';
import { createUbootControl } from '../../bootctl/uboot/control.ts';
import { parseFwEnvConfig } from '../../bootctl/uboot/fw-env-config.ts';
import { OtadError, toFailure } from '../core/errors.ts';
import type { BootControl, InspectBoot } from '../core/ports.ts';
import { type SlotName, slotNames } from '../core/types.ts';
import { refuseOtherFolders } from './boot-folders.ts';
import { type Lineage, readLineage } from './boot-lineage.ts';
import { createSlotDevices, type GuardedSlotDevices } from './slot-device.ts';
import { kernelViews } from './slot-identity.ts';

type PerSlot<T> = Readonly<Record<SlotName, T>>;

export type BootloaderKind = 'uboot' | 'systemd-boot' | 'tryboot';

export interface BootloaderSettings {
  readonly kind: BootloaderKind | 'auto';
  readonly commandLinePath: string;
  readonly uboot: { readonly fwEnvConfigPath: string; readonly bootFolders: PerSlot<string> | null };
  readonly systemdBoot: {
    readonly espPath: string;
    readonly efivarsPath: string;
    readonly entries: PerSlot<string>;
    readonly bootFolders: PerSlot<string> | null;
  };
  readonly tryboot: {
    readonly autobootPath: string;
    readonly bootFolders: PerSlot<string>;
    readonly partitions: PerSlot<number>;
    readonly deviceTreePath: string;
    readonly rebootParamPath: string;
  };
}

export interface DeviceSettings {
  readonly bootloader: BootloaderSettings;
  readonly slotPaths: PerSlot<string>;
  /** Data partition: what a bootloader cannot keep itself is kept here. */
  readonly stateDir: string;
  readonly runDir: string;
  readonly rebootCommand: readonly string[];
  /** Default: /dev. */
  readonly devPath?: string;
  /** A privileged unit carries the reboot out, and before it takes back what an ordinary user may not. */
  readonly hasRebootUnit?: boolean;
}

export interface FoundBootloader {
  readonly kind: BootloaderKind;
  /** What shows it, as a sentence. */
  readonly why: string;
}

export interface BootDevice {
  readonly found: FoundBootloader;
  readonly boot: BootControl;
  readonly slots: GuardedSlotDevices;
  readonly readLineage: () => Promise<Lineage>;
}

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

/** Throws CONFIG_INVALID where the traces of none are found, or of two. */
export const findBootloader = async (settings: BootloaderSettings): Promise<FoundBootloader> => {
  const { kind, uboot, systemdBoot, tryboot } = settings;
  if (kind !== 'auto') return { kind, why: 'bootloader.kind says so' };
  const loader = await openEfiVariables(systemdBoot.efivarsPath).read('LoaderInfo');
  // The loader itself writes this at each boot: no trace is better.
  if (loader?.startsWith('systemd-boot'))
    return { kind: 'systemd-boot', why: `the variable LoaderInfo says ${loader}` };
  const isUboot = await exists(uboot.fwEnvConfigPath);
  const isTryboot = (await exists(join(tryboot.deviceTreePath, 'partition'))) && (await exists(tryboot.autobootPath));
  if (isUboot !== isTryboot) {
    return isUboot
      ? { kind: 'uboot', why: `${uboot.fwEnvConfigPath} is there` }
      : { kind: 'tryboot', why: `${tryboot.autobootPath} and ${tryboot.deviceTreePath} are there` };
  }
  throw new OtadError('CONFIG_INVALID', {
    key: 'bootloader.kind',
    expected: '"uboot", "systemd-boot" or "tryboot", since the device does not tell by itself',
    found: isUboot
      ? `both ${uboot.fwEnvConfigPath} and ${tryboot.autobootPath}`
      : `no ${uboot.fwEnvConfigPath}, no ${tryboot.autobootPath} and no LoaderInfo in ${systemdBoot.efivarsPath}`,
  });
};

const readFwEnvConfig = async (path: string) => {
  const text = await readFile(path, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    throw new OtadError('BOOT_ENV_UNREADABLE', { file: path, errno: cause.code }, { cause });
  });
  return parseFwEnvConfig(text, path);
};

/** What would keep U-Boot's control from its environment although fw_env.config is there. */
const ubootFaults = async ({ uboot }: BootloaderSettings): Promise<readonly string[]> => {
  if (!(await exists(uboot.fwEnvConfigPath))) return [];
  const key = 'bootloader.uboot.fwEnvConfigPath';
  try {
    const { file, copies } = await readFwEnvConfig(uboot.fwEnvConfigPath);
    const lines: string[] = [];
    for (const { path, line } of copies) {
      if (!(await exists(path))) lines.push(`${key}: ${file} line ${line} names ${path}, which is not there`);
    }
    return lines;
  } catch (error) {
    return [`${key}: ${toFailure(error).message}`];
  }
};

const trybootFaults = (rebootCommand: readonly string[]): readonly string[] => {
  try {
    checkRebootCommand(rebootCommand);
    return [];
  } catch (error) {
    return [toFailure(error).message];
  }
};

/** What boot control needs and cannot use here, such as a missing file, each with the setting that names it. */
export const unusableParts = async (
  settings: BootloaderSettings,
  rebootCommand: readonly string[],
): Promise<readonly string[]> => {
  const { kind } = await findBootloader(settings);
  const { uboot, systemdBoot, tryboot } = settings;
  const needed: Readonly<Record<BootloaderKind, readonly (readonly [key: string, path: string])[]>> = {
    uboot: [['uboot.fwEnvConfigPath', uboot.fwEnvConfigPath]],
    'systemd-boot': [['systemdBoot.espPath', join(systemdBoot.espPath, 'loader/entries')]],
    tryboot: [
      ['tryboot.autobootPath', tryboot.autobootPath],
      ...slotNames.map((slot) => [`tryboot.bootFolders.${slot}`, tryboot.bootFolders[slot]] as const),
    ],
  };
  const missing: string[] = [];
  for (const [key, path] of [['commandLinePath', settings.commandLinePath] as const, ...needed[kind]]) {
    if (!(await exists(path))) missing.push(`bootloader.${key}: ${path} is not there`);
  }
  if (kind === 'uboot') return [...missing, ...(await ubootFaults(settings))];
  return kind === 'tryboot' ? [...missing, ...trybootFaults(rebootCommand)] : missing;
};

const openControl = async (
  kind: BootloaderKind,
  { bootloader, slotPaths, stateDir, runDir, rebootCommand, hasRebootUnit = false }: DeviceSettings,
  evidence: () => Promise<Lineage>,
): Promise<BootControl> => {
  const { uboot, systemdBoot, tryboot } = bootloader;
  switch (kind) {
    case 'uboot':
      return createUbootControl({
        config: await readFwEnvConfig(uboot.fwEnvConfigPath),
        evidence,
        partitions: async () => ({ a: await partitionNumber(slotPaths.a), b: await partitionNumber(slotPaths.b) }),
      });
    case 'systemd-boot':
      return createSystemdBootControl({ ...systemdBoot, evidence, takesBackOneShot: !hasRebootUnit });
    case 'tryboot':
      return createTrybootControl({
        ...tryboot,
        intentPaths: [join(stateDir, 'tryboot-1.json'), join(stateDir, 'tryboot-2.json')],
        lockPath: join(runDir, 'tryboot.lock'),
        rebootCommand,
        evidence,
      });
  }
};

/** The bootloader is only told what the slot's device allows: refused before it, a refusal changes nothing. */
const guard = (boot: BootControl, slots: GuardedSlotDevices): BootControl => ({
  ...boot,
  invalidate: async (slot, signal) => {
    await slots.refuse(slot);
    await boot.invalidate(slot, signal);
  },
  activate: async (slot, tries, verity, signal) => {
    await slots.refuse(slot);
    await boot.activate(slot, tries, verity, signal);
  },
});

/**
 * Throws BOOT_EVIDENCE_CONFLICT where image-rota's links, its labels and the settings do not mean the same partitions: a second
 * disk with the same labels, on which autoboot.txt or a command line would be written.
 */
const refuseOtherRota = async (
  booted: SlotName,
  partitions: PerSlot<number>,
  devPath: string | undefined,
): Promise<void> => {
  const layout = await readRotaLayout(devPath, booted);
  if (layout === null || slotNames.every((slot) => layout.partitions[slot] === partitions[slot])) return;
  throw new OtadError('BOOT_EVIDENCE_CONFLICT', {
    bySlot: slotNames.map((slot) => `${slot} ${layout.slots[slot].boot}`).join(', '),
    'bootloader.tryboot.partitions': slotNames.map((slot) => `${slot} ${partitions[slot]}`).join(', '),
  });
};

type DevicePlaces = Pick<DeviceSettings, 'bootloader' | 'slotPaths' | 'devPath'>;

/** The slots, with everything that speaks against writing one. */
const openSlots = (kind: BootloaderKind, { bootloader, slotPaths, devPath }: DevicePlaces) => {
  const { deviceTreePath: path, partitions, bootFolders } = bootloader.tryboot;
  const lineage = () =>
    readLineage({
      commandLinePath: bootloader.commandLinePath,
      slotPaths,
      ...(kind === 'tryboot' ? { deviceTree: { path, partitions } } : {}),
    });
  const devices = createSlotDevices({
    paths: slotPaths,
    bootedSlot: async () => (await lineage()).slot,
    rootStack: async () => (await lineage()).rootStack,
  });
  const slots: GuardedSlotDevices = {
    ...devices,
    refuse: async (slot) => {
      await devices.refuse(slot);
      if (kind !== 'tryboot') return;
      await refuseOtherRota((await lineage()).slot, partitions, devPath);
      await refuseOtherFolders(bootFolders, partitions, kernelViews);
    },
  };
  return { slots, readLineage: lineage };
};

/** Throws CONFIG_INVALID, and what the bootloader's control throws when it cannot be opened. */
export const openBootDevice = async (settings: DeviceSettings): Promise<BootDevice> => {
  const found = await findBootloader(settings.bootloader);
  const { slots, readLineage } = openSlots(found.kind, settings);
  const boot = await openControl(found.kind, settings, readLineage);
  return { found, boot: guard(boot, slots), slots, readLineage };
};

/** The same where the boot helper holds the bootloader: it says which one it is, since its medium is the helper's alone. */
export const openHelpedDevice = async (
  settings: DevicePlaces,
  { boot, inspect }: { readonly boot: BootControl; readonly inspect: InspectBoot },
  signal: AbortSignal,
): Promise<BootDevice> => {
  const { bootloader: kind, foundBy: why } = await inspect(signal);
  return { found: { kind, why }, boot, ...openSlots(kind, settings) };
};
