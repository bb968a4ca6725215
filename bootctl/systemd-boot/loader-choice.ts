// Which entry systemd-boot starts: its order of entries and its rules for a default. Pure; facts from the Boot Loader
// Specification ("Sorting") and from what version 257.13 does, which the device lab compares with the real loader.

import { compareVersions } from '../../agent/core/version.ts';
import { countlessId, type EntryName, entryId } from './entry-name.ts';

/** What the order of entries goes by. */
export interface LoaderEntry {
  readonly file: string;
  readonly name: EntryName;
  readonly title: string | null;
  readonly sortKey: string | null;
  readonly machineId: string | null;
  readonly version: string | null;
}

/** What the loader is told from outside the entries; patterns as they were written. */
export interface LoaderSettings {
  /** `default` in loader.conf. */
  readonly configured: string | null;
  readonly entryDefault: string | null;
  readonly oneShot: string | null;
  /** LoaderEntryLastBooted, which `@saved` stands for. */
  readonly lastBooted: string | null;
}

export const noSettings: LoaderSettings = { configured: null, entryDefault: null, oneShot: null, lastBooted: null };

const compareText = (one: string, two: string): number => (one === two ? 0 : one < two ? -1 : 1);

/** How an entry is called: up to version 257 with its counter, then, and by bootctl and Debian 13's 257.13, without. */
export type IdOf = (entry: LoaderEntry) => string;
export const idWithCounter: IdOf = ({ file }) => entryId(file);
export const idWithoutCounter: IdOf = ({ name }) => countlessId(name);

/** Negative: `one` stands before `two` in the menu. */
export const compareEntries = (one: LoaderEntry, two: LoaderEntry, idOf: IdOf = idWithoutCounter): number => {
  const isBad = (entry: LoaderEntry): number => (entry.name.counter?.left === 0 ? 1 : 0);
  const isUnsorted = (entry: LoaderEntry): number => (entry.sortKey === null ? 1 : 0);
  const steps = [() => isBad(one) - isBad(two), () => isUnsorted(one) - isUnsorted(two)];
  if (one.sortKey !== null && two.sortKey !== null) {
    const [left, right] = [one.sortKey, two.sortKey];
    steps.push(
      () => compareText(left, right),
      () => compareText(one.machineId ?? '', two.machineId ?? ''),
      () => compareVersions(two.version ?? '', one.version ?? ''),
    );
  }
  steps.push(() => compareVersions(idOf(two), idOf(one)));
  const [first, second] = [one.name.counter, two.name.counter];
  if (first !== null && second !== null) {
    steps.push(
      () => second.left - first.left,
      () => first.done - second.done,
    );
  }
  for (const step of steps) {
    const order = step();
    if (order !== 0) return order;
  }
  return 0;
};

export const sortEntries = <T extends LoaderEntry>(
  entries: readonly T[],
  idOf: IdOf = idWithoutCounter,
): readonly T[] => [...entries].sort((one, two) => compareEntries(one, two, idOf));

/** The loader's patterns: `*`, `?`, `[a-z]`, `[!a]`, and a backslash before what is meant literally. */
export const matchesPattern = (pattern: string, id: string): boolean => {
  const source = pattern
    .toLowerCase()
    .replace(/\\(.)|\*|\?|\[(!?)([^\]]+)\]|[^*?[\\]|[[\\]/gs, (piece, escaped?: string, not?: string, set?: string) => {
      if (escaped !== undefined) return escaped.replace(/[^a-z0-9]/g, '\\$&');
      if (piece === '*') return '.*';
      if (piece === '?') return '.';
      if (set !== undefined) return `[${not === '!' ? '^' : ''}${set.replace(/[\\^[]/g, '\\$&')}]`;
      return piece.replace(/[^a-z0-9]/g, '\\$&');
    });
  try {
    return new RegExp(`^${source}$`, 's').test(id);
  } catch {
    // A range that goes backwards, for one: it matches nothing.
    return false;
  }
};

/** Both forms of an id, because which one a pattern meets depends on the loader's version. */
export const matchesEntry = (pattern: string, entry: LoaderEntry): boolean =>
  matchesPattern(pattern, idWithCounter(entry)) || matchesPattern(pattern, idWithoutCounter(entry));

/** The entry that starts when nobody touches a key; null: none, and the firmware goes on with the next boot option. */
export const chooseEntry = <T extends LoaderEntry>(
  entries: readonly T[],
  settings: LoaderSettings = noSettings,
  idOf: IdOf = idWithoutCounter,
): T | null => {
  const sorted = sortEntries(entries, idOf);
  const saved = (pattern: string | null): string | null =>
    pattern?.toLowerCase() === '@saved' ? settings.lastBooted : pattern;
  for (const pattern of [settings.oneShot, saved(settings.entryDefault), saved(settings.configured)]) {
    if (pattern === null) continue;
    const found = sorted.find((entry) => matchesPattern(pattern, idOf(entry)));
    if (found !== undefined) return found;
  }
  return sorted[0] ?? null;
};
