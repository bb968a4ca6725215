// Puts right what a cut, the loader or somebody else left on the ESP: several files of one slot, none, or one that otad did
// not write. It takes away only what does not count, and never starts an entry that nobody vouched for.

import { OtadError } from '../../agent/core/errors.ts';
import { otherSlot, type SlotName, slotNames } from '../../agent/core/types.ts';
import type { BootEvidence, SlotVerity } from '../model.ts';
import { parseEntryName } from './entry-name.ts';
import type { Esp } from './esp.ts';
import { compareEntries } from './loader-choice.ts';
import { entriesFolder } from './loader-entries.ts';
import { lastValue, parseLines, textOf } from './loader-file.ts';
import { decodeSlotEntry, encodeSlotEntry, type SlotEntry } from './slot-entry.ts';
import { chooseSlotFile, readSlotFile, type SlotFile, type SlotFiles } from './slot-files.ts';

/** Stems of the slots' entries: `otad-a` stands for otad-a.conf, otad-a+3.conf and so on. */
export type EntryStems = Readonly<Record<SlotName, string>>;

/** A copy of each slot's entry, outside of what the loader reads, to make a lost one from. */
export const copiesFolder = 'loader/otad';

export interface Found {
  readonly files: SlotFiles;
  /** Files with a slot's name that do not count, whole or not. */
  readonly extra: readonly string[];
}

export interface Recovery {
  readonly files: SlotFiles;
  /** What was done, or could not be, for a technician. */
  readonly sentences: readonly string[];
}

const at = (file: string): string => `${entriesFolder}/${file}`;

const bytesOf = (text: string): Uint8Array => Buffer.from(text, 'utf8');

export const findFiles = async (esp: Esp, stems: EntryStems): Promise<Found> => {
  const whole: Record<SlotName, SlotFile[]> = { a: [], b: [] };
  const all: string[] = [];
  for (const file of await esp.list(entriesFolder)) {
    const name = parseEntryName(file);
    const slot = slotNames.find((candidate) => stems[candidate].toLowerCase() === name?.stem.toLowerCase());
    if (name === null || slot === undefined || name.extension.toLowerCase() !== '.conf') continue;
    all.push(file);
    const bytes = await esp.read(at(file));
    const found = bytes === null ? null : readSlotFile(file, bytes);
    if (found !== null) whole[slot].push(found);
  }
  const files = { a: chooseSlotFile(whole.a), b: chooseSlotFile(whole.b) };
  return { files, extra: all.filter((file) => file !== files.a?.file && file !== files.b?.file) };
};

/** A slot that runs had its tries or was good: nobody knows any more, so it is on trial with one. Another one is parked. */
const rebuildEntry = (copy: SlotEntry, slot: SlotName, facts: BootEvidence, rank: number): SlotEntry => {
  if (slot !== facts.slot) return { ...copy, state: 'parked', rank: 0 };
  const verity: SlotVerity | null =
    facts.root === null || copy.verity?.rootHex === facts.root
      ? copy.verity
      : { rootHex: facts.root, hashOffsetBytes: null };
  return { ...copy, state: 'live', rank, verity };
};

const rebuild = async (
  esp: Esp,
  stems: EntryStems,
  slot: SlotName,
  facts: BootEvidence,
  others: SlotFiles,
): Promise<SlotFile> => {
  const bytes = await esp.read(`${copiesFolder}/${stems[slot]}.conf`);
  const copy = bytes === null ? null : decodeSlotEntry(textOf(bytes));
  if (copy === null) {
    throw new OtadError('BOOT_ENTRY_MISSING', {
      slot,
      entry: `${esp.path}/${at(`${stems[slot]}.conf`)}`,
      reason: `neither it nor its copy in ${copiesFolder} is whole; write the entry as the guide shows`,
    });
  }
  const entry = rebuildEntry(copy, slot, facts, (others[otherSlot(slot)]?.entry.rank ?? 0) + 1);
  const file = entry.state === 'live' ? `${stems[slot]}+1.conf` : `${stems[slot]}.conf`;
  const text = encodeSlotEntry(entry, slot);
  // Parked first: a cut in the middle of making a file must not leave a live one.
  await esp.create(at(file), bytesOf(encodeSlotEntry({ ...entry, state: 'parked' }, slot)));
  if (entry.state === 'live') await esp.overwrite(at(file), bytesOf(text));
  const found = readSlotFile(file, bytesOf(text));
  if (found === null) throw new OtadError('INTERNAL', { file });
  return found;
};

