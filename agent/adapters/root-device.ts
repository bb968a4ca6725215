// The block devices that the running root file system stands on: by the mount table and sysfs, down through dm-verity to
// the partition. Only reads, and opens no device. An overlay speaks for its lower layers, since the image is one of them.

import { type BlockDevice, listBlockDevices, nameDevice, readStack } from './block-device.ts';
import { type Mount, readMounts, unescapeMount } from './mount-table.ts';
import type { KernelViews } from './slot-identity.ts';

export interface RootDevice {
  /** From the root file system's own device down to the partitions; empty: no block device stands behind it. */
  readonly stack: readonly BlockDevice[];
  /** How it was found, or why it was not. */
  readonly says: string;
}

/** What the root is made of: itself, or the lower layers of an overlay that are mounted somewhere. */
const layersOf = (root: Mount, mounts: readonly Mount[]): readonly Mount[] => {
  if (root.type !== 'overlay') return [root];
  const lower = /(?:^|,)lowerdir=([^,]*)/.exec(root.options)?.[1] ?? '';
  const layers = unescapeMount(lower).split(':');
  return mounts.filter(({ mountPoint }) => mountPoint !== '/' && layers.includes(mountPoint));
};

const describe = (stack: readonly BlockDevice[]): string =>
  stack
    .map((device) => `${nameDevice(device)}${device.mapper?.uuid.startsWith('CRYPT-VERITY-') ? ' (dm-verity)' : ''}`)
    .join(' on ');

/** The device that `root=` names, unless by a label only: two disks may carry the same. */
const namedRoot = async (rootArgument: string, views: KernelViews): Promise<BlockDevice | null> => {
  const uuid = /^PARTUUID=([0-9a-f-]+)$/i.exec(rootArgument)?.[1]?.toLowerCase();
  const name = /^\/dev\/([a-z0-9-]+)$/.exec(rootArgument)?.[1];
  if (uuid === undefined && name === undefined) return null;
  const found = (await listBlockDevices(views)).filter((device) =>
    uuid === undefined ? device.name === name : device.uuid === uuid,
  );
  // Two partitions with one uuid, as copied disks have them, name nothing.
  return found.length === 1 ? (found[0] ?? null) : null;
};

/** `rootArgument`: the value of `root=` on the kernel command line, for where the mount table does not tell. */
export const readRootDevice = async (rootArgument: string | null, views: KernelViews): Promise<RootDevice> => {
  const mounts = await readMounts(views.proc).catch(() => []);
  const root = mounts.findLast(({ mountPoint }) => mountPoint === '/');
  const stack: BlockDevice[] = [];
  for (const { number } of root === undefined ? [] : layersOf(root, mounts))
    stack.push(...(await readStack(number, views)));
  if (stack.length > 0) return { stack, says: describe(stack) };
  const named = rootArgument === null ? null : await namedRoot(rootArgument, views);
  if (named === null) return { stack, says: `no block device stands behind / (${root?.type ?? 'nothing is mounted'})` };
  const below = await readStack(named.number, views);
  return { stack: below, says: `root=${rootArgument}, which is ${describe(below)}` };
};
