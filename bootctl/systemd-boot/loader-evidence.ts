// What the loader did at the last boot and would do at the next one, beside the slots' own entries: its variables, a default
// that somebody pinned, entries of others. Sentences for a technician, and a refusal where a change would have no effect.

import { OtadError } from '../../agent/core/errors.ts';
import { type SlotName, slotNames } from '../../agent/core/types.ts';
import type { EfiVariables } from './efi-variables.ts';
import { parseEntryName } from './entry-name.ts';
import type { Esp } from './esp.ts';
import { chooseEntry, compareEntries, type LoaderEntry, matchesEntry, noSettings } from './loader-choice.ts';
import { type ListedEntry, listEntries, readSettings } from './loader-entries.ts';
import type { EntryStems } from './recovery.ts';
import type { SlotFiles } from './slot-files.ts';

const isOf = (stem: string, entry: LoaderEntry): boolean => entry.name.stem.toLowerCase() === stem.toLowerCase();

/** The names that a slot's entry goes through; the one without counter last. */
const formsOf = (stem: string): readonly LoaderEntry[] =>
  [`${stem}+3.conf`, `${stem}+1-2.conf`, `${stem}.conf`].flatMap((file) => {
    const name = parseEntryName(file);
    return name === null ? [] : [{ file, name, title: null, sortKey: 'otad-0', machineId: null, version: null }];
  });

/** An entry that the loader would start instead of the one that stands first among the slots; null: there is none. */
const findRival = (
  entries: readonly ListedEntry[],
  pattern: string | null,
  stem: string,
  stems: EntryStems,
): ListedEntry | null => {
  const forms = formsOf(stem);
  const rivals = entries.filter((entry) => !isOf(stem, entry) && (pattern === null || matchesEntry(pattern, entry)));
  const isMet = pattern === null || forms.every((form) => matchesEntry(pattern, form));
  const isOurs = (entry: ListedEntry): boolean => slotNames.some((slot) => isOf(stems[slot], entry));
  return (
    rivals.find((entry) => !isMet || (!isOurs(entry) && forms.some((form) => compareEntries(entry, form) < 0))) ?? null
  );
};

/** Throws BOOT_CHOICE_PINNED when the loader would not go by the order of the slots, so that a change would have no effect. */
export const checkChoice = async (
  esp: Esp,
  variables: EfiVariables,
  stem: string,
  stems: EntryStems,
): Promise<void> => {
  const entries = await listEntries(esp);
  const { entryDefault, configured, lastBooted } = await readSettings(esp, variables);
  const places = [
    { pattern: entryDefault, what: 'the variable LoaderEntryDefault', remedy: "bootctl set-default ''" },
    { pattern: configured, what: 'default in loader/loader.conf', remedy: 'take that line out' },
    { pattern: null, what: 'the order of the entries', remedy: 'give the other entry a sort-key after otad-' },
  ];
  for (const { pattern, what, remedy } of places) {
    const meant = pattern?.toLowerCase() === '@saved' ? lastBooted : pattern;
    if (pattern !== null && (meant === null || !entries.some((entry) => matchesEntry(meant, entry)))) continue;
    const rival = findRival(entries, meant, stem, stems);
    if (rival !== null) {
      throw new OtadError('BOOT_CHOICE_PINNED', {
        wanted: stem,
        starts: rival.file,
        because: what,
        value: pattern,
        remedy,
      });
    }
    // The first pattern that meets an entry decides.
    if (pattern !== null) return;
  }
};

const describeCount = (found: string, countPath: string | null): readonly string[] => {
  const counted = countPath?.replaceAll('\\', '/').split('/').at(-1) ?? null;
  if (counted === found) return [];
  return [
    counted === null
      ? `systemd-boot did not count this boot of ${found}: it could not rename the entry (is the partition write-protected?)`
      : `systemd-boot counted this boot as ${counted}; the entry is ${found} now`,
  ];
};

/** Without variables (another firmware, a container) there is nothing to say. */
export const describeLoader = async (
  esp: Esp,
  variables: EfiVariables,
  stems: EntryStems,
  files: SlotFiles,
  booted: SlotName,
): Promise<readonly string[]> => {
  const settings = await readSettings(esp, variables);
  const info = await variables.read('LoaderInfo');
  const selected = (await variables.read('LoaderEntrySelected'))?.toLowerCase() ?? null;
  const sentences = info === null ? [] : [`loader: ${info}, started ${selected ?? 'an entry that it does not name'}`];
  const stemOf = parseEntryName(selected ?? '')?.stem ?? selected;
  if (selected !== null && stemOf !== stems[booted].toLowerCase()) {
    sentences.push(
      `the loader says that it started ${selected}, the kernel that it runs slot ${booted}: the kernel is believed`,
    );
  }
  const file = files[booted];
  if (info !== null && file?.name.counter != null) {
    sentences.push(...describeCount(file.file, await variables.read('LoaderBootCountPath')));
  }
  const pinned = [
    ['LoaderEntryOneShot', settings.oneShot],
    ['LoaderEntryDefault', settings.entryDefault],
    ['default in loader.conf', settings.configured],
  ].flatMap(([what, value]) => (value == null ? [] : [`${what} is ${value}`]));
  sentences.push(...pinned);
  const entries = await listEntries(esp);
  const next = chooseEntry(entries, settings) ?? chooseEntry(entries, noSettings);
  if (next !== null && !slotNames.some((slot) => isOf(stems[slot], next))) {
    sentences.push(`the loader would start ${next.folder}/${next.file} next, which is no slot's entry`);
  }
  return sentences;
};
