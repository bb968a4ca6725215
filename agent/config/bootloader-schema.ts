// Settings of the bootloader: which one flips the slots, and for each kind where it keeps what. Only the group of the kind
// that is there is read.

import * as z from 'zod';
import { pathSchema, whole } from './value-schema.ts';

const bootFoldersSchema = (sentence: string) =>
  z
    .strictObject({
      a: pathSchema.describe('Boot files of slot a.'),
      b: pathSchema.describe('Boot files of slot b.'),
    })
    .nullable()
    .default(null)
    .describe(sentence);

const ubootSchema = z
  .strictObject({
    fwEnvConfigPath: pathSchema
      .default('/etc/fw_env.config')
      .describe('Where the U-Boot environment lies; the file that fw_printenv and fw_setenv read.'),
    bootFolders: bootFoldersSchema(
      'Where the boot partitions of the slots are mounted, writable: kernel and initrd of a release go there, and what is none of them is removed; null: releases that bring them are refused.',
    ),
  })
  .prefault({});

const entryStemSchema = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/)
  .meta({ expected: 'letters, digits, ".", "_" or "-", at most 63' });

const systemdBootSchema = z
  .strictObject({
    espPath: pathSchema.default('/efi').describe('Where the EFI system partition is mounted, writable.'),
    bootFolders: bootFoldersSchema(
      'Folders on the EFI system partition from which the entries of the slots start: kernel and initrd of a release go there, and what is none of them is removed; null: releases that bring them are refused.',
    ),
    efivarsPath: pathSchema
      .default('/sys/firmware/efi/efivars')
      .describe('Where efivarfs is mounted; where it is not, nothing is known of what the loader did.'),
    entries: z
      .strictObject({
        a: entryStemSchema.default('otad-a').describe('Entry of slot a in loader/entries, without counter and .conf.'),
        b: entryStemSchema.default('otad-b').describe('Entry of slot b in loader/entries, without counter and .conf.'),
      })
      .prefault({}),
  })
  .prefault({});

const trybootSchema = z
  .strictObject({
    autobootPath: pathSchema
      .default('/boot/config/autoboot.txt')
      .describe('autoboot.txt on the first FAT partition, mounted writable.'),
    bootFolders: z
      .strictObject({
        a: pathSchema.default('/boot/a').describe('Where the boot partition of slot a is mounted, writable.'),
        b: pathSchema.default('/boot/b').describe('Where the boot partition of slot b is mounted, writable.'),
      })
      .prefault({}),
    partitions: z
      .strictObject({
        a: whole(1, 255).default(2).describe('Number of the boot partition of slot a.'),
        b: whole(1, 255).default(3).describe('Number of the boot partition of slot b.'),
      })
      .prefault({}),
    deviceTreePath: pathSchema
      .default('/proc/device-tree/chosen/bootloader')
      .describe('What the firmware says of the boot that it did.'),
    rebootParamPath: pathSchema
      .default('/run/systemd/reboot-param')
      .describe('What systemd hands to the kernel as the argument of the reboot.'),
  })
  .prefault({});

export const bootloaderSchema = z
  .strictObject({
    kind: z
      .enum(['auto', 'uboot', 'systemd-boot', 'tryboot'])
      .default('auto')
      .describe(
        'Which bootloader flips the slots; auto: the one that left its traces in this boot. The groups of the other ones are not read.',
      ),
    helperSocket: pathSchema
      .nullable()
      .default(null)
      .describe(
        'Socket of the boot helper (otad-boot), the one process that may change what boots next; null: otad does it itself, with the rights for it.',
      ),
    commandLinePath: pathSchema.default('/proc/cmdline').describe('The kernel command line: which slot was booted.'),
    uboot: ubootSchema,
    systemdBoot: systemdBootSchema,
    tryboot: trybootSchema,
  })
  .prefault({});
