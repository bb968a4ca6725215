// The text of a slot's Type #1 entry as otad writes it, and back. Pure.
// The three lines that ever change stand first and have a fixed width, so that they lie in the file's first sector and every
// flip is a write in place: one byte parks an entry or makes it bad, a few digits move it to the front.

import type { SlotName } from '../../agent/core/types.ts';
import type { SlotVerity } from '../model.ts';
import { loaderFileBytesMax, parseLines } from './loader-file.ts';

/**
 * live: the loader may start it. bad: it starts it when nothing better is left. parked: nothing in the file can be started,
 * so the loader does not see an entry at all.
 */
export type SlotEntryState = 'live' | 'bad' | 'parked';
export type BootKey = 'linux' | 'efi' | 'uki';

export interface SlotEntry {
  readonly state: SlotEntryState;
  /** The higher one stands first in the loader's order; 0: the entry says nothing about it. */
  readonly rank: number;
  readonly boot: { readonly key: BootKey; readonly path: string };
  /** As the entry carries it, for parked ones as well, where it vouches for nothing. */
  readonly verity: SlotVerity | null;
  /** All other lines, as they were found. */
  readonly rest: readonly string[];
}

const sectorBytes = 512;
const keyBase = 99_999_999;
/** Ranks count up and sort keys down, since the loader puts the lowest key first. */
export const rankMax = keyBase - 1;
const hashOffsetDigits = 15;
/** A path is one line of the first sector, beside 170 bytes of the other two. */
const pathCharsMax = 255;

const sortKeyOf = ({ state, rank }: SlotEntry): string => {
  const digits = String(keyBase - rank).padStart(8, '0');
  return `otad-${state === 'bad' ? `x${digits.slice(1)}` : digits}`;
};

const rankOf = (sortKey: string | null): { readonly rank: number; readonly isBad: boolean } => {
  const match = /^otad-([0-9x])([0-9]{7})$/.exec(sortKey ?? '');
  if (match === null) return { rank: 0, isBad: false };
  const [, first = '', others = ''] = match;
  // The digit that `x` stands for is the highest one: so many ranks are never used up.
  return { rank: keyBase - Number(`${first === 'x' ? '9' : first}${others}`), isBad: first === 'x' };
};

const isBootKey = (key: string): key is BootKey => key === 'linux' || key === 'efi' || key === 'uki';

/** Whether the loader passes the entry's options on; a UKI has its signed command line. */
const takesOptions = ({ boot }: SlotEntry): boolean => boot.key === 'linux';

const ownArgument = /^otad\.(?:slot|root|hashoffset)=/;

const verityFrom = (words: readonly string[]): SlotVerity | null => {
  const argument = (key: string): string | undefined =>
    words.find((word) => word.startsWith(`${key}=`))?.slice(key.length + 1);
  const rootHex = argument('otad.root')?.toLowerCase() ?? '';
  if (!/^[0-9a-f]{64}$/.test(rootHex) || /^0+$/.test(rootHex)) return null;
  const offset = argument('otad.hashoffset') ?? '';
  return { rootHex, hashOffsetBytes: /^[0-9]{1,15}$/.test(offset) ? Number(offset) : null };
};

/** dm-verity root and hash offset in a kernel command line; null: it carries none. */
export const verityInCommandLine = (text: string): SlotVerity | null => verityFrom(text.split(/\s+/));

const parkedBoot = (text: string): { readonly key: BootKey; readonly path: string } | null => {
  const match = /^#(linux|efi|uki)[ \t]+(\S.*?)[ \t]*$/m.exec(text);
  const key = match?.[1] ?? '';
  return match !== null && isBootKey(key) ? { key, path: match[2] ?? '' } : null;
};

/** null: there is nothing in it to boot, parked or not: empty, cut, or somebody else's. */
export const decodeSlotEntry = (text: string): SlotEntry | null => {
  if (text.length > loaderFileBytesMax) return null;
  const lines = parseLines(text);
  const live = lines.filter(({ key }) => isBootKey(key)).at(-1);
  const boot = live !== undefined && isBootKey(live.key) ? { key: live.key, path: live.value } : parkedBoot(text);
  if (boot === null || boot.path.length > pathCharsMax) return null;
  const { rank, isBad } = rankOf(lines.filter(({ key }) => key === 'sort-key').at(-1)?.value ?? null);
  const words = [
    ...lines.filter(({ key }) => key === 'options').flatMap(({ value }) => value.split(/\s+/)),
    ...(/^#(otad\.root=.*)$/m.exec(text)?.[1] ?? '').split(/\s+/),
  ];
  const rest = text.split(/[\n\r]/).flatMap((line) => {
    const key = /^[ \t]*#?(\S+)/.exec(line)?.[1] ?? '';
    if (key === '' || line.trim() === '#' || key === 'sort-key' || isBootKey(key) || ownArgument.test(key)) return [];
    if (key !== 'options') return [line];
    const kept = line
      .trim()
      .split(/\s+/)
      .slice(1)
      .filter((word) => !ownArgument.test(word));
    return kept.length === 0 ? [] : [`options ${kept.join(' ')}`];
  });
  return {
    state: live === undefined ? 'parked' : isBad ? 'bad' : 'live',
    rank,
    boot,
    verity: verityFrom(words),
    rest,
  };
};

/** Always the same length for the same boot line and the same other lines; whole sectors. */
export const encodeSlotEntry = (entry: SlotEntry, slot: SlotName): string => {
  const { verity, boot, state, rest } = entry;
  const root = verity === null ? ''.padEnd(74) : `otad.root=${verity.rootHex}`;
  const offset = verity?.hashOffsetBytes == null ? '' : `otad.hashoffset=${verity.hashOffsetBytes}`;
  const words = `${root} ${offset.padEnd('otad.hashoffset='.length + hashOffsetDigits)}`;
  // Options of an entry would take the place of a unified image's own, signed ones.
  const others = takesOptions(entry) ? rest : rest.filter((line) => !/^[ \t]*options[ \t]/.test(line));
  const text = [
    `sort-key ${sortKeyOf(entry)}`,
    `${state === 'parked' ? '#' : ' '}${boot.key} ${boot.path}`,
    takesOptions(entry) ? `options otad.slot=${slot} ${words}` : `#${words}`,
    ...others,
    '',
  ].join('\n');
  return text.padEnd(
    Math.ceil(Buffer.byteLength(text) / sectorBytes) * sectorBytes - (Buffer.byteLength(text) - text.length),
    '\n',
  );
};