/** Entries that otad did not write get its form; the one that the loader has first keeps that place. */
const adopt = async (esp: Esp, files: SlotFiles, slot: SlotName): Promise<SlotFile | null> => {
  const found = files[slot];
  if (found === null) return null;
  const orderOf = (file: SlotFile) => {
    const lines = parseLines(file.text);
    const value = (key: string): string | null => lastValue(lines, key);
    return {
      ...file,
      title: null,
      sortKey: value('sort-key'),
      machineId: value('machine-id'),
      version: value('version'),
    };
  };
  const other = files[otherSlot(slot)];
  const isFirst = other === null || compareEntries(orderOf(found), orderOf(other)) < 0;
  const entry = found.entry.rank > 0 ? found.entry : { ...found.entry, rank: isFirst ? 2 : 1 };
  const text = encodeSlotEntry(entry, slot);
  if (text === found.text) return null;
  await esp.replace(at(found.file), bytesOf(text));
  return readSlotFile(found.file, bytesOf(text));
};

const keepCopy = async (esp: Esp, stems: EntryStems, slot: SlotName, { entry }: SlotFile): Promise<boolean> => {
  const file = `${copiesFolder}/${stems[slot]}.conf`;
  const text = encodeSlotEntry({ ...entry, state: 'parked', rank: 0 }, slot);
  const bytes = await esp.read(file);
  if (bytes !== null && textOf(bytes) === text) return false;
  await esp.replace(file, bytesOf(text));
  return true;
};

/**
 * `isStrict`: a step that fails throws, as before a change; otherwise it is said and what is there is reported. The copies
 * are kept only when not strict: they are no part of a change.
 */
export const recover = async (
  esp: Esp,
  stems: EntryStems,
  facts: BootEvidence,
  isStrict: boolean,
): Promise<Recovery> => {
  const sentences: string[] = [];
  const attempt = async <T>(what: string, step: () => Promise<T>): Promise<T | null> => {
    try {
      return await step();
    } catch (cause) {
      if (isStrict || !(cause instanceof OtadError)) throw cause;
      sentences.push(`systemd-boot: ${what}: ${cause.message}`);
      return null;
    }
  };
  const found = await findFiles(esp, stems);
  const files: Record<SlotName, SlotFile | null> = { ...found.files };
  for (const slot of slotNames) {
    // Before the rubbish goes: a file that is not whole may be in the way of the name.
    const rubbish = found.extra.filter(
      (file) => parseEntryName(file)?.stem.toLowerCase() === stems[slot].toLowerCase(),
    );
    for (const file of rubbish) {
      await attempt(`${file} cannot be removed`, async () => {
        await esp.remove(at(file));
        sentences.push(`systemd-boot: ${file} was left by a cut and is removed`);
      });
    }
    if (files[slot] === null) {
      files[slot] = await attempt(`slot ${slot} has no entry`, async () => {
        const made = await rebuild(esp, stems, slot, facts, files);
        sentences.push(`systemd-boot: the entry of slot ${slot} was lost and is made anew as ${made.file}`);
        return made;
      });
    }
  }
  const asFound = { ...files };
  for (const slot of slotNames) {
    const adopted = await attempt(`${files[slot]?.file} cannot be rewritten`, () => adopt(esp, asFound, slot));
    if (adopted !== null) {
      files[slot] = adopted;
      sentences.push(`systemd-boot: ${adopted.file} was not in the form that otad writes in place, and is now`);
    }
  }
  if (!isStrict) {
    for (const slot of slotNames) {
      const file = files[slot];
      if (file !== null) await attempt(`no copy of ${file.file} can be kept`, () => keepCopy(esp, stems, slot, file));
    }
  }
  return { files, sentences };
};
