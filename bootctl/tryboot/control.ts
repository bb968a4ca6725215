// Boot control over the Raspberry Pi firmware's tryboot. The firmware knows a default and a one-shot flag, nothing else:
// autoboot.txt holds the default, tries and roots stand in an intent beside it, and a trial needs an argument to its reboot.
// It must never let a reset without that argument start anything but the default, and never change the default before the
// slot behind it is confirmed.

import { OtadError } from '../../agent/core/errors.ts';
import type { BootControl } from '../../agent/core/ports.ts';
import { type SlotName, slotNames } from '../../agent/core/types.ts';
import { withLockFile } from '../lock-file.ts';
import {
  activate,
  type BootEvidence,
  type BootModel,
  boot,
  invalidate,
  markBad,
  markGood,
  slotState,
  statusOf,
} from '../model.ts';
import {
  deviceTreePathDefault,
  readTrybootEvidence,
  rotaPartitions,
  type SlotPartitions,
  withTrybootEvidence,
} from './device-tree.ts';
import { makeFolderOf, type TrybootFiles, trybootFiles } from './files.ts';
import { type Intent, isSameIntent } from './intent.ts';
import { checkRebootCommand, rebootArgument, rebootParamPathDefault } from './reboot-argument.ts';
import { type Recall, recall, wantedDefault } from './recall.ts';
import {
  type AutobootReading,
  type IntentPaths,
  type IntentReading,
  readAutoboot,
  readIntent,
  storeCommandLine,
  storeDefault,
  storeIntent,
} from './records.ts';

export interface TrybootOptions {
  /** autoboot.txt, on the first FAT partition. */
  readonly autobootPath: string;
  /** Two files on the data partition. */
  readonly intentPaths: IntentPaths;
  /** Where each slot's boot partition is mounted, writable: its cmdline.txt carries the verity root. */
  readonly bootFolders: Readonly<Record<SlotName, string>>;
  /** Which slot runs: facts already read, or the way to read them. The device tree must agree. */
  readonly evidence: BootEvidence | (() => Promise<BootEvidence>);
  readonly partitions?: SlotPartitions;
  readonly deviceTreePath?: string;
  /** systemd hands its first line to the kernel as the argument of the reboot. */
  readonly rebootParamPath?: string;
  /** The command that the device reboots with, to be refused where it would lose the argument. */
  readonly rebootCommand?: readonly string[];
  readonly bootIdPath?: string;
  readonly lockPath?: string;
  /** Keeps other processes and other steps out while `body` runs. Default: flock(2) on `lockPath`. */
  readonly lock?: Lock;
  /** Another way to the medium. */
  readonly files?: TrybootFiles;
}

/** Throws CANCELLED, before `body`, when the signal says so. */
export type Lock = <T>(signal: AbortSignal, body: () => Promise<T>) => Promise<T>;

export const trybootLockPath = '/run/otad/tryboot.lock';
const bootIdPathDefault = '/proc/sys/kernel/random/boot_id';

interface Loaded {
  readonly facts: BootEvidence;
  readonly bootId: string;
  readonly autoboot: AutobootReading;
  readonly copies: IntentReading;
  readonly recalled: Recall;
}

const reasonOf = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause));

