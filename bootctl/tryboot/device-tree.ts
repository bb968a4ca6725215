// What the firmware says of the boot that it did: /proc/device-tree/chosen/bootloader. Only reads.
// github.com/raspberrypi/documentation, configuration/device-tree.adoc, 'Common bootloader properties': 32-bit integers,
// which the device tree stores big-endian.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { OtadError } from '../../agent/core/errors.ts';
import { type SlotName, slotNames } from '../../agent/core/types.ts';
import type { BootEvidence } from '../model.ts';

/** The partition number of each slot's boot partition. */
export type SlotPartitions = Readonly<Record<SlotName, number>>;

/** As rpi-image-gen's image-rota lays them out: bootconfig is 1. */
export const rotaPartitions: SlotPartitions = { a: 2, b: 3 };

export const deviceTreePathDefault = '/proc/device-tree/chosen/bootloader';

export interface TrybootEvidence {
  /** null: the firmware does not say, as EEPROM releases before May 2024 do on a Pi 5 (rpi-eeprom issue 575). */
  readonly slot: SlotName | null;
  readonly partition: number | null;
  /** The one-shot flag was set; null: not said. */
  readonly isTryboot: boolean | null;
  /** A digit of BOOT_ORDER: 1 SD card or eMMC, 4 USB, 6 NVMe. */
  readonly bootMode: number | null;
  /** Sentences for a technician. */
  readonly evidence: readonly string[];
}

/** null unless it is one 32-bit integer. */
export const parseProperty = (bytes: Uint8Array): number | null =>
  bytes.length === 4 ? Buffer.from(bytes).readUInt32BE(0) : null;

const readProperty = async (folder: string, name: string): Promise<number | null> => {
  try {
    return parseProperty(await readFile(join(folder, name)));
  } catch {
    return null;
  }
};

const bootModeNames: Readonly<Record<number, string>> = { 1: 'SD card or eMMC', 2: 'network', 4: 'USB', 6: 'NVMe' };

/** Throws BOOT_EVIDENCE_CONFLICT for a partition that belongs to no slot: the configured ones are not those of this disk. */
export const readTrybootEvidence = async (
  folder: string = deviceTreePathDefault,
  partitions: SlotPartitions = rotaPartitions,
): Promise<TrybootEvidence> => {
  const partition = await readProperty(folder, 'partition');
  const flag = await readProperty(folder, 'tryboot');
  const bootMode = await readProperty(folder, 'boot-mode');
  const slot = slotNames.find((name) => partitions[name] === partition) ?? null;
  // 0 is 'the default partition': it names none.
  if (slot === null && partition !== null && partition !== 0) {
    throw new OtadError('BOOT_EVIDENCE_CONFLICT', {
      deviceTree: `partition ${partition}`,
      configured: `partition ${partitions.a} for slot a, ${partitions.b} for slot b`,
    });
  }
  const say = (name: string, value: number | null, meaning: string): string =>
    `device tree: ${name} ${value ?? 'not said'}${value === null ? '' : meaning}`;
  return {
    slot,
    partition,
    isTryboot: flag === null ? null : flag === 1,
    bootMode,
    evidence: [
      say('partition', partition, slot === null ? '' : ` (slot ${slot})`),
      say('tryboot', flag, flag === 1 ? ' (started by the one-shot flag)' : ' (started by default)'),
      say('boot-mode', bootMode, ` (${bootModeNames[bootMode ?? 0] ?? 'another medium'})`),
    ],
  };
};

/** Both facts as one. Throws BOOT_EVIDENCE_CONFLICT, naming both, where they contradict each other. */
export const withTrybootEvidence = (facts: BootEvidence, tree: TrybootEvidence): BootEvidence => {
  if (tree.slot !== null && tree.slot !== facts.slot) {
    throw new OtadError('BOOT_EVIDENCE_CONFLICT', {
      kernelCommandLine: `slot ${facts.slot}`,
      deviceTree: `partition ${tree.partition}, which is slot ${tree.slot}`,
    });
  }
  // The facts may have asked the device tree themselves.
  return { ...facts, evidence: [...new Set([...facts.evidence, ...tree.evidence])] };
};
