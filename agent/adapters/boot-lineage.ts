// Asks the witnesses of this boot which slot runs, and tells apart what only looks the same: the partition that the root
// file system stands on is one of the slots, none of them, or another disk's double. Only reads.

import { readFile } from 'node:fs/promises';
import { type KernelArguments, readKernelArguments } from '../../bootctl/kernel-command-line.ts';
import { agreedSlot, tellWitnesses } from '../../bootctl/lineage.ts';
import type { BootEvidence } from '../../bootctl/model.ts';
import { readTrybootEvidence, type SlotPartitions } from '../../bootctl/tryboot/device-tree.ts';
import { OtadError } from '../core/errors.ts';
import { type BootWitness, type SlotName, slotNames } from '../core/types.ts';
import type { BlockDevice } from './block-device.ts';
import { type RootDevice, readRootDevice } from './root-device.ts';
import { identify, type KernelViews, kernelViews, keyOfFile, type SlotIdentity } from './slot-identity.ts';

export interface LineageOptions {
  /** Default: the kernel's own. */
  readonly commandLinePath: string;
  readonly slotPaths: Readonly<Record<SlotName, string>>;
  readonly views?: KernelViews;
  /** What a slot's path leads to. Default: what it really is. */
  readonly identifySlot?: (slot: SlotName, path: string) => Promise<SlotIdentity>;
  /** Where the firmware says from which partition it started; only that of a Raspberry Pi does. */
  readonly deviceTree?: { readonly path: string; readonly partitions: SlotPartitions };
}

/** Which slot runs, who says so, and what the root file system stands on. */
export interface Lineage extends BootEvidence {
  readonly witnesses: readonly BootWitness[];
  readonly rootStack: readonly BlockDevice[];
}

const readArguments = async (path: string): Promise<KernelArguments> => {
  const text = await readFile(path, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    throw new OtadError('BOOT_EVIDENCE_MISSING', { file: path, errno: cause.code }, { cause });
  });
  return readKernelArguments(text);
};

const isSlot = async ({ number, backingFile }: BlockDevice, slot: SlotIdentity | null): Promise<boolean> => {
  if (slot === null) return false;
  if (slot.device !== null) return slot.device === number;
  return backingFile !== null && (await keyOfFile(backingFile)) === slot.key;
};

const witnessRoot = async (
  { stack, says }: RootDevice,
  { slotPaths, identifySlot = identify }: LineageOptions,
): Promise<BootWitness> => {
  // A slot that is not there cannot be the one that runs.
  const identities = await Promise.all(slotNames.map((slot) => identifySlot(slot, slotPaths[slot]).catch(() => null)));
  const found = new Set<SlotName>();
  for (const device of stack) {
    for (const [index, slot] of slotNames.entries()) {
      if (await isSlot(device, identities[index] ?? null)) found.add(slot);
    }
  }
  const [slot = null] = found;
  if (found.size > 1) {
    throw new OtadError('BOOT_EVIDENCE_CONFLICT', { rootDevice: `${says}, which is both slots` });
  }
  return { name: 'root device', says: slot === null && stack.length > 0 ? `${says}, which is no slot` : says, slot };
};

const witnessTree = async ({ deviceTree }: LineageOptions): Promise<readonly BootWitness[]> => {
  if (deviceTree === undefined) return [];
  const { slot, partition } = await readTrybootEvidence(deviceTree.path, deviceTree.partitions);
  return [{ name: 'device tree', says: partition === null ? 'partition not said' : `partition ${partition}`, slot }];
};

/** Throws BOOT_EVIDENCE_MISSING and BOOT_EVIDENCE_CONFLICT. */
export const readLineage = async (options: LineageOptions): Promise<Lineage> => {
  const { commandLinePath, views = kernelViews } = options;
  const { slot, slotSaid, root, rootSaid, rootDevice } = await readArguments(commandLinePath);
  const device = await readRootDevice(rootDevice, views);
  const witnesses: readonly BootWitness[] = [
    { name: 'kernel command line', says: slotSaid, slot },
    await witnessRoot(device, options),
    ...(await witnessTree(options)),
  ];
  return {
    slot: agreedSlot(witnesses),
    root,
    // The device tree's own sentences come with its boot control.
    evidence: [
      ...tellWitnesses(witnesses.filter(({ name }) => name !== 'device tree')),
      `kernel command line: ${rootSaid}`,
    ],
    witnesses,
    rootStack: device.stack,
  };
};
