// Which bootloader flips the slots here, and its control, guarded: nothing is made unselectable or selectable for a slot
// that could not be written. The one place that knows all bootloaders; the rest of otad knows the port.

import { access, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { partitionNumber } from '../../bootctl/partition-number.ts';
import { createSystemdBootControl } from '../../bootctl/systemd-boot/control.ts';
import { openEfiVariables } from '../../bootctl/systemd-boot/efi-variables.ts';
import { createTrybootControl } from '../../bootctl/tryboot/control.ts';
import { createUbootControl } from '../../bootctl/uboot/control.ts';
import { parseFwEnvConfig } from '../../bootctl/uboot/fw-env-config.ts';
import { OtadError } from '../core/errors.ts';
import type { BootControl } from '../core/ports.ts';
import { type SlotName, slotNames } from '../core/types.ts';
import { type Lineage, readLineage } from './boot-lineage.ts';
import { createSlotDevices, type GuardedSlotDevices } from './slot-device.ts';

type PerSlot<T> = Readonly<Record<SlotName, T>>;

export type BootloaderKind = 'uboot' | 'systemd-boot' | 'tryboot';

export interface BootloaderSettings {
  readonly kind: BootloaderKind | 'auto';
  readonly commandLinePath: string;
  readonly uboot: { readonly fwEnvConfigPath: string };
  readonly systemdBoot: { readonly espPath: string; readonly efivarsPath: string; readonly entries: PerSlot<string> };
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

/** Files and folders that boot control needs and that are not here, each with the setting that names it. */
export const missingParts = async (settings: BootloaderSettings): Promise<readonly string[]> => {
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
  return missing;
};

const readFwEnvConfig = async (path: string) => {
  const text = await readFile(path, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    throw new OtadError('BOOT_ENV_UNREADABLE', { file: path, errno: cause.code }, { cause });
  });
  return parseFwEnvConfig(text, path);
};

const openControl = async (
  kind: BootloaderKind,
  { bootloader, slotPaths, stateDir, runDir, rebootCommand }: DeviceSettings,
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
      return createSystemdBootControl({ ...systemdBoot, evidence });
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

/** Throws CONFIG_INVALID, and what the bootloader's control throws when it cannot be opened. */
export const openBootDevice = async (settings: DeviceSettings): Promise<BootDevice> => {
  const { bootloader, slotPaths } = settings;
  const found = await findBootloader(bootloader);
  const { deviceTreePath: path, partitions } = bootloader.tryboot;
  const lineage = () =>
    readLineage({
      commandLinePath: bootloader.commandLinePath,
      slotPaths,
      ...(found.kind === 'tryboot' ? { deviceTree: { path, partitions } } : {}),
    });
  const slots = createSlotDevices({
    paths: slotPaths,
    bootedSlot: async () => (await lineage()).slot,
    rootStack: async () => (await lineage()).rootStack,
  });
  const boot = await openControl(found.kind, settings, lineage);
  return { found, boot: guard(boot, slots), slots, readLineage: lineage };
};
