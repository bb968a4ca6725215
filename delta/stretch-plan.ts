// Finds for each unit of the new image that must be made again which old bytes it is made of: chooses the old content that a new
// one comes from (by path, by content, by path without its digits), and looks for common stretches in the two.

import { OtadError } from '../agent/core/errors.ts';
import { findStretches, makeSearchable, type Searchable, type Stretch } from './bsdiff.ts';
import { createCatalogue } from './content-catalogue.ts';
import type { ImageContent } from './image-content.ts';
import type { Content, Slice } from './image-tables.ts';
import { spaceStarts } from './old-space.ts';

/** `lengthBytes` at `at` of a new unit come from an old unit. */
export interface Origin {
  readonly at: number;
  readonly lengthBytes: number;
  readonly oldUnit: number;
  readonly oldAt: number;
}

/** Contents beyond this are searched in windows: a suffix array takes 6.5 bytes a byte. */
export const windowBytesDefault = 96 * 1024 * 1024;

export interface PlanOptions {
  readonly windowBytes?: number | undefined;
  readonly onProgress?: ((doneBytes: number, totalBytes: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A range of a content's bytes. */
const readSlices = async (image: ImageContent, slices: readonly Slice[], from: number, to: number): Promise<Buffer> => {
  const bytes = Buffer.alloc(to - from);
  let at = 0;
  for (const { unit, at: start, lengthBytes } of slices) {
    const first = Math.max(from, at);
    const last = Math.min(to, at + lengthBytes);
    if (first < last) {
      const raw = await image.readRaw(unit);
      bytes.set(raw.subarray(start + first - at, start + last - at), first - from);
    }
    at += lengthBytes;
  }
  return bytes;
};

/** Slices that lie one behind another in their content. */
interface Wanted {
  readonly from: number;
  readonly to: number;
  readonly slices: readonly Slice[];
}

/** Runs of the content's slices in units that are made again, each unit's bytes once for all contents that share them. */
const wantedRuns = (content: Content, isWanted: (unit: number) => boolean, taken: Set<string>): readonly Wanted[] => {
  const runs: { from: number; to: number; slices: Slice[] }[] = [];
  let at = 0;
  for (const slice of content.slices) {
    const key = `${slice.unit} ${slice.at}`;
    if (isWanted(slice.unit) && !taken.has(key)) {
      taken.add(key);
      const last = runs.at(-1);
      if (last?.to === at) {
        last.to += slice.lengthBytes;
        last.slices.push(slice);
      } else runs.push({ from: at, to: at + slice.lengthBytes, slices: [slice] });
    }
    at += slice.lengthBytes;
  }
  return runs;
};

/** Cuts a stretch between two contents where the units on either side end. */
const cutStretch = (
  { newOffset, oldOffset, lengthBytes }: Stretch,
  fresh: { readonly slices: readonly Slice[]; readonly starts: Float64Array },
  old: { readonly slices: readonly Slice[]; readonly starts: Float64Array },
  add: (unit: number, origin: Origin) => void,
): void => {
  const sliceAt = (starts: Float64Array, at: number): number => {
    let [low, high] = [0, starts.length - 1];
    while (high - low > 1) {
      const middle = (low + high) >>> 1;
      if ((starts[middle] as number) <= at) low = middle;
      else high = middle;
    }
    return low;
  };
  for (let done = 0; done < lengthBytes; ) {
    const [newIndex, oldIndex] = [sliceAt(fresh.starts, newOffset + done), sliceAt(old.starts, oldOffset + done)];
    const [newSlice, oldSlice] = [fresh.slices[newIndex] as Slice, old.slices[oldIndex] as Slice];
    const newIn = newOffset + done - (fresh.starts[newIndex] as number);
    const oldIn = oldOffset + done - (old.starts[oldIndex] as number);
    const part = Math.min(lengthBytes - done, newSlice.lengthBytes - newIn, oldSlice.lengthBytes - oldIn);
    add(newSlice.unit, {
      at: newSlice.at + newIn,
      lengthBytes: part,
      oldUnit: oldSlice.unit,
      oldAt: oldSlice.at + oldIn,
    });
    done += part;
  }
};

const withStarts = (slices: readonly Slice[]) => ({
  slices,
  starts: spaceStarts(slices.map(({ lengthBytes }) => ({ rawBytes: lengthBytes }))),
});

/** The same place from the start, or from the end, when all bytes agree: nothing needs to be searched. */
const sameBytes = async (old: ImageContent, source: Content, run: Wanted, fresh: Buffer, end: number) => {
  for (const oldOffset of [run.from, run.from + source.lengthBytes - end]) {
    if (oldOffset < 0 || oldOffset + fresh.length > source.lengthBytes) continue;
    const bytes = await readSlices(old, source.slices, oldOffset, oldOffset + fresh.length);
    if (bytes.equals(fresh)) return [{ newOffset: 0, oldOffset, lengthBytes: fresh.length }];
  }
  return null;
};

/** What a search in one pair of contents needs. */
interface Search {
  readonly old: ImageContent;
  readonly image: ImageContent;
  readonly windowBytes: number;
  readonly add: (unit: number, origin: Origin) => void;
  /** Awaited now and then with the bytes of the current window that are done. */
  readonly pause: (doneBytes: number) => Promise<void>;
  /** After each window. */
  readonly done: (bytes: number) => void;
}

/** Where the window of the old content begins for new bytes at `from` of `end`: around the same share of it. */
const windowStart = (from: number, end: number, lengthBytes: number, windowBytes: number): number => {
  const wanted = Math.floor((from / end) * lengthBytes) - Math.floor(windowBytes / 4);
  return Math.min(Math.max(0, lengthBytes - windowBytes), Math.max(0, wanted));
};

/** Looks for the runs of a content of `end` bytes in its source. `isSame`: both hold the same bytes. */
const searchRuns = async (
  { old, image, windowBytes, add, pause, done }: Search,
  source: Content,
  runs: readonly Wanted[],
  isSame: boolean,
  end: number,
): Promise<void> => {
  const target = withStarts(source.slices);
  let searchable: Searchable | null = null;
  let searchableStart = -1;
  for (const run of runs) {
    const fresh = withStarts(run.slices);
    for (let from = run.from; from < run.to; from += windowBytes / 2) {
      const to = Math.min(run.to, from + windowBytes / 2);
      const bytes = await readSlices(image, run.slices, from - run.from, to - run.from);
      let found: readonly Stretch[] | null = isSame
        ? [{ newOffset: 0, oldOffset: from, lengthBytes: bytes.length }]
        : await sameBytes(old, source, { ...run, from, to }, bytes, end);
      if (found === null) {
        const start = windowStart(from, end, source.lengthBytes, windowBytes);
        if (searchable === null || start !== searchableStart) {
          const last = Math.min(source.lengthBytes, start + windowBytes);
          searchable = makeSearchable(await readSlices(old, source.slices, start, last));
          searchableStart = start;
        }
        const stretches = await findStretches(searchable, bytes, pause);
        found = stretches.map((stretch) => ({ ...stretch, oldOffset: stretch.oldOffset + start }));
      }
      for (const stretch of found) {
        cutStretch({ ...stretch, newOffset: stretch.newOffset + from - run.from }, fresh, target, add);
      }
      done(bytes.length);
      await pause(0);
    }
  }
};

const lengthOf = (runs: readonly Wanted[]): number => runs.reduce((sum, { from, to }) => sum + to - from, 0);

/** Origins by unit of the new image, sorted; bytes without one are new. Throws CANCELLED. */
export const planStretches = async (
  old: ImageContent,
  image: ImageContent,
  isWanted: (unit: number) => boolean,
  { windowBytes = windowBytesDefault, onProgress, signal }: PlanOptions,
): Promise<ReadonlyMap<number, readonly Origin[]>> => {
  const catalogue = createCatalogue(old);
  const origins = new Map<number, Origin[]>();
  const taken = new Set<string>();
  const work = image.contents.map((content) => ({ content, runs: wantedRuns(content, isWanted, taken) }));
  const totalBytes = work.reduce((sum, { runs }) => sum + lengthOf(runs), 0);
  let doneBytes = 0;
  const done = (bytes: number): void => {
    doneBytes += bytes;
  };
  const add = (unit: number, origin: Origin): void => {
    const known = origins.get(unit);
    if (known === undefined) origins.set(unit, [origin]);
    else known.push(origin);
  };
  const pause = async (extraBytes: number): Promise<void> => {
    onProgress?.(doneBytes + extraBytes, totalBytes);
    await new Promise((resolve) => setImmediate(resolve));
    if (signal?.aborted === true) throw new OtadError('CANCELLED', { step: 'patch' });
  };
  for (const { content, runs } of work) {
    if (runs.length === 0) continue;
    const twin = await catalogue.ofContent(image, content);
    const source = twin ?? catalogue.ofPath(content) ?? catalogue.ofLikeName(content);
    const search: Search = { old, image, windowBytes, add, pause, done };
    if (source !== null) await searchRuns(search, source, runs, twin !== null, content.lengthBytes);
    else done(lengthOf(runs));
  }
  for (const list of origins.values()) list.sort((one, two) => one.at - two.at);
  return origins;
};
