// Boot control over systemd-boot: one Type #1 entry a slot, whose name carries the counter and whose first sector carries
// the order and the verity root. Each change takes effect with one write in place; no file is ever renamed under the loader.
// It must never take away an entry without another one of that slot being there, nor start one that it did not verify.

import { OtadError } from '../../agent/core/errors.ts';
import type { BootControl } from '../../agent/core/ports.ts';
import { type BootStatus, type SlotName, slotNames } from '../../agent/core/types.ts';
import { activate, type BootEvidence, type BootModel, invalidate, markBad, markGood, statusOf } from '../model.ts';
import { bootBySystemdBoot } from './boot-rule.ts';
import { efivarsPathDefault, openEfiVariables } from './efi-variables.ts';
import { type Esp, openEsp } from './esp.ts';
import { checkEsp, type PartUuidOf, readPartUuid } from './esp-identity.ts';
import { entriesFolder } from './loader-entries.ts';
import { checkChoice, describeLoader } from './loader-evidence.ts';
import { type EntryStems, findFiles, recover, writeEntry } from './recovery.ts';
import { decodeModel, type EntryWrite, planSlot, type SlotFiles } from './slot-files.ts';
import { checkUki, withUkiVerity } from './uki.ts';

export interface SystemdBootOptions {
  /** Where the EFI system partition is mounted. */
  readonly espPath: string;
  /** Which slot runs: facts already read, or the way to read them. */
  readonly evidence: BootEvidence | (() => Promise<BootEvidence>);
  /** Names of the slots' entries without counter and `.conf`; default `otad-a` and `otad-b`. */
  readonly entries?: EntryStems;
  /** Default: where Linux mounts efivarfs. A folder that is missing has no variables. */
  readonly efivarsPath?: string;
  /** PARTUUID of what is mounted at a path; default: by /sys and /dev/disk. null: unknown. */
  readonly partUuidOf?: PartUuidOf;
  /** False: who carries the reboot out removes a one-shot choice that is left over. Default: true. */
  readonly takesBackOneShot?: boolean;
  /** For tests: puts cuts between the writes. */
  readonly esp?: Esp;
}

export const entryStemsDefault: EntryStems = { a: 'otad-a', b: 'otad-b' };

/** A full disk has no room for a second file: then, and only then, the one there is gets the new name. */
const writeAll = async (esp: Esp, steps: readonly EntryWrite[], current: string): Promise<void> => {
  const [first, second] = steps;
  try {
    if (first !== undefined) await writeEntry(esp, first);
  } catch (cause) {
    if (!(cause instanceof OtadError) || cause.code !== 'DISK_FULL' || first?.kind !== 'create') throw cause;
    await esp.rename(`${entriesFolder}/${current}`, `${entriesFolder}/${first.file}`);
    if (second !== undefined) await writeEntry(esp, second);
    return;
  }
  for (const step of steps.slice(1)) await writeEntry(esp, step);
};

/** The slot stands as it was meant to, and what boots next is what was meant to. */
const saysSame = (one: BootModel, two: BootModel, slot: SlotName): boolean => {
  const facts = (model: BootModel) => {
    const { triesLeft, isTrial, verity } = model.slots[slot];
    return [triesLeft, isTrial, verity?.rootHex ?? null, bootBySystemdBoot(model).slot].join(' ');
  };
  return facts(one) === facts(two);
};

const describeFiles = (files: SlotFiles): readonly string[] =>
  slotNames.map((slot) => {
    const found = files[slot];
    if (found === null) return `systemd-boot: slot ${slot} has no entry`;
    const { counter } = found.name;
    const counted = counter === null ? 'not counted' : `${counter.left} tries left, ${counter.done} done`;
    return `systemd-boot: slot ${slot} is ${found.file} (${found.entry.state}, ${counted}, rank ${found.entry.rank})`;
  });

/**
 * Throws what the port names, and BOOT_ESP_UNUSABLE, BOOT_ENTRY_MISSING, BOOT_CHOICE_PINNED, BOOT_ENV_UNREADABLE,
 * BOOT_ENV_UNWRITABLE, DISK_FULL. One change at a time; a second one waits.
 */
export const createSystemdBootControl = ({
  espPath,
  evidence,
  entries: stems = entryStemsDefault,
  efivarsPath = efivarsPathDefault,
  partUuidOf = readPartUuid,
  takesBackOneShot = true,
  esp = openEsp(espPath),
}: SystemdBootOptions): BootControl => {
  const variables = openEfiVariables(efivarsPath);
  let queue: Promise<unknown> = Promise.resolve();

  const inTurn = <T>(signal: AbortSignal, body: (facts: BootEvidence) => Promise<T>): Promise<T> => {
    const turn = queue.then(async () => {
      if (signal.aborted) throw new OtadError('CANCELLED');
      const facts = typeof evidence === 'function' ? await evidence() : evidence;
      await checkEsp(esp, variables, partUuidOf);
      return body(facts);
    });
    queue = turn.catch(() => undefined);
    return turn;
  };

  const modelOf = async (files: SlotFiles): Promise<BootModel> => withUkiVerity(esp, files, decodeModel(files));

  const change = (
    slot: SlotName,
    signal: AbortSignal,
    edit: (model: BootModel, booted: SlotName) => BootModel,
    isFlip = true,
  ): Promise<void> =>
    inTurn(signal, async (facts) => {
      const { files } = await recover(esp, stems, facts, true);
      const before = await modelOf(files);
      const wanted = edit(before, facts.slot);
      const current = files[slot];
      if (current === null) throw new OtadError('BOOT_ENTRY_MISSING', { slot });
      const isLive = wanted.order.includes(slot);
      if (isLive) await checkUki(esp, slot, current, wanted.slots[slot].verity);
      const expected = bootBySystemdBoot(wanted).slot;
      if (isFlip && expected !== null) await checkChoice(esp, variables, stems[expected], stems);
      const steps = planSlot(files, slot, current, wanted);
      if (steps.length === 0) return;
      await writeAll(esp, steps, current.file);
      const after = await modelOf((await findFiles(esp, stems)).files);
      if (!saysSame(after, wanted, slot)) {
        throw new OtadError('BOOT_WRITE_LOST', { slot, path: `${espPath}/${entriesFolder}` });
      }
    });

  const status = (signal: AbortSignal): Promise<BootStatus> =>
    inTurn(signal, async (facts) => {
      const { files, sentences } = await recover(esp, stems, facts, false);
      const model = await modelOf(files);
      const seen = await describeLoader(esp, variables, stems, files, facts.slot);
      return statusOf(model, facts, [...describeFiles(files), ...sentences, ...seen], bootBySystemdBoot);
    });

  return {
    status,
    invalidate: (slot, signal) => change(slot, signal, (model, booted) => invalidate(model, slot, booted), false),
    activate: (slot, tries, verity, signal) => change(slot, signal, (model) => activate(model, slot, tries, verity)),
    markGood: (slot, signal, running) => change(slot, signal, (model) => markGood(model, slot, running)),
    markBad: (slot, signal) => change(slot, signal, (model) => markBad(model, slot)),
    prepareReboot: (signal) =>
      inTurn(signal, async () => {
        const oneShot = await variables.read('LoaderEntryOneShot');
        // Somebody's choice for one boot, left from before the flip, would take the place of the primary.
        if (oneShot !== null && takesBackOneShot) await variables.remove('LoaderEntryOneShot');
      }),
  };
};
