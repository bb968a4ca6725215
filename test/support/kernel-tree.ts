// Folders that stand for /proc and /sys of a machine with the disks that a test wants: links, uevent files and the mount
// table as the kernel lays them out, in a temporary folder.

import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import type { KernelViews } from '../../agent/adapters/slot-identity.ts';

export interface FakeDevice {
  /** `sda2`, `dm-0`. */
  readonly name: string;
  readonly number: string;
  /** Name of the disk, for a partition. */
  readonly disk?: string;
  readonly partition?: number;
  readonly label?: string;
  readonly uuid?: string;
  /** Name and uuid of a device-mapper device. */
  readonly mapper?: readonly [name: string, uuid: string];
  /** Names of what it stands on. */
  readonly on?: readonly string[];
  readonly backingFile?: string;
}

export interface FakeMachine {
  readonly devices: readonly FakeDevice[];
  /** Lines of /proc/self/mountinfo. */
  readonly mounts: readonly string[];
  readonly commandLine: string;
}

export interface KernelTree {
  readonly views: KernelViews;
  readonly commandLinePath: string;
  close(): Promise<void>;
}

/** `/` on a device, as the kernel lists it. */
export const rootMount = (number: string, type = 'squashfs', options = 'ro'): string =>
  `22 1 ${number} / / ro,relatime shared:1 - ${type} /dev/root ${options}`;

/** A disk with a boot partition and the two slots, as image-rota labels them. `major`: one for each disk. */
export const aDisk = (disk: string, major: number, uuidStem: string, separator = ''): readonly FakeDevice[] => [
  { name: disk, number: `${major}:0` },
  ...['boot', 'system_a', 'system_b'].map((label, index) => ({
    name: `${disk}${separator}${index + 1}`,
    number: `${major}:${index + 1}`,
    disk,
    partition: index + 1,
    label,
    uuid: `${uuidStem}-0${index + 1}`,
  })),
];

export const createKernelTree = async ({ devices, mounts, commandLine }: FakeMachine): Promise<KernelTree> => {
  const top = await mkdtemp(join(tmpdir(), 'otad-kernel-'));
  const sys = join(top, 'sys');
  const proc = join(top, 'proc');
  const folderOf = ({ name, disk }: FakeDevice): string => join(sys, 'devices/block', disk ?? '', name);
  for (const folder of [join(sys, 'dev/block'), join(sys, 'class/block'), join(proc, 'self')]) {
    await mkdir(folder, { recursive: true });
  }
  const link = (from: string, to: string): Promise<void> => symlink(relative(join(from, '..'), to), from);
  for (const device of devices) {
    const folder = folderOf(device);
    const put = async (path: string, text: string | undefined): Promise<void> => {
      if (text !== undefined) await writeFile(join(folder, path), `${text}\n`);
    };
    for (const part of ['slaves', 'holders', 'dm', 'loop']) await mkdir(join(folder, part), { recursive: true });
    await put('dev', device.number);
    await put('size', '8192');
    await put('partition', device.partition?.toString());
    await put(
      'uevent',
      [
        `DEVNAME=${device.name}`,
        ...(device.label === undefined ? [] : [`PARTNAME=${device.label}`]),
        ...(device.uuid === undefined ? [] : [`PARTUUID=${device.uuid}`]),
      ].join('\n'),
    );
    await put('dm/name', device.mapper?.[0]);
    await put('dm/uuid', device.mapper?.[1]);
    await put('loop/backing_file', device.backingFile);
    await link(join(sys, 'dev/block', device.number), folder);
    await link(join(sys, 'class/block', device.name), folder);
  }
  for (const device of devices) {
    for (const name of device.on ?? []) {
      const below = devices.find((other) => other.name === name);
      if (below === undefined) throw new RangeError(`${device.name} stands on ${name}, which is not there`);
      await link(join(folderOf(device), 'slaves', name), folderOf(below));
      await link(join(folderOf(below), 'holders', device.name), folderOf(device));
    }
  }
  await writeFile(join(proc, 'self/mountinfo'), mounts.map((line) => `${line}\n`).join(''));
  await writeFile(join(proc, 'cmdline'), `${commandLine}\n`);
  return { views: { proc, sys }, commandLinePath: join(proc, 'cmdline'), close: () => rm(top, { recursive: true }) };
};
