// Puts right what a cut, the loader or somebody else left on the ESP: several files of one slot, none, or one that otad did
// not write. It takes away only what does not count, and never starts an entry that nobody vouched for.

import { OtadError } from '../../agent/core/errors.ts';
import { otherSlot, type SlotName, slotNames } from '../../agent/core/types.ts';
import type { BootEvidence, SlotVerity } from '../model.ts';
import { type EntryName, formatEntryName, parseEntryName } from './entry-name.ts';
import type { Esp } from './esp.ts';
import { compareEntries, type LoaderEntry } from './loader-choice.ts';
import { entriesFolder } from './loader-entries.ts';
import { lastValue, parseLines, textOf } from './loader-file.ts';
import { decodeSlotEntry, encodeSlotEntry, type SlotEntry } from './slot-entry.ts';
import {
  chooseSlotFile,
  type EntryWrite,
  planRemoval,
  readSlotFile,
  type SlotFile,
  type SlotFiles,
} from './slot-files.ts';

/** Stems of the slots' entries: `otad-a` stands for otad-a.conf, otad-a+3.conf and so on. */
export type EntryStems = Readonly<Record<SlotName, string>>;

/** A copy of each slot's entry, outside of what the loader reads, to make a lost one from. */
export const copiesFolder = 'loader/otad';

/**
 * What fsck.fat makes in the root of clusters that a cut left without a name, a kernel as a rule. Nobody else takes them away, and
 * a few of them leave no room for the boot files of a release.
 */
const salvaged = /^FSCK[0-9]{4}\.REC$/i;

/** An entry on the way from another form to ours. */
const standInSuffix = '.new';

const isStandInOf = (stem: string, found: string): boolean =>
  found.toLowerCase() === `${stem}${standInSuffix}`.toLowerCase();

const isEntryOf = (stem: string, name: EntryName | null): boolean =>
  name !== null && (name.stem.toLowerCase() === stem.toLowerCase() || isStandInOf(stem, name.stem));

export interface Found {
  readonly files: SlotFiles;
  /** Whole ones of a slot that do not count. */
  readonly spare: Readonly<Record<SlotName, readonly SlotFile[]>>;
  /** Files with a slot's name that are not whole. */
  readonly broken: Readonly<Record<SlotName, readonly string[]>>;
}

export interface Recovery {
  readonly files: SlotFiles;
  /** What was done, or could not be, for a technician. */
  readonly sentences: readonly string[];
}

const at = (file: string): string => `${entriesFolder}/${file}`;

const bytesOf = (text: string): Uint8Array => Buffer.from(text, 'utf8');

export const writeEntry = async (esp: Esp, step: EntryWrite): Promise<void> => {
  switch (step.kind) {
    case 'create':
      return esp.create(at(step.file), bytesOf(step.text));
    case 'overwrite':
      return esp.overwrite(at(step.file), bytesOf(step.text));
    case 'remove':
      return esp.remove(at(step.file));
  }
};

export const findFiles = async (esp: Esp, stems: EntryStems): Promise<Found> => {
  const whole: Record<SlotName, SlotFile[]> = { a: [], b: [] };
  const broken: Record<SlotName, string[]> = { a: [], b: [] };
  for (const file of await esp.list(entriesFolder)) {
    const name = parseEntryName(file);
    const slot = slotNames.find((candidate) => isEntryOf(stems[candidate], name));
    if (slot === undefined || name?.extension.toLowerCase() !== '.conf') continue;
    const bytes = await esp.read(at(file));
    const found = bytes === null ? null : readSlotFile(file, bytes);
    if (found === null) broken[slot].push(file);
    else whole[slot].push(found);
  }
  const files = { a: chooseSlotFile(whole.a), b: chooseSlotFile(whole.b) };
  const spareOf = (slot: SlotName) => whole[slot].filter((found) => found !== files[slot]);
  return { files, spare: { a: spareOf('a'), b: spareOf('b') }, broken };
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

/** Parked first: a cut in the middle of making a file must not leave a live one. */
const create = async (esp: Esp, file: string, entry: SlotEntry, slot: SlotName): Promise<string> => {
  const text = encodeSlotEntry(entry, slot);
  await writeEntry(esp, { kind: 'create', file, text: encodeSlotEntry({ ...entry, state: 'parked' }, slot) });
  if (entry.state !== 'parked') await writeEntry(esp, { kind: 'overwrite', file, text });
  return text;
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
  const found = readSlotFile(file, bytesOf(await create(esp, file, entry, slot)));
  if (found === null) throw new OtadError('INTERNAL', { file });
  return found;
};

/** A whole new file under another name, then the old one goes. */
const move = async (esp: Esp, from: SlotFile, name: EntryName, entry: SlotEntry, slot: SlotName): Promise<SlotFile> => {
  const file = formatEntryName(name);
  const text = await create(esp, file, entry, slot);
  for (const step of planRemoval(from, slot)) await writeEntry(esp, step);
  return { file, name, entry, text };
};

const orderOf = (file: SlotFile): LoaderEntry => {
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

/**
 * An entry that otad did not write gets its form; the one that the loader has first keeps that place. Its length changes, so
 * it cannot be written in place, and it may be the only one that starts: it goes by way of a name of its own.
 */
const adopt = async (esp: Esp, stems: EntryStems, files: SlotFiles, slot: SlotName): Promise<SlotFile | null> => {
  const found = files[slot];
  if (found === null) return null;
  const other = files[otherSlot(slot)];
  const isFirst = other === null || compareEntries(orderOf(found), orderOf(other)) < 0;
  const entry = found.entry.rank > 0 ? found.entry : { ...found.entry, rank: isFirst ? 2 : 1 };
  const name = { ...found.name, stem: stems[slot] };
  const isStandIn = isStandInOf(stems[slot], found.name.stem);
  if (!isStandIn && encodeSlotEntry(entry, slot) === found.text) return null;
  const standIn = isStandIn
    ? found
    : await move(esp, found, { ...name, stem: `${stems[slot]}${standInSuffix}` }, entry, slot);
  return move(esp, standIn, name, entry, slot);
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
    const removals = [
      ...found.spare[slot].map((spare) => planRemoval(spare, slot)),
      ...found.broken[slot].map((file) => [{ kind: 'remove', file } as const]),
    ];
    for (const steps of removals) {
      const file = steps[0]?.file;
      await attempt(`${file} cannot be removed`, async () => {
        for (const step of steps) await writeEntry(esp, step);
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
  for (const file of await esp.list('')) {
    if (!salvaged.test(file)) continue;
    await attempt(`${file} cannot be removed`, async () => {
      await esp.remove(file);
      sentences.push(`systemd-boot: ${file}, which a check of the file system made, is removed`);
    });
  }
  const asFound = { ...files };
  for (const slot of slotNames) {
    const adopted = await attempt(`${files[slot]?.file} cannot be rewritten`, () => adopt(esp, stems, asFound, slot));
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
