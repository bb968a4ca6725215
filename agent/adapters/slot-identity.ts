// What a slot's path really leads to, and who else uses it: device numbers, mounts, holders, loop devices. Paths lie
// (links, udev names, two labels on two disks); device numbers do not. Only reads; opens nothing.

import { readdir, readFile, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { OtadError } from '../core/errors.ts';
import type { SlotName } from '../core/types.ts';
import { errnoOf } from './file-pieces.ts';
import { readMounts } from './mount-table.ts';

/** Where the kernel's own views stand; tests give others. */
export interface KernelViews {
  readonly proc: string;
  readonly sys: string;
}

export const kernelViews: KernelViews = { proc: '/proc', sys: '/sys' };

export interface SlotIdentity {
  readonly path: string;
  readonly kind: 'block' | 'file';
  /** Equal exactly for the same device or file. */
  readonly key: string;
  /** `major:minor` of a block device, null for a file. */
  readonly device: string | null;
}

/** Linux' dev_t as `major:minor`, as /proc and /sys write it. */
export const deviceNumbers = (dev: bigint): string => {
  const major = ((dev >> 8n) & 0xfffn) | ((dev >> 32n) & ~0xfffn);
  const minor = (dev & 0xffn) | ((dev >> 12n) & ~0xffn);
  return `${major}:${minor}`;
};

/** Throws SLOT_MISSING where there is neither a block device nor a regular file. */
export const identify = async (slot: SlotName, path: string): Promise<SlotIdentity> => {
  const facts = await stat(path, { bigint: true }).catch((cause: unknown) => {
    throw new OtadError('SLOT_MISSING', { slot, path, errno: errnoOf(cause) }, { cause });
  });
  if (facts.isBlockDevice()) {
    const device = deviceNumbers(facts.rdev);
    return { path, kind: 'block', key: `block ${device}`, device };
  }
  if (facts.isFile()) return { path, kind: 'file', key: `file ${deviceNumbers(facts.dev)}:${facts.ino}`, device: null };
  throw new OtadError('SLOT_MISSING', { slot, path, reason: 'neither a block device nor a regular file' });
};

/** Where the device is mounted in our namespace, or null. */
const mountPointOf = async (device: string, views: KernelViews): Promise<string | null> => {
  const mounts = await readMounts(views.proc);
  return mounts.find(({ number }) => number === device)?.mountPoint ?? null;
};

/** The key of a regular file, as {@link identify} gives it; null where there is none. */
export const keyOfFile = async (path: string): Promise<string | null> => {
  const facts = await stat(path, { bigint: true }).catch(() => null);
  return facts?.isFile() === true ? `file ${deviceNumbers(facts.dev)}:${facts.ino}` : null;
};

const listOrNone = async (folder: string): Promise<readonly string[]> => readdir(folder).catch(() => []);

/** The loop device that stands on the file, or null. */
const loopOn = async (identity: SlotIdentity, views: KernelViews): Promise<string | null> => {
  const real = await realpath(identity.path);
  const folder = join(views.sys, 'block');
  for (const name of await listOrNone(folder)) {
    if (!name.startsWith('loop')) continue;
    const backing = await readFile(join(folder, name, 'loop/backing_file'), 'utf8').catch(() => '');
    const path = backing.replace(/\n$/, '');
    if (path === '') continue;
    if (path === real) return name;
    if ((await keyOfFile(path)) === identity.key) return name;
  }
  return null;
};

/** Throws SLOT_RUNNING or SLOT_BUSY, saying who, when the slot is mounted or something stands on it. */
export const refuseInUse = async (slot: SlotName, identity: SlotIdentity, views: KernelViews): Promise<void> => {
  const { path, device } = identity;
  if (device === null) {
    const loop = await loopOn(identity, views);
    if (loop !== null) throw new OtadError('SLOT_BUSY', { slot, path, loopDevice: loop });
    return;
  }
  const mountPoint = await mountPointOf(device, views);
  if (mountPoint === '/') throw new OtadError('SLOT_RUNNING', { slot, path, device, mountPoint });
  if (mountPoint !== null) throw new OtadError('SLOT_BUSY', { slot, path, device, mountPoint });
  const [holder] = await listOrNone(join(views.sys, 'dev/block', device, 'holders'));
  if (holder !== undefined) throw new OtadError('SLOT_BUSY', { slot, path, device, holder });
};

/** Where the device stands in sysfs; a partition's folder lies inside its disk's. */
const sysfsFolder = async (device: string, views: KernelViews): Promise<string | null> =>
  realpath(join(views.sys, 'dev/block', device)).catch(() => null);

/** Throws CONFIG_INVALID, naming both paths, when the two slots are one device, or one is a partition of the other. */
export const refuseShared = async (a: SlotIdentity, b: SlotIdentity, views: KernelViews): Promise<void> => {
  const details = { slotA: a.path, slotB: b.path, device: a.key };
  if (a.key === b.key) throw new OtadError('CONFIG_INVALID', { ...details, reason: 'both slots are the same device' });
  if (a.device === null || b.device === null) return;
  const [folderA, folderB] = await Promise.all([sysfsFolder(a.device, views), sysfsFolder(b.device, views)]);
  if (folderA === null || folderB === null) return;
  if (folderA.startsWith(`${folderB}/`) || folderB.startsWith(`${folderA}/`)) {
    throw new OtadError('CONFIG_INVALID', { ...details, reason: 'one slot is a part of the other' });
  }
};
