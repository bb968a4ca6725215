// Is what is mounted really the EFI system partition that the loader came from? Two disks may carry one each, and a change
// to the wrong one would be lost without a sign.

import { readdir, readFile, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { OtadError } from '../../agent/core/errors.ts';
import type { EfiVariables } from './efi-variables.ts';
import type { Esp } from './esp.ts';
import { entriesFolder } from './loader-entries.ts';

/** PARTUUID of what is mounted at a path, lower case; null: it cannot be told. */
export type PartUuidOf = (path: string) => Promise<string | null>;

const linksFolder = '/dev/disk/by-partuuid';

const fromUevent = async (device: string): Promise<string | null> => {
  try {
    return /^PARTUUID=(.+)$/m.exec(await readFile(join(device, 'uevent'), 'utf8'))?.[1]?.toLowerCase() ?? null;
  } catch {
    return null;
  }
};

/** By the kernel's own word, or by the links that udev makes. */
export const readPartUuid: PartUuidOf = async (path) => {
  try {
    const { dev } = await stat(path);
    // Linux packs the device number as glibc's makedev does; minors above 255 reach into the high bits.
    const minor = (dev & 0xff) | (Math.floor(dev / 0x1000) & 0xfff00);
    const device = await realpath(`/sys/dev/block/${Math.floor(dev / 256) & 0xfff}:${minor}`);
    const known = await fromUevent(device);
    if (known !== null) return known;
    for (const link of await readdir(linksFolder)) {
      const target = await realpath(join(linksFolder, link));
      if (target.endsWith(`/${device.split('/').at(-1)}`)) return link.toLowerCase();
    }
  } catch {
    // No such device file: a folder of a test, or a file system without a partition.
  }
  return null;
};

/** Throws BOOT_ESP_UNUSABLE before anything was read or written that could belong to another disk. */
export const checkEsp = async (esp: Esp, variables: EfiVariables, partUuidOf: PartUuidOf): Promise<void> => {
  const isFolder = await stat(join(esp.path, entriesFolder)).then(
    (facts) => facts.isDirectory(),
    () => false,
  );
  if (!isFolder) {
    throw new OtadError('BOOT_ESP_UNUSABLE', {
      path: esp.path,
      reason: `there is no ${entriesFolder} in it: is it mounted?`,
    });
  }
  const booted = (await variables.read('LoaderDevicePartUUID'))?.toLowerCase() ?? null;
  const mounted = booted === null ? null : await partUuidOf(esp.path);
  if (booted !== null && mounted !== null && booted !== mounted) {
    throw new OtadError('BOOT_ESP_UNUSABLE', {
      path: esp.path,
      mounted,
      booted,
      reason: 'the loader came from another partition: mount that one, by PARTUUID',
    });
  }
};
