// Boot control over a U-Boot environment. Every change is one write of the copy that does not count, under the lock of
// fw_setenv, read back from the medium; a cut leaves the old environment or the new one.
// It must never store an environment without the variables that the board itself boots by.

import { OtadError } from '../../agent/core/errors.ts';
import type { BootControl } from '../../agent/core/ports.ts';
import type { SlotName } from '../../agent/core/types.ts';
import { fwLockPath, withLockFile } from '../lock-file.ts';
import {
  activate,
  type BootEvidence,
  type BootModel,
  invalidate,
  markBad,
  markGood,
  restoreTries,
  statusOf,
} from '../model.ts';
import {
  type CopyIndex,
  chooseByFlag,
  chooseBySequence,
  type EnvCopy,
  nextCopy,
  sequenceName,
  type Variables,
} from './environment.ts';
import type { FwEnvConfig } from './fw-env-config.ts';
import { type CopyReading, readCopies, writeCopy } from './medium.ts';
import { type MenderParts, readModel, withModel } from './mender.ts';
import { decodeModel, describeOthers, lostVariables } from './variables.ts';

export interface UbootOptions {
  readonly config: FwEnvConfig;
  /** Which slot runs: facts already read, or the way to read them. */
  readonly evidence: BootEvidence | (() => Promise<BootEvidence>);
  /** Default: the lock file of fw_setenv. */
  readonly lockPath?: string;
  /** How long another program may hold the lock, in milliseconds. */
  readonly lockWaitMs?: number;
  /**
   * The board's compiled-in environment (/etc/u-boot-initial-env), to start from when both copies are corrupt. Without
   * it nothing is written then, since an environment without the board's `bootcmd` would not boot at all.
   */
  readonly initial?: Variables;
  /** Partition numbers of the slots, which is how Mender's boot script names them. */
  readonly partitions?: () => Promise<MenderParts>;
}

/** The environment as it stands on the medium. */
interface Loaded {
  readonly readings: readonly CopyReading[];
  readonly copies: readonly (EnvCopy | null)[];
  /** The copy written last; null: none holds variables. */
  readonly current: CopyIndex | null;
  /** The copy that U-Boot would use. Another one than `current` after a flipped bit in a flag, or when it is empty. */
  readonly bootloaders: CopyIndex | null;
}

const load = async (config: FwEnvConfig): Promise<Loaded> => {
  const readings = await readCopies(config);
  const copies = readings.map(({ copy }) => copy);
  return { readings, copies, current: chooseBySequence(copies), bootloaders: chooseByFlag(copies) };
};

const variablesOf = ({ copies }: Loaded, index: CopyIndex | null): Variables | null =>
  index === null ? null : (copies[index]?.variables ?? null);

const isSame = (one: Variables, two: Variables): boolean =>
  one.size === two.size && [...one].every(([name, value]) => two.get(name) === value);

/** Why what U-Boot would do, or soon might, is not what the newest copy says. Empty: nothing to put right. */
const misalignments = ({ copies, current, bootloaders }: Loaded): readonly string[] => {
  if (current === null || bootloaders === null) return [];
  const [one = null, two = null] = copies;
  if (copies[bootloaders]?.fault === 'empty') return ['a copy without any variable counts'];
  if (current !== bootloaders) return ['the flag byte made a stale copy count'];
  if (copies[current]?.fault === 'nameless') return ['a value without a name makes U-Boot refuse all of it'];
  // As long as the sequences are equal a flipped flag bit could undo the newer of the two.
  const isHandWritten =
    one?.sequence != null && one.sequence === two?.sequence && !isSame(one.variables, two.variables);
  return isHandWritten ? ['fw_setenv or the boot script wrote it without raising the sequence'] : [];
};

/** One write, after which U-Boot's choice and ours are the copy just written. */
const store = async (config: FwEnvConfig, loaded: Loaded, variables: Variables): Promise<Loaded> => {
  const next = nextCopy(loaded.copies, loaded.current, variables);
  await writeCopy(config, next.index, next.variables, next.flag);
  const after = await load(config);
  if (after.bootloaders !== next.index || after.current !== next.index) {
    throw new OtadError('BOOT_WRITE_LOST', { copy: next.index + 1, reason: 'the other copy still counts' });
  }
  return after;
};

