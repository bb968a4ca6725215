// Thins progress out: long work tells its listeners often enough for a bar, not once for every packet.

import type { Progress } from '../core/types.ts';

const progressBytesMin = 64 * 1024;
const progressReportsMax = 256;

export type OnProgress = (progress: Progress) => void;

export type Report = (step: Progress['step'], doneBytes: number, fetchedBytes: number) => void;

/** Reports the first, the last, and every so many bytes in between. */
export const createReporter = (
  fixed: Pick<Progress, 'slot' | 'version' | 'totalBytes'>,
  onProgress: OnProgress,
): Report => {
  const stepBytes = Math.max(progressBytesMin, Math.ceil(fixed.totalBytes / progressReportsMax));
  let last: Pick<Progress, 'step' | 'doneBytes'> | null = null;
  return (step, doneBytes, fetchedBytes) => {
    const isNews = last === null || last.step !== step || doneBytes - last.doneBytes >= stepBytes;
    if (!isNews && (doneBytes < fixed.totalBytes || last?.doneBytes === doneBytes)) return;
    last = { step, doneBytes };
    onProgress({ ...fixed, step, doneBytes, fetchedBytes });
  };
};
