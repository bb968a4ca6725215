// Finds for each unit of the new image that must be made again which old bytes it is made of: chooses the old content that a new
// one comes from (by path, by content, by path without its digits), and looks for common stretches in the two.

import { createHash } from 'node:crypto';
import { OtadError } from '../agent/core/errors.ts';
import { findStretches, makeSearchable, type Stretch } from './bsdiff.ts';
import type { Content, ImageContent, Slice } from './image-content.ts';
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

const folded = (name: string): string => name.replace(/\d+/g, '#');
const baseName = (name: string): string => name.slice(name.lastIndexOf('/') + 1);

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

const digestOf = async (image: ImageContent, { slices }: Content): Promise<string> => {
  const hash = createHash('sha256');
  for (const { unit, at, lengthBytes } of slices)
    hash.update((await image.readRaw(unit)).subarray(at, at + lengthBytes));
  return hash.digest('base64');
};

/** Old contents by all that they are looked for. */
const createCatalogue = (old: ImageContent) => {
  const indexBy = (keyOf: (content: Content) => string | null): ReadonlyMap<string, readonly Content[]> => {
    const index = new Map<string, Content[]>();
    for (const content of old.contents) {
      const key = keyOf(content);
      if (key !== null) index.set(key, [...(index.get(key) ?? []), content]);
    }
    return index;
  };
  const byPath = indexBy(({ name }) => name);
  const byFolded = indexBy(({ name }) => (name === null ? null : folded(name)));
  const byBaseName = indexBy(({ name }) => (name === null ? null : folded(baseName(name))));
  const bySize = indexBy(({ lengthBytes }) => `${lengthBytes}`);
  const digests = new Map<Content, Promise<string>>();
  const oldDigest = (content: Content): Promise<string> => {
    const known = digests.get(content) ?? digestOf(old, content);
    digests.set(content, known);
    return known;
  };
  const nearest = (contents: readonly Content[] | undefined, lengthBytes: number): Content | null =>
    (contents ?? []).reduce<Content | null>((best, content) => {
      const distance = (one: Content): number => Math.abs(one.lengthBytes - lengthBytes);
      return best === null || distance(content) < distance(best) ? content : best;
    }, null);
  return {
    ofPath: ({ name, lengthBytes }: Content): Content | null =>
      name === null ? null : nearest(byPath.get(name), lengthBytes),
    ofContent: async (image: ImageContent, content: Content): Promise<Content | null> => {
      const candidates = bySize.get(`${content.lengthBytes}`) ?? [];
      if (candidates.length === 0) return null;
      const digest = await digestOf(image, content);
      for (const candidate of candidates) if ((await oldDigest(candidate)) === digest) return candidate;
      return null;
    },
    ofLikeName: ({ name, lengthBytes }: Content): Content | null => {
      if (name === null) return null;
      const sameFolder = nearest(byFolded.get(folded(name)), lengthBytes);
      return sameFolder ?? nearest(byBaseName.get(folded(baseName(name))), lengthBytes);
    },
  };
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
  const totalBytes = work.reduce((sum, { runs }) => sum + runs.reduce((all, { from, to }) => all + to - from, 0), 0);
  let doneBytes = 0;
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
  const searchRuns = async (source: Content, runs: readonly Wanted[], isSame: boolean, end: number): Promise<void> => {
    const target = withStarts(source.slices);
    let whole: ReturnType<typeof makeSearchable> | null = null;
    for (const run of runs) {
      const fresh = withStarts(run.slices);
      const put = (stretch: Stretch): void => cutStretch(stretch, fresh, target, add);
      for (let from = run.from; from < run.to; from += windowBytes / 2) {
        const to = Math.min(run.to, from + windowBytes / 2);
        const bytes = await readSlices(image, run.slices, from - run.from, to - run.from);
        const known = isSame
          ? [{ newOffset: 0, oldOffset: from, lengthBytes: bytes.length }]
          : await sameBytes(old, source, { ...run, from, to }, bytes, end);
        const start = Math.min(
          Math.max(0, source.lengthBytes - windowBytes),
          Math.max(0, Math.floor((from / end) * source.lengthBytes) - Math.floor(windowBytes / 4)),
        );
        if (known === null && (whole === null || source.lengthBytes > windowBytes))
          whole = makeSearchable(
            await readSlices(old, source.slices, start, Math.min(source.lengthBytes, start + windowBytes)),
          );
        const found =
          known ??
          (await findStretches(whole as ReturnType<typeof makeSearchable>, bytes, pause)).map((stretch) => ({
            ...stretch,
            oldOffset: stretch.oldOffset + start,
          }));
        for (const stretch of found) put({ ...stretch, newOffset: stretch.newOffset + from - run.from });
        doneBytes += bytes.length;
        await pause(0);
      }
    }
  };
  for (const { content, runs } of work) {
    if (runs.length === 0) continue;
    const path = catalogue.ofPath(content);
    const twin = await catalogue.ofContent(image, content);
    const source = twin ?? path ?? catalogue.ofLikeName(content);
    if (source !== null) await searchRuns(source, runs, twin !== null, content.lengthBytes);
    else doneBytes += runs.reduce((sum, { from, to }) => sum + to - from, 0);
  }
  for (const list of origins.values()) list.sort((one, two) => one.at - two.at);
  return origins;
};