const describe = (config: FwEnvConfig, loaded: Loaded): readonly string[] => {
  const place = (index: number): string => {
    const location = config.copies[index];
    return `copy ${index + 1} of ${config.copies.length} (${location?.path} at ${location?.offsetBytes})`;
  };
  const problems = loaded.readings.flatMap(({ problem }, index) =>
    problem === null ? [] : [`U-Boot environment: ${place(index)} is not usable: ${problem}`],
  );
  if (loaded.current === null) {
    return [
      ...problems,
      'U-Boot environment: no copy is valid and holds variables; the bootloader goes by its compiled-in defaults',
    ];
  }
  const { flag, sequence } = loaded.copies[loaded.current] ?? { flag: null, sequence: null };
  return [
    `U-Boot environment: ${place(loaded.current)}, flag ${flag ?? 'none'}, ${sequenceName} ${sequence?.toString(16) ?? 'none'}`,
    ...problems,
    ...describeOthers(variablesOf(loaded, loaded.current) ?? new Map()),
  ];
};

/** What is remembered of repairs, for the status: enough for a life between two starts of the agent. */
const repairsMax = 8;

/** Throws what the port names, and BOOT_ENV_BUSY, BOOT_ENV_UNREADABLE, BOOT_ENV_UNSUPPORTED, BOOT_ENV_UNWRITABLE. */
export const createUbootControl = ({
  config,
  evidence,
  lockPath = fwLockPath,
  lockWaitMs = 10_000,
  initial,
  partitions = async () => ({ a: null, b: null }),
}: UbootOptions): BootControl => {
  const repairs: string[] = [];
  const readEvidence = async (): Promise<BootEvidence> => (typeof evidence === 'function' ? evidence() : evidence);

  const locked = <T>(signal: AbortSignal, body: () => Promise<T>): Promise<T> =>
    withLockFile(lockPath, signal, body, lockWaitMs);

  const change = (signal: AbortSignal, edit: (model: BootModel) => BootModel): Promise<void> =>
    locked(signal, async () => {
      const loaded = await load(config);
      const before = variablesOf(loaded, loaded.current) ?? initial;
      if (before === undefined) {
        edit(decodeModel(lostVariables));
        throw new OtadError('BOOT_ENV_UNREADABLE', {
          file: config.file,
          reason: 'no copy is valid and there is no initial environment to start from; a reboot makes a new one',
        });
      }
      const known = await partitions();
      const after = withModel(before, edit(readModel(before, known)), known);
      // A repeated step costs no write; but a copy that U-Boot would not choose is not yet the truth.
      const isTruth = loaded.current !== null && misalignments(loaded).length === 0 && before.has(sequenceName);
      if (isTruth && isSame(after, before)) return;
      await store(config, loaded, after);
    });

  /**
   * Puts right what a flipped flag bit did, and gives the running slot its tries back. Where that cannot be written,
   * what U-Boot would do is what is reported.
   */
  const reconcile = async (loaded: Loaded, booted: SlotName): Promise<readonly [BootModel, readonly string[]]> => {
    const variables = variablesOf(loaded, loaded.current);
    if (variables === null) return [decodeModel(initial ?? lostVariables), describe(config, loaded)];
    const known = await partitions();
    const model = readModel(variables, known);
    const restored = restoreTries(model, booted);
    const reasons = [
      ...misalignments(loaded),
      ...(restored === model ? [] : [`slot ${booted} runs and had lost tries`]),
    ].map((reason) => `U-Boot environment: ${reason}`);
    if (reasons.length === 0) return [model, [...describe(config, loaded), ...repairs]];
    try {
      // Unchanged but for the sequence, when only the copies are to be put right: a count of Mender's must not be lost.
      const content = restored === model ? variables : withModel(variables, restored, known);
      const repaired = await store(config, loaded, content);
      repairs.push(...reasons.map((reason) => `${reason}; put right`));
      repairs.splice(0, repairs.length - repairsMax);
      return [restored, [...describe(config, repaired), ...repairs]];
    } catch (cause) {
      const failure = cause instanceof Error ? cause.message : String(cause);
      const actual = readModel(variablesOf(loaded, loaded.bootloaders) ?? variables, known);
      return [actual, [...reasons.map((reason) => `${reason}; it cannot be put right: ${failure}`), ...repairs]];
    }
  };

  return {
    status: async (signal) => {
      const facts = await readEvidence();
      return locked(signal, async () => {
        const [model, sentences] = await reconcile(await load(config), facts.slot);
        return statusOf(model, facts, sentences);
      });
    },
    invalidate: async (slot, signal) => {
      const { slot: booted } = await readEvidence();
      await change(signal, (model) => invalidate(model, slot, booted));
    },
    activate: (slot, tries, verity, signal) => change(signal, (model) => activate(model, slot, tries, verity)),
    markGood: (slot, signal, running) => change(signal, (model) => markGood(model, slot, running)),
    markBad: (slot, signal) => change(signal, (model) => markBad(model, slot)),
    prepareReboot: async () => {},
  };
};
