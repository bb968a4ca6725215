// What an install cost and saved, as sentences for the history: of one attempt, and of all that its release took. Pure.

import type { Brought } from './effects.ts';
import type { InstallSpent } from './state.ts';

/** For sentences; otactl has its own. */
export const sizeText = (bytes: number): string =>
  bytes < 1024 * 1024 ? `${(bytes / 1024).toFixed(1)} KiB` : `${(bytes / (1024 * 1024)).toFixed(1)} MiB`;

/** With one attempt more, which ended now. Whatever another release cost is forgotten. */
export const addSpent = (before: InstallSpent | null, releaseId: string, fetchedBytes: number): InstallSpent => {
  const same = before?.releaseId === releaseId ? before : { attempts: 0, fetchedBytes: 0 };
  return { releaseId, attempts: same.attempts + 1, fetchedBytes: same.fetchedBytes + fetchedBytes };
};

/** Nothing where `saidBytes`, which stand beside it, are all that came. */
const allSentence = (spent: InstallSpent | null, saidBytes: number): readonly string[] => {
  if (spent === null || spent.fetchedBytes === 0 || spent.fetchedBytes === saidBytes) return [];
  const attempts = spent.attempts === 1 ? '1 attempt' : `${spent.attempts} attempts`;
  return [`In all ${sizeText(spent.fetchedBytes)} came over the network, in ${attempts}.`];
};

/** `spent`: with this attempt. */
export const broughtSentence = (
  { fetchedBytes, copiedBytes, rebuiltBytes, detour }: Brought,
  spent: InstallSpent | null,
  isFromFolder: boolean,
): string => {
  const parts = [
    `${sizeText(fetchedBytes)} came ${isFromFolder ? 'from the folder' : 'over the network'}`,
    ...(rebuiltBytes > 0 ? [`${sizeText(rebuiltBytes)} were rebuilt by a patch`] : []),
    ...(copiedBytes > 0 ? [`${sizeText(copiedBytes)} were copied from this gateway's slots`] : []),
  ];
  return [
    `${parts.join(', ')}.`,
    ...allSentence(spent, isFromFolder ? 0 : fetchedBytes),
    ...(detour === null ? [] : [`Left on the way: ${detour}.`]),
  ].join(' ');
};

/** Why an attempt failed, and what it had fetched until then. `spent`: with this attempt. */
export const failedSentence = (why: string, fetchedBytes: number, spent: InstallSpent | null): string =>
  [
    why,
    ...(fetchedBytes > 0 ? [`${sizeText(fetchedBytes)} came over the network.`] : []),
    ...allSentence(spent, fetchedBytes),
  ].join(' ');
