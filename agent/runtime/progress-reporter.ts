// Thins progress out: long work tells its listeners often enough for a bar, not once for every packet. Knows how fast it goes
// and how long it will take, and says nothing of either before it knows.

import type { Progress } from '../core/types.ts';

const progressBytesMin = 64 * 1024;
const progressReportsMax = 256;
/** A slow link moves few bytes, and people look all the same. */
const silenceMsMax = 1000;
/** The rate is that of the last 8 to 10 seconds. */
const rateSamplesMax = 8;
const rateSampleMs = 1000;

export type OnProgress = (progress: Progress) => void;

/** Where the bytes of one attempt came from. Whoever brings them counts them. */
export interface Tally {
  fetchedBytes: number;
  /** Of those fetched: an index or a patch, which are no part of the image, and what came twice. */
  overheadBytes: number;
  copiedBytes: number;
  /** Of those copied: boot files, which came before the image. */
  copiedBootBytes: number;
  rebuiltBytes: number;
  /** What still has to come over the network; null while nobody knows. */
  toFetchBytes: number | null;
  /** The image grows by what is made here, not by what arrives: so the time that is left is told by the image. */
  isMaking: boolean;
  /** Why a shorter way was left, each a sentence: no more than there are ways. */
  readonly detours: string[];
}

export const emptyTally = (): Tally => ({
  fetchedBytes: 0,
  overheadBytes: 0,
  copiedBytes: 0,
  copiedBootBytes: 0,
  rebuiltBytes: 0,
  toFetchBytes: null,
  isMaking: false,
  detours: [],
});

/** What was brought is not the image: all that was fetched, but for `bootBytes` of boot files that are right, was fetched for nothing. */
export const forgetImage = (tally: Tally, bootBytes: number): void => {
  tally.overheadBytes = tally.fetchedBytes - bootBytes;
  tally.copiedBytes = tally.copiedBootBytes;
  tally.rebuiltBytes = 0;
};

/** What the network was spared: an index or a patch that was fetched counts against it. */
export const savedBytesOf = ({ copiedBytes, rebuiltBytes, overheadBytes }: Tally): number =>
  Math.max(0, copiedBytes + rebuiltBytes - overheadBytes);

export type Report = (step: Progress['step'], doneBytes: number) => void;

interface Sample {
  readonly atMs: number;
  readonly bytes: number;
}

/** Bytes a second over the newest samples; null before a second has passed. */
const createRate = (): ((sample: Sample) => number | null) => {
  let samples: Sample[] = [];
  return (sample) => {
    const newest = samples.at(-1);
    if (newest === undefined || sample.bytes < newest.bytes) samples = [sample];
    else if (sample.atMs - newest.atMs >= rateSampleMs) samples = [...samples, sample].slice(-rateSamplesMax);
    const oldest = samples[0] ?? sample;
    const passedMs = sample.atMs - oldest.atMs;
    return passedMs < rateSampleMs ? null : ((sample.bytes - oldest.bytes) * 1000) / passedMs;
  };
};

export interface ReporterPorts {
  readonly monoMs: () => number;
  readonly tally: Tally;
  readonly onProgress: OnProgress;
}

/** The figures of a progress that the tally has. */
const bytesOf = (tally: Tally) => ({
  fetchedBytes: tally.fetchedBytes,
  copiedBytes: tally.copiedBytes,
  rebuiltBytes: tally.rebuiltBytes,
  savedBytes: savedBytesOf(tally),
});

/** What is thinned out may leave out the end: the last report of `work`, however it ends, has all that was brought until then. */
export const withLastWord = async <T>(
  tally: Tally,
  onProgress: OnProgress,
  work: (onProgress: OnProgress) => Promise<T>,
): Promise<T> => {
  const last: { progress: Progress | null } = { progress: null };
  try {
    return await work((progress) => {
      last.progress = progress;
      onProgress(progress);
    });
  } finally {
    const { progress } = last;
    const bytes = Object.entries(bytesOf(tally)) as readonly (readonly [keyof ReturnType<typeof bytesOf>, number])[];
    if (progress !== null && bytes.some(([name, count]) => progress[name] !== count)) {
      onProgress({ ...progress, ...bytesOf(tally) });
    }
  }
};

/** Of sentences to people. */
const detourTextMax = 512;

const detourOf = ({ detours }: Tally): string | null =>
  detours.length === 0 ? null : detours.join('; ').slice(0, detourTextMax);

/** Seconds for what is left at this rate; null: not known. */
const secondsFor = (leftBytes: number | null, bytesPerS: number | null): number | null =>
  leftBytes === null || bytesPerS === null || bytesPerS === 0 ? null : Math.ceil(leftBytes / bytesPerS);

/** Reports the first, the last, and every so many bytes or seconds in between. */
export const createReporter = (
  fixed: Pick<Progress, 'slot' | 'version' | 'totalBytes'>,
  { monoMs, tally, onProgress }: ReporterPorts,
): Report => {
  const stepBytes = Math.max(progressBytesMin, Math.ceil(fixed.totalBytes / progressReportsMax));
  let last: (Pick<Progress, 'step' | 'doneBytes'> & { readonly atMs: number }) | null = null;
  let rateOf = createRate();
  let growthOf = createRate();
  return (step, doneBytes) => {
    const atMs = monoMs();
    if (last?.step !== step) [rateOf, growthOf] = [createRate(), createRate()];
    const isFetching = step === 'fetching';
    const isNews =
      last === null ||
      last.step !== step ||
      // It began anew.
      doneBytes < last.doneBytes ||
      doneBytes - last.doneBytes >= stepBytes ||
      atMs - last.atMs >= silenceMsMax;
    if (!isNews && (doneBytes < fixed.totalBytes || last?.doneBytes === doneBytes)) return;
    last = { step, doneBytes, atMs };
    const { fetchedBytes, toFetchBytes, isMaking } = tally;
    const growthPerS = growthOf({ atMs, bytes: doneBytes });
    const bytesPerS = isFetching ? rateOf({ atMs, bytes: fetchedBytes }) : growthPerS;
    const secondsLeft =
      isFetching && !isMaking
        ? secondsFor(toFetchBytes, bytesPerS)
        : secondsFor(fixed.totalBytes - doneBytes, growthPerS);
    onProgress({
      ...fixed,
      step,
      doneBytes,
      ...bytesOf(tally),
      bytesPerS: bytesPerS === null ? null : Math.round(bytesPerS),
      secondsLeft,
      detour: detourOf(tally),
    });
  };
};
