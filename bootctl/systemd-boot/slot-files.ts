// Which of a slot's files counts, what the two slots' files say together, and which writes make them say something else.
// Pure. An entry's name carries the counter, its text the rest (slot-entry.ts).

import { type SlotName, slotNames } from '../../agent/core/types.ts';
import { type BootModel, type SlotModel, triesDefault } from '../model.ts';
import { type EntryName, formatEntryName, parseEntryName } from './entry-name.ts';
import { textOf } from './loader-file.ts';
import { decodeSlotEntry, encodeSlotEntry, rankMax, type SlotEntry, type SlotEntryState } from './slot-entry.ts';

/** A whole entry of a slot. */
export interface SlotFile {
  readonly file: string;
  readonly name: EntryName;
  readonly entry: SlotEntry;
  readonly text: string;
}

/** null: the slot has no entry. */
export type SlotFiles = Readonly<Record<SlotName, SlotFile | null>>;

/** null: not an entry of this stem, or not whole. */
export const readSlotFile = (file: string, bytes: Uint8Array): SlotFile | null => {
  const name = parseEntryName(file);
  const text = textOf(bytes);
  const entry = decodeSlotEntry(text);
  return name === null || entry === null ? null : { file, name, entry, text };
};

const stateOrder: Readonly<Record<SlotEntryState, number>> = { live: 2, bad: 1, parked: 0 };

/**
 * Several files of one slot are what a cut left of a change of name. A live one was committed; the higher rank is the newer;
 * of equal ones a name without counter was blessed, and of two counters the lower has taken the try.
 */
const compareFiles = (one: SlotFile, two: SlotFile): number => {
  const left = ({ name }: SlotFile): number => name.counter?.left ?? -1;
  return (
    stateOrder[two.entry.state] - stateOrder[one.entry.state] ||
    two.entry.rank - one.entry.rank ||
    left(one) - left(two) ||
    (one.file < two.file ? -1 : 1)
  );
};

export const chooseSlotFile = (files: readonly SlotFile[]): SlotFile | null => [...files].sort(compareFiles)[0] ?? null;

const decodeSlot = (found: SlotFile | null): SlotModel => {
  if (found === null || found.entry.state === 'parked') return { triesLeft: 0, isTrial: false, verity: null };
  const { entry, name } = found;
  if (entry.state === 'bad') return { triesLeft: 0, isTrial: false, verity: entry.verity };
  return { triesLeft: name.counter?.left ?? triesDefault, isTrial: name.counter !== null, verity: entry.verity };
};

/** A counter beyond one digit is somebody else's; it counts as it stands. */
export const decodeModel = (files: SlotFiles): BootModel => {
  const rank = (slot: SlotName): number => files[slot]?.entry.rank ?? 0;
  return {
    order: slotNames.filter((slot) => files[slot]?.entry.state === 'live').sort((one, two) => rank(two) - rank(one)),
    slots: { a: decodeSlot(files.a), b: decodeSlot(files.b) },
  };
};

/** One write. Texts have the length of what they are written over. */
export type EntryWrite =
  | { readonly kind: 'create'; readonly file: string; readonly text: string }
  | { readonly kind: 'overwrite'; readonly file: string; readonly text: string }
  | { readonly kind: 'remove'; readonly file: string };

/**
 * The counter of a new trial, in the width that the slot's name had. The tries done are written from the start: a name that
 * grew as the loader takes a try would need room in a directory that may have none. Where the old name still counts, the new one starts
 * with one try done, so that no try of the one is ever renamed to a name of the other: the loader does not count then.
 */
const trialName = (current: EntryName, triesLeft: number): EntryName => {
  const old = current.counter;
  const isOnTheWay = old !== null && old.left + old.done === triesLeft;
  return {
    ...current,
    counter: {
      left: triesLeft,
      done: isOnTheWay ? 1 : 0,
      leftDigits: old?.leftDigits ?? 1,
      doneDigits: Math.max(1, old?.doneDigits ?? 1),
    },
  };
};

const nextRank = (files: SlotFiles): number =>
  Math.min(rankMax, Math.max(files.a?.entry.rank ?? 0, files.b?.entry.rank ?? 0) + 1);

/** What the slot's file is to be called and to say. */
const wantedFile = (
  files: SlotFiles,
  slot: SlotName,
  current: SlotFile,
  model: BootModel,
): { readonly name: EntryName; readonly entry: SlotEntry } => {
  const { triesLeft, isTrial, verity } = model.slots[slot];
  if (!model.order.includes(slot)) {
    // One byte each: the root stays in a parked entry and vouches for nothing.
    const state = verity === null ? 'parked' : 'bad';
    return { name: current.name, entry: { ...current.entry, state } };
  }
  const before = decodeModel(files);
  const isSame =
    current.entry.state === 'live' &&
    before.slots[slot].isTrial === isTrial &&
    before.slots[slot].triesLeft === triesLeft;
  const name = isSame
    ? current.name
    : isTrial
      ? trialName(current.name, triesLeft)
      : { ...current.name, counter: null };
  // A new name gets a rank of its own, so that it wins over the old one while both are there.
  const isFirst = isSame && before.order[0] === slot && current.entry.rank > 0;
  return {
    name,
    entry: { ...current.entry, state: 'live', rank: isFirst ? current.entry.rank : nextRank(files), verity },
  };
};

const parkedText = (entry: SlotEntry, slot: SlotName): string => encodeSlotEntry({ ...entry, state: 'parked' }, slot);

/**
 * A file is parked before it goes: FAT may give its cluster to the next new file before that one's bytes are there, and what
 * a cut leaves then must not be a live entry of old.
 */
export const planRemoval = ({ file, entry, text }: SlotFile, slot: SlotName): readonly EntryWrite[] => {
  const parked = parkedText(entry, slot);
  const isInPlace = entry.state !== 'parked' && parked.length === text.length;
  return [...(isInPlace ? [{ kind: 'overwrite', file, text: parked } as const] : []), { kind: 'remove', file }];
};

/**
 * The writes that take the slot from `files` to what `model` says of it; empty: it says so already. With a new name the new
 * file is made parked, then one byte makes it live, which is the moment of the change; then the old one is parked and goes.
 */
export const planSlot = (
  files: SlotFiles,
  slot: SlotName,
  current: SlotFile,
  model: BootModel,
): readonly EntryWrite[] => {
  const wanted = wantedFile(files, slot, current, model);
  const file = formatEntryName(wanted.name);
  const text = encodeSlotEntry(wanted.entry, slot);
  if (file === current.file) return text === current.text ? [] : [{ kind: 'overwrite', file, text }];
  return [
    { kind: 'create', file, text: parkedText(wanted.entry, slot) },
    { kind: 'overwrite', file, text },
    ...planRemoval(current, slot),
  ];
};
