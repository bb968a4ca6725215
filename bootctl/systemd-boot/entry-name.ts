// File names of boot loader entries: STEM[+LEFT[-DONE]].conf or .efi (Boot Loader Specification, boot counting). Pure.
// What is no counter to the loader is none here either: then it is part of the stem, and nothing is counted.

export interface EntryCounter {
  readonly left: number;
  readonly done: number;
  /** Digits that each number is written with; 0 for `done`: it is not written. */
  readonly leftDigits: number;
  readonly doneDigits: number;
}

export interface EntryName {
  readonly stem: string;
  /** null: not counted. */
  readonly counter: EntryCounter | null;
  /** `.conf` or `.efi`, as written. */
  readonly extension: string;
}

/** The loader keeps counters in a signed 32-bit number; what does not fit there is no counter. */
const counterMax = 0x7fff_ffff;

/** null: the loader ignores a file of this name. */
export const parseEntryName = (file: string): EntryName | null => {
  const match = /^(?!\.)(.+?)(\.(?:conf|efi))$/is.exec(file);
  if (match === null || /^auto-/i.test(file)) return null;
  const [, bare = '', extension = ''] = match;
  const counted = /^(.*)\+([0-9]{1,15})(?:-([0-9]{1,15}))?$/s.exec(bare);
  if (counted === null) return { stem: bare, counter: null, extension };
  const [, stem = '', left = '', done = ''] = counted;
  if (Number(left) > counterMax || Number(done) > counterMax) return { stem: bare, counter: null, extension };
  return {
    stem,
    counter: { left: Number(left), done: Number(done), leftDigits: left.length, doneDigits: done.length },
    extension,
  };
};

export const formatEntryName = ({ stem, counter, extension }: EntryName): string => {
  if (counter === null) return `${stem}${extension}`;
  const left = String(counter.left).padStart(counter.leftDigits, '0');
  const done = counter.doneDigits === 0 ? '' : `-${String(counter.done).padStart(counter.doneDigits, '0')}`;
  return `${stem}+${left}${done}${extension}`;
};

/** The name that the loader gives a file as it takes a try; it writes the numbers without padding. */
export const nextEntryName = (name: EntryName): EntryName => {
  if (name.counter === null) return name;
  const left = Math.max(0, name.counter.left - 1);
  const done = Math.min(counterMax, name.counter.done + 1);
  return { ...name, counter: { left, done, leftDigits: 1, doneDigits: 1 } };
};

/** What older loaders call the entry: the file name in lower case. */
export const entryId = (file: string): string => file.toLowerCase();

/** What newer ones call it (258, and 257.13 of Debian 13): the same without the counter. */
export const countlessId = (name: EntryName): string => `${name.stem}${name.extension}`.toLowerCase();
