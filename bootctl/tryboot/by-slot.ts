// Recognises the disk layout of rpi-image-gen's image-rota: its partition labels and its links in /dev/disk/by-slot. Only
// reads links. github.com/raspberrypi/rpi-image-gen, layer/rpi/device/ab-slots.adoc (the links follow the disk that was
// booted) and image/gpt/ab_userdata (the labels bootconfig, boot_a, boot_b, system_a, system_b, persistent).
// Labels alone never decide: two disks may carry the same ones.

import { realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { OtadError } from '../../agent/core/errors.ts';
import { otherSlot, type SlotName } from '../../agent/core/types.ts';

/** Device nodes. */
export interface SlotPair {
  readonly boot: string;
  readonly system: string;
}

export interface RotaLinks {
  readonly active: SlotPair;
  readonly other: SlotPair;
}

export interface RotaLayout {
  readonly booted: SlotName;
  readonly slots: Readonly<Record<SlotName, SlotPair>>;
  /** Partition numbers of the boot partitions, for autoboot.txt. */
  readonly partitions: Readonly<Record<SlotName, number>>;
}

const resolve = async (path: string): Promise<string | null> => {
  try {
    return await realpath(path);
  } catch {
    return null;
  }
};

const resolvePair = async (boot: string, system: string): Promise<SlotPair | null> => {
  const [first, second] = [await resolve(boot), await resolve(system)];
  return first === null || second === null ? null : { boot: first, system: second };
};

/** `/dev/disk/by-slot/{active,other}/{boot,system}`, or null where they are not all there. */
export const readBySlot = async (dev = '/dev'): Promise<RotaLinks | null> => {
  const folder = join(dev, 'disk/by-slot');
  const active = await resolvePair(join(folder, 'active/boot'), join(folder, 'active/system'));
  const other = await resolvePair(join(folder, 'other/boot'), join(folder, 'other/system'));
  return active === null || other === null ? null : { active, other };
};

/** What `/dev/disk/by-partlabel` calls boot_a, system_a, boot_b and system_b; null where a pair is not there. */
export const readByLabel = async (dev = '/dev'): Promise<Readonly<Record<SlotName, SlotPair | null>>> => {
  const folder = join(dev, 'disk/by-partlabel');
  return {
    a: await resolvePair(join(folder, 'boot_a'), join(folder, 'system_a')),
    b: await resolvePair(join(folder, 'boot_b'), join(folder, 'system_b')),
  };
};

/** The number at the end of a partition's node: mmcblk0p2, nvme0n1p3, sda2. */
const partitionNumber = (node: string): number | null => {
  const digits = /(?:[0-9]p|[a-z])([0-9]{1,3})$/.exec(node)?.[1];
  return digits === undefined ? null : Number(digits);
};

const isSame = (one: SlotPair, other: SlotPair | null): boolean =>
  other !== null && one.boot === other.boot && one.system === other.system;

const conflict = (links: RotaLinks, labels: Readonly<Record<SlotName, SlotPair | null>>): OtadError =>
  new OtadError('BOOT_EVIDENCE_CONFLICT', {
    bySlot: `active ${links.active.boot} ${links.active.system}, other ${links.other.boot} ${links.other.system}`,
    byLabel: (['a', 'b'] as const).map((slot) => `${slot} ${labels[slot]?.boot} ${labels[slot]?.system}`).join(', '),
  });

/**
 * Links and labels as one layout. Throws BOOT_EVIDENCE_CONFLICT, naming both, where they lead to different partitions: a
 * second disk with the same labels. `booted` is needed where the disk has no labels (image-rota's static slot map).
 */
export const mapSlots = (
  links: RotaLinks,
  labels: Readonly<Record<SlotName, SlotPair | null>>,
  booted: SlotName | null,
): RotaLayout => {
  const hasLabels = labels.a !== null || labels.b !== null;
  const labelled = (['a', 'b'] as const).find(
    (slot) => isSame(links.active, labels[slot]) && isSame(links.other, labels[otherSlot(slot)]),
  );
  const slot = labelled ?? (hasLabels ? null : booted);
  if (slot === null || (booted !== null && booted !== slot)) throw conflict(links, labels);
  const slots = slot === 'a' ? { a: links.active, b: links.other } : { a: links.other, b: links.active };
  const [a, b] = [partitionNumber(slots.a.boot), partitionNumber(slots.b.boot)];
  if (a === null || b === null || a === b) throw conflict(links, labels);
  return { booted: slot, slots, partitions: { a, b } };
};

/** null: this is no image-rota disk. */
export const readRotaLayout = async (dev = '/dev', booted: SlotName | null = null): Promise<RotaLayout | null> => {
  const links = await readBySlot(dev);
  return links === null ? null : mapSlots(links, await readByLabel(dev), booted);
};
