// What sysfs says of a block device: its partition, its disk, what it stands on. Only reads. Names and labels are shown to
// people; what decides are device numbers.

import { readdir, readFile, realpath } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { KernelViews } from './slot-identity.ts';

export interface BlockDevice {
  /** `major:minor`. */
  readonly number: string;
  /** As in /dev: `mmcblk0p2`. */
  readonly name: string;
  /** Of the disk that it is a partition of; its own where it is none. */
  readonly disk: string;
  readonly partition: number | null;
  /** GPT label; many disks may carry the same one. */
  readonly label: string | null;
  readonly uuid: string | null;
  readonly sizeBytes: number;
  /** Name and uuid of a device-mapper device; the uuid of dm-verity begins with `CRYPT-VERITY-`. */
  readonly mapper: { readonly name: string; readonly uuid: string } | null;
  /** What a loop device stands on. */
  readonly backingFile: string | null;
}

/** More devices than this are not looked at. */
const devicesMax = 4096;
/** dm-verity on LVM on RAID on a partition is 4. */
const depthMax = 8;

const textAt = async (path: string): Promise<string | null> =>
  readFile(path, 'utf8').then(
    (text) => text.replace(/\n+$/, ''),
    () => null,
  );

/** KEY=value lines. */
const readUevent = async (folder: string): Promise<ReadonlyMap<string, string>> =>
  new Map(
    ((await textAt(join(folder, 'uevent'))) ?? '').split('\n').map((line) => {
      const equals = line.indexOf('=');
      return equals < 0 ? [line, ''] : [line.slice(0, equals), line.slice(equals + 1)];
    }),
  );

const readFolder = async (folder: string): Promise<BlockDevice | null> => {
  const number = await textAt(join(folder, 'dev'));
  if (number === null || !/^\d+:\d+$/.test(number)) return null;
  const uevent = await readUevent(folder);
  const partition = await textAt(join(folder, 'partition'));
  const mapperName = await textAt(join(folder, 'dm/name'));
  const name = uevent.get('DEVNAME') ?? basename(folder);
  return {
    number,
    name,
    disk: partition === null ? name : basename(dirname(folder)),
    partition: partition === null ? null : Number(partition),
    label: uevent.get('PARTNAME') ?? null,
    uuid: uevent.get('PARTUUID')?.toLowerCase() ?? null,
    sizeBytes: Number((await textAt(join(folder, 'size'))) ?? 0) * 512,
    mapper: mapperName === null ? null : { name: mapperName, uuid: (await textAt(join(folder, 'dm/uuid'))) ?? '' },
    backingFile: await textAt(join(folder, 'loop/backing_file')),
  };
};

const folderOf = async (number: string, views: KernelViews): Promise<string | null> =>
  realpath(join(views.sys, 'dev/block', number)).catch(() => null);

/** null where the kernel knows no such device. */
export const readBlockDevice = async (number: string, views: KernelViews): Promise<BlockDevice | null> => {
  const folder = await folderOf(number, views);
  return folder === null ? null : readFolder(folder);
};

/** Every block device that there is. */
export const listBlockDevices = async (views: KernelViews): Promise<readonly BlockDevice[]> => {
  const folder = join(views.sys, 'class/block');
  const names = await readdir(folder).catch(() => []);
  const devices: BlockDevice[] = [];
  for (const name of names.slice(0, devicesMax)) {
    const real = await realpath(join(folder, name)).catch(() => null);
    const device = real === null ? null : await readFolder(real);
    if (device !== null) devices.push(device);
  }
  return devices;
};

/** The device and all that it stands on, the device itself first. */
export const readStack = async (number: string, views: KernelViews, depth = 0): Promise<readonly BlockDevice[]> => {
  const folder = await folderOf(number, views);
  const device = folder === null ? null : await readFolder(folder);
  if (folder === null || device === null || depth >= depthMax) return [];
  const slaves = await readdir(join(folder, 'slaves')).catch(() => []);
  const below: BlockDevice[] = [];
  for (const slave of slaves) {
    const slaveNumber = await textAt(join(folder, 'slaves', slave, 'dev'));
    if (slaveNumber !== null) below.push(...(await readStack(slaveNumber, views, depth + 1)));
  }
  return [device, ...below];
};

/** As a person looks for it: `/dev/mmcblk0p2`, or with the mapper's name. */
export const nameDevice = ({ name, mapper }: BlockDevice): string =>
  mapper === null ? `/dev/${name}` : `/dev/mapper/${mapper.name}`;
