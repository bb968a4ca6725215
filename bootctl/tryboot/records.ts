// Reads and writes what tryboot boot control keeps: autoboot.txt, the two copies of the intent, a slot's cmdline.txt.
// A copy of the intent that cannot be read or written never keeps the other from being used.

import { dirname, join } from 'node:path';
import { OtadError } from '../../agent/core/errors.ts';
import type { SlotName } from '../../agent/core/types.ts';
import { otherSlot, slotNames } from '../../agent/core/types.ts';
import type { SlotVerity } from '../model.ts';
import { type Autoboot, formatAutoboot, padAutoboot, parseAutoboot } from './autoboot-txt.ts';
import { checkPanic, withSlotArguments } from './command-line-file.ts';
import type { SlotPartitions } from './device-tree.ts';
import type { TrybootFiles } from './files.ts';
import { autobootBytesMax } from './firmware.ts';
import { decodeIntent, encodeIntent, type Intent, newestIntent } from './intent.ts';

export interface AutobootReading {
  /** null: there is no such file, or it is no text. */
  readonly autoboot: Autoboot | null;
  readonly lengthBytes: number | null;
  /** The slot that it starts by default; null: none of ours. */
  readonly default: SlotName | null;
  readonly evidence: readonly string[];
}

const describePartition = (partition: number | null, partitions: SlotPartitions): string => {
  const slot = slotNames.find((name) => partitions[name] === partition);
  return partition === null ? 'none' : `${partition}${slot === undefined ? ' (no slot of ours)' : ` (slot ${slot})`}`;
};

export const readAutoboot = async (
  files: TrybootFiles,
  path: string,
  partitions: SlotPartitions,
): Promise<AutobootReading> => {
  const bytes = await files.read(path);
  const autoboot = bytes === null ? null : parseAutoboot(bytes);
  if (bytes === null || autoboot === null) {
    const problem =
      bytes === null
        ? 'is missing'
        : bytes.length > autobootBytesMax
          ? `is ${bytes.length} bytes long; the firmware reads ${autobootBytesMax}`
          : 'is not readable as text';
    return {
      autoboot: null,
      lengthBytes: bytes?.length ?? null,
      default: null,
      evidence: [`${path} ${problem}: the firmware starts the first partition that it can`],
    };
  }
  const { isSwitchingPartitions, trial } = autoboot;
  return {
    autoboot,
    lengthBytes: bytes.length,
    default: slotNames.find((slot) => partitions[slot] === autoboot.default) ?? null,
    evidence: [
      `${path}: default partition ${describePartition(autoboot.default, partitions)}, trial partition ${describePartition(trial, partitions)}`,
      ...(isSwitchingPartitions ? [] : [`${path}: tryboot_a_b is not 1; the one-shot flag would look for tryboot.txt`]),
    ],
  };
};

/**
 * Makes `slot` the default and the other one the trial, in one sector written in place. A file that is not one sector yet is
 * filled up with line ends first: whichever of length and content a cut leaves, the old text is whole.
 */
export const storeDefault = async (
  files: TrybootFiles,
  path: string,
  { autoboot, lengthBytes }: AutobootReading,
  slot: SlotName,
  partitions: SlotPartitions,
): Promise<void> => {
  if (lengthBytes !== null && lengthBytes > autobootBytesMax) {
    throw new OtadError('BOOT_ENV_UNSUPPORTED', {
      path,
      reason: `it is ${lengthBytes} bytes long and the firmware reads ${autobootBytesMax}: shorten it`,
    });
  }
  const sector = formatAutoboot(autoboot?.text ?? null, {
    default: partitions[slot],
    trial: partitions[otherSlot(slot)],
  });
  if (lengthBytes === null) {
    // Without the partition it would be made in the mount point: everything would seem to work, and nothing boot.
    if (await files.isMounted(dirname(path))) return files.replace(path, sector);
    throw new OtadError('BOOT_ENV_UNREADABLE', { path, reason: 'it is missing, and nothing is mounted in its folder' });
  }
  const padded = autoboot === null ? null : padAutoboot(autoboot.text);
  if (padded !== null && autoboot?.isPadded === false) await files.overwrite(path, padded);
  if (padded === null || Buffer.compare(padded, sector) !== 0) await files.overwrite(path, sector);
};

export interface IntentReading {
  readonly copies: readonly (Intent | null)[];
  readonly newest: Intent | null;
  readonly evidence: readonly string[];
}

export type IntentPaths = readonly [string, string];

export const readIntent = async (files: TrybootFiles, paths: IntentPaths): Promise<IntentReading> => {
  const copies: (Intent | null)[] = [];
  const problems: string[] = [];
  for (const path of paths) {
    try {
      const bytes = await files.read(path);
      const copy = bytes === null ? null : decodeIntent(bytes);
      copies.push(copy);
      if (copy === null) problems.push(`intent: ${path} ${bytes === null ? 'is missing' : 'is not whole'}`);
    } catch (cause) {
      copies.push(null);
      problems.push(`intent: ${cause instanceof Error ? cause.message : String(cause)}`);
    }
  }
  return { copies, newest: newestIntent(copies), evidence: problems };
};

/** Both copies, the one that counts last. Throws BOOT_ENV_UNWRITABLE or BOOT_WRITE_LOST when not even one could be written. */
export const storeIntent = async (
  files: TrybootFiles,
  paths: IntentPaths,
  { copies, newest }: IntentReading,
  intent: Intent,
): Promise<void> => {
  const bytes = encodeIntent({ ...intent, sequence: (newest?.sequence ?? 0) + 1 });
  const isFirstNewest = newest !== null && copies[0] === newest;
  const failures: unknown[] = [];
  for (const path of isFirstNewest ? [paths[1], paths[0]] : paths) {
    await files.replace(path, bytes).catch((cause: unknown) => failures.push(cause));
  }
  if (failures.length === paths.length) throw failures[0];
};

/** The same text once more, beside it: a FAT file system may lose what it replaces. */
const backupName = 'cmdline.otad';

const readText = async (files: TrybootFiles, path: string): Promise<string | null> => {
  const bytes = await files.read(path);
  return bytes === null ? null : Buffer.from(bytes).toString('latin1');
};

/** What cmdline.txt should have been: the copy where the file is gone or was cut short, else the file, which an image may bring. */
const wholeText = (text: string | null, backup: string | null): string | null => {
  const isBackupWhole = backup !== null && /(?:^| )otad\.slot=[^\n]*\n/.test(backup);
  return isBackupWhole && backup.startsWith(text ?? '') ? backup : text;
};

/** Hands the slot's kernel its root, or takes it away (`verity` null). Writes only what differs. */
export const storeCommandLine = async (
  files: TrybootFiles,
  folder: string,
  slot: SlotName,
  verity: SlotVerity | null,
): Promise<void> => {
  const [path, backupPath] = [join(folder, 'cmdline.txt'), join(folder, backupName)];
  const [text, backup] = [await readText(files, path), await readText(files, backupPath)];
  const before = wholeText(text, backup);
  if (before === null) {
    // Nothing to start is as good as nothing that may be started.
    if (verity === null) return;
    throw new OtadError('BOOT_ENV_UNREADABLE', { slot, path, reason: 'the slot has no kernel command line' });
  }
  if (verity !== null) checkPanic(slot, before);
  const after = withSlotArguments(before, slot, verity);
  for (const [place, found] of [[backupPath, backup] as const, [path, text] as const]) {
    if (found !== after) await files.replace(place, Buffer.from(after, 'latin1'));
  }
};
