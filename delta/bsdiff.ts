// Finds which stretches of new bytes are old bytes with small changes, by Colin Percival's bsdiff (2003): exact matches from a
// suffix array, extended over differences as long as half of the bytes agree. Pure; gives stretches, encodes nothing.

import { suffixArray } from './suffix-array.ts';

/** `lengthBytes` new bytes are old ones but for single bytes; what no stretch covers is new. Sorted, without overlap. */
export interface Stretch {
  readonly newOffset: number;
  readonly oldOffset: number;
  readonly lengthBytes: number;
}

/** Old bytes with what is needed to search in them: 4 bytes a byte. */
export interface Searchable {
  readonly bytes: Uint8Array;
  readonly order: Int32Array;
  /** Where suffixes of each first two bytes begin; one more for the end. */
  readonly starts: Int32Array;
}

/** A match under the current alignment of this length is taken without looking for a better one. */
const goodMatchBytes = 32;
/** Another alignment must win by this much. */
const gainBytes = 8;
/** Positions between two looks at the clock of the caller. */
const positionsPerPause = 1 << 20;

export const makeSearchable = (bytes: Uint8Array): Searchable => {
  const order = suffixArray(bytes);
  const starts = new Int32Array(65_537);
  for (let at = 0; at < bytes.length; at += 1) {
    const key = ((bytes[at] as number) << 8) | (at + 1 < bytes.length ? (bytes[at + 1] as number) : 0);
    starts[key + 1] = (starts[key + 1] as number) + 1;
  }
  for (let key = 0; key < 65_536; key += 1) starts[key + 1] = (starts[key + 1] as number) + (starts[key] as number);
  return { bytes, order, starts };
};

interface Match {
  oldOffset: number;
  lengthBytes: number;
}

const commonBytes = (old: Uint8Array, oldAt: number, fresh: Uint8Array, newAt: number, from: number): number => {
  const most = Math.min(old.length - oldAt, fresh.length - newAt);
  let length = from;
  while (length < most && old[oldAt + length] === fresh[newAt + length]) length += 1;
  return length;
};

/** The longest match of the new bytes at `newAt`. What both ends of the range share with it is not compared again. */
const search = ({ bytes, order, starts }: Searchable, fresh: Uint8Array, newAt: number, match: Match): void => {
  match.lengthBytes = 0;
  if (newAt + 1 >= fresh.length) return;
  const key = ((fresh[newAt] as number) << 8) | (fresh[newAt + 1] as number);
  let low = starts[key] as number;
  let high = starts[key + 1] as number;
  if (low === high) return;
  let lowCommon = 0;
  let highCommon = 0;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const oldAt = order[middle] as number;
    const common = commonBytes(bytes, oldAt, fresh, newAt, Math.min(lowCommon, highCommon));
    if (common > match.lengthBytes) {
      match.lengthBytes = common;
      match.oldOffset = oldAt;
    }
    if (newAt + common >= fresh.length) return;
    const isSmaller =
      oldAt + common >= bytes.length || (bytes[oldAt + common] as number) < (fresh[newAt + common] as number);
    if (isSmaller) {
      low = middle + 1;
      lowCommon = common;
    } else {
      high = middle;
      highCommon = common;
    }
  }
};

/** How far to extend forward, so that agreeing bytes outweigh the others by the most. */
const extendForward = (old: Uint8Array, oldAt: number, fresh: Uint8Array, newAt: number, most: number): number => {
  let agreeing = 0;
  let best = 0;
  let bestLength = 0;
  for (let length = 0; length < most && oldAt + length < old.length; ) {
    if (old[oldAt + length] === fresh[newAt + length]) agreeing += 1;
    length += 1;
    if (agreeing * 2 - length > best * 2 - bestLength) {
      best = agreeing;
      bestLength = length;
    }
  }
  return bestLength;
};

