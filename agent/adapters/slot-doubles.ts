// Two disks may carry the same labels: an old card and a new drive, a disk and its copy. Then a slot's name in the settings
// can lead to either. Refuses to let such a slot be written, naming both devices; never guesses which one is meant.

import { OtadError } from '../core/errors.ts';
import { otherSlot, type SlotName, slotNames } from '../core/types.ts';
import { type BlockDevice, listBlockDevices, nameDevice, readBlockDevice } from './block-device.ts';
import type { KernelViews, SlotIdentity } from './slot-identity.ts';

export interface SlotPlaces {
  readonly paths: Readonly<Record<SlotName, string>>;
  readonly identities: Readonly<Record<SlotName, SlotIdentity>>;
  readonly booted: SlotName;
  /** What the root file system stands on; empty where nobody knows. */
  readonly rootStack: readonly BlockDevice[];
}

/** Names that udev makes from the partition's label, and the uuid that a copied disk has as well. */
const labelLink = /^\/dev\/disk\/(?:by-partlabel|by-label|by-slot)\//;
const uuidLink = /^\/dev\/disk\/by-partuuid\//;
/** Names that hang on the wire that leads to the disk, or on its serial number. */
const fixedLink = /^\/dev\/disk\/(?:by-path|by-id)\//;

const ambiguous = (slot: SlotName, one: BlockDevice, other: BlockDevice, why: string): OtadError =>
  new OtadError('SLOT_AMBIGUOUS', {
    slot,
    one: nameDevice(one),
    other: nameDevice(other),
    ...(one.label === null ? {} : { label: one.label }),
    why,
  });

/** Another partition that the same name could lead to. */
const doubleOf = (device: BlockDevice, path: string, all: readonly BlockDevice[]): BlockDevice | undefined => {
  const others = all.filter(({ number, partition }) => number !== device.number && partition !== null);
  if (labelLink.test(path) && device.label !== null) return others.find(({ label }) => label === device.label);
  return uuidLink.test(path) && device.uuid !== null ? others.find(({ uuid }) => uuid === device.uuid) : undefined;
};

/** The same place on another disk: by its label, or without labels by its number. */
const isDouble = (one: BlockDevice, other: BlockDevice): boolean =>
  one.disk !== other.disk &&
  one.partition !== null &&
  (one.label === null && other.label === null ? one.partition === other.partition : one.label === other.label);

const refuseOtherDisk = (places: SlotPlaces, devices: Readonly<Record<SlotName, BlockDevice>>): void => {
  const { rootStack, booted, paths } = places;
  const running = devices[booted];
  if (rootStack.some(({ number }) => number === running.number)) {
    const other = otherSlot(booted);
    const isElsewhere = devices[other].disk !== running.disk && running.partition !== null;
    if (isElsewhere && !fixedLink.test(paths[other])) {
      throw ambiguous(other, devices[other], running, 'the other slot is on another disk than the running system');
    }
    return;
  }
  for (const slot of slotNames) {
    const root = rootStack.find((device) => isDouble(device, devices[slot]));
    if (root !== undefined) {
      throw ambiguous(slot, devices[slot], root, 'the settings lead to the one, the system runs from the other');
    }
  }
};

/** Throws SLOT_AMBIGUOUS. Slots that are files have no doubles. */
export const refuseDoubles = async (places: SlotPlaces, views: KernelViews): Promise<void> => {
  const { a, b } = places.identities;
  if (a.device === null || b.device === null) return;
  const [deviceA, deviceB] = [await readBlockDevice(a.device, views), await readBlockDevice(b.device, views)];
  if (deviceA === null || deviceB === null) return;
  const devices = { a: deviceA, b: deviceB };
  const all = await listBlockDevices(views);
  for (const slot of slotNames) {
    const double = doubleOf(devices[slot], places.paths[slot], all);
    if (double !== undefined) throw ambiguous(slot, devices[slot], double, 'both carry the same name');
  }
  refuseOtherDisk(places, devices);
};