/** Throws what the port names, and BOOT_ENV_BUSY, _UNREADABLE, _UNSUPPORTED, _UNWRITABLE, BOOT_EVIDENCE_CONFLICT, BOOT_COMMAND_LINE_UNSAFE. */
export const createTrybootControl = ({
  autobootPath,
  intentPaths,
  bootFolders,
  evidence,
  partitions = rotaPartitions,
  deviceTreePath = deviceTreePathDefault,
  rebootParamPath = rebootParamPathDefault,
  rebootCommand,
  bootIdPath = bootIdPathDefault,
  lockPath = trybootLockPath,
  lock = (signal, body) => withLockFile(lockPath, signal, body),
  files = trybootFiles,
}: TrybootOptions): BootControl => {
  if (rebootCommand !== undefined) checkRebootCommand(rebootCommand);

  const load = async (): Promise<Loaded> => {
    const told = typeof evidence === 'function' ? await evidence() : evidence;
    const facts = withTrybootEvidence(told, await readTrybootEvidence(deviceTreePath, partitions));
    const bootId = Buffer.from((await files.read(bootIdPath)) ?? [])
      .toString('latin1')
      .trim();
    if (bootId === '') throw new OtadError('BOOT_ENV_UNREADABLE', { path: bootIdPath, reason: 'there is no boot id' });
    const autoboot = await readAutoboot(files, autobootPath, partitions);
    const copies = await readIntent(files, intentPaths);
    const recalled = recall({ intent: copies.newest, default: autoboot.default, facts, bootId });
    return { facts, bootId, autoboot, copies, recalled };
  };

  const locked = <T>(signal: AbortSignal, body: (loaded: Loaded) => Promise<T>): Promise<T> =>
    lock(signal, async () => body(await load()));

  const saveIntent = async ({ copies }: Loaded, intent: Intent): Promise<void> => {
    if (copies.newest !== null && isSameIntent(copies.newest, intent)) return;
    for (const path of intentPaths) await makeFolderOf(path);
    await storeIntent(files, intentPaths, copies, intent);
  };

  const saveDefault = ({ autoboot }: Loaded, slot: SlotName): Promise<void> =>
    storeDefault(files, autobootPath, autoboot, slot, partitions);

  /** The default first: where the intent does not follow, it is the default that counts, and that is safe by then. */
  const save = async (loaded: Loaded, model: BootModel, slot: SlotName): Promise<void> => {
    // An argument left for a reboot that was asked for before must not start what is about to change.
    await files.remove(rebootParamPath);
    await saveDefault(loaded, slot);
    await saveIntent(loaded, {
      ...loaded.recalled.intent,
      default: slot,
      model,
      armed: null,
      seenBootId: loaded.bootId,
      outcome: null,
    });
  };

  /** A slot that gets a root has it on its command line before anything starts the slot. */
  const change = (signal: AbortSignal, edit: (model: BootModel) => BootModel): Promise<void> =>
    locked(signal, async (loaded) => {
      const { intent } = loaded.recalled;
      const model = edit(intent.model);
      for (const slot of slotNames) {
        const { verity } = model.slots[slot];
        if (verity !== intent.model.slots[slot].verity) {
          await storeCommandLine(files, bootFolders[slot], slot, verity);
        }
      }
      await save(loaded, model, wantedDefault(model, intent.default));
    });

  /** What needs writing although nobody asked for a change. Where it cannot be written, the technician is told. */
  const repair = async (loaded: Loaded): Promise<readonly string[]> => {
    const { autoboot, recalled } = loaded;
    const wanted = wantedDefault(recalled.intent.model, recalled.intent.default);
    const isLong = autoboot.autoboot === null && autoboot.lengthBytes !== null && autoboot.lengthBytes > 512;
    // A default that is none of our slots may be a technician's: that is put right before an install, not by looking.
    const isBroken = autoboot.autoboot === null && !isLong;
    const isStale = autoboot.default !== null && autoboot.default !== wanted;
    try {
      if (isBroken || isStale) await saveDefault(loaded, wanted);
      if (recalled.isNews || isStale) await saveIntent(loaded, { ...recalled.intent, default: wanted });
      return isBroken || isStale ? [`${autobootPath}: written anew, slot ${wanted} is the default`] : [];
    } catch (cause) {
      return [`boot control could not be put right: ${reasonOf(cause)}`];
    }
  };

  const arm = async (loaded: Loaded, intent: Intent): Promise<SlotName> => {
    const { recalled, bootId } = loaded;
    // Asked for once already in this boot: a reboot that is requested again takes no second try.
    if (intent.armed?.state === 'armed' && intent.armed.bootId === bootId) return intent.armed.slot;
    const next = boot(intent.model);
    const slot = next.slot ?? intent.default;
    const isCounted = next.slot !== null && next.model.slots[slot].isTrial;
    if (isCounted) await saveIntent(loaded, { ...intent, model: next.model, armed: { slot, bootId, state: 'armed' } });
    else if (recalled.isNews) await saveIntent(loaded, intent);
    return slot;
  };

  const prepare = async (loaded: Loaded): Promise<void> => {
    const { intent } = loaded.recalled;
    // First of all: whatever fails from here on, the next boot takes the default.
    await files.remove(rebootParamPath);
    const current = wantedDefault(intent.model, intent.default);
    await saveDefault(loaded, current);
    let slot: SlotName;
    try {
      slot = await arm(loaded, { ...intent, default: current });
    } catch (cause) {
      // A trial that cannot be counted must not start. Where it runs now, the way back needs no count.
      if (loaded.facts.slot !== current && slotState(intent.model, current) === 'good') return;
      throw cause;
    }
    if (slot !== current) await files.replace(rebootParamPath, Buffer.from(`${rebootArgument}\n`));
  };

  return {
    status: (signal) =>
      locked(signal, async (loaded) => {
        const { autoboot, copies, recalled, facts } = loaded;
        const repairs = await repair(loaded);
        const sentences = [...autoboot.evidence, ...copies.evidence, ...recalled.evidence, ...repairs];
        return statusOf(recalled.intent.model, facts, sentences);
      }),
    invalidate: (slot, signal) =>
      locked(signal, async (loaded) => {
        const model = invalidate(loaded.recalled.intent.model, slot, loaded.facts.slot);
        // Default = booted, durably, before anything says that the other slot may be written.
        await save(loaded, model, loaded.facts.slot);
        await storeCommandLine(files, bootFolders[slot], slot, null);
      }),
    activate: (slot, tries, verity, signal) => change(signal, (model) => activate(model, slot, tries, verity)),
    markGood: (slot, signal, running) => change(signal, (model) => markGood(model, slot, running)),
    markBad: (slot, signal) => change(signal, (model) => markBad(model, slot)),
    prepareReboot: (signal) => locked(signal, prepare),
  };
};