const extendBackward = (old: Uint8Array, oldAt: number, fresh: Uint8Array, newAt: number, most: number): number => {
  let agreeing = 0;
  let best = 0;
  let bestLength = 0;
  for (let length = 1; length <= most && oldAt >= length; length += 1) {
    if (old[oldAt - length] === fresh[newAt - length]) agreeing += 1;
    if (agreeing * 2 - length > best * 2 - bestLength) {
      best = agreeing;
      bestLength = length;
    }
  }
  return bestLength;
};

interface Edge {
  readonly newAt: number;
  readonly oldAt: number;
}

/** Where two stretches meet that both want the same new bytes: how many of them go to the first. */
const divide = (old: Uint8Array, fresh: Uint8Array, first: Edge, second: Edge, overlap: number): number => {
  let lead = 0;
  let best = 0;
  let bestLength = 0;
  for (let index = 0; index < overlap; index += 1) {
    if (fresh[first.newAt + index] === old[first.oldAt + index]) lead += 1;
    if (fresh[second.newAt + index] === old[second.oldAt + index]) lead -= 1;
    if (lead > best) {
      best = lead;
      bestLength = index + 1;
    }
  }
  return bestLength;
};

/** `pause` is awaited now and then with the number of new bytes done; a throw from it ends the search. */
export const findStretches = async (
  searchable: Searchable,
  fresh: Uint8Array,
  pause: (doneBytes: number) => Promise<void> | void,
): Promise<readonly Stretch[]> => {
  const old = searchable.bytes;
  const stretches: Stretch[] = [];
  const match: Match = { oldOffset: 0, lengthBytes: 0 };
  let scan = 0;
  let last: Edge = { newAt: 0, oldAt: 0 };
  let nextPause = positionsPerPause;
  while (scan < fresh.length) {
    let agreeing = 0;
    const shift = last.oldAt - last.newAt;
    const isAligned = (at: number): boolean => at + shift < old.length && old[at + shift] === fresh[at];
    scan += match.lengthBytes;
    for (let counted = scan; scan < fresh.length; scan += 1) {
      if (scan >= nextPause) {
        await pause(scan);
        nextPause = scan + positionsPerPause;
      }
      const under = scan + shift < old.length ? runAt(old, scan + shift, fresh, scan) : 0;
      if (under >= goodMatchBytes) {
        // What is wanted is the difference to the alignment that holds; here it is none.
        match.lengthBytes = under;
        agreeing = under;
        break;
      }
      search(searchable, fresh, scan, match);
      for (; counted < scan + match.lengthBytes; counted += 1) if (isAligned(counted)) agreeing += 1;
      if ((match.lengthBytes === agreeing && match.lengthBytes !== 0) || match.lengthBytes > agreeing + gainBytes)
        break;
      if (isAligned(scan)) agreeing -= 1;
    }
    if (match.lengthBytes === agreeing && scan < fresh.length) continue;
    const isEnd = scan >= fresh.length;
    const next: Edge = isEnd ? { newAt: fresh.length, oldAt: 0 } : { newAt: scan, oldAt: match.oldOffset };
    let forward = extendForward(old, last.oldAt, fresh, last.newAt, Math.min(scan, fresh.length) - last.newAt);
    let backward = isEnd ? 0 : extendBackward(old, next.oldAt, fresh, next.newAt, next.newAt - last.newAt);
    const overlap = last.newAt + forward - (next.newAt - backward);
    if (overlap > 0) {
      const first = { newAt: last.newAt + forward - overlap, oldAt: last.oldAt + forward - overlap };
      const second = { newAt: next.newAt - backward, oldAt: next.oldAt - backward };
      const kept = divide(old, fresh, first, second, overlap);
      forward += kept - overlap;
      backward -= kept;
    }
    if (forward > 0) stretches.push({ newOffset: last.newAt, oldOffset: last.oldAt, lengthBytes: forward });
    last = { newAt: next.newAt - backward, oldAt: next.oldAt - backward };
  }
  await pause(fresh.length);
  return stretches;
};

const runAt = (old: Uint8Array, oldAt: number, fresh: Uint8Array, newAt: number): number =>
  oldAt < 0 ? 0 : commonBytes(old, oldAt, fresh, newAt, 0);
