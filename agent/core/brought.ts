// How an image came, as a sentence for the history: what it cost, what it saved, and why it did not save more. Pure.

import type { Brought } from './effects.ts';

/** For sentences; otactl has its own. */
export const sizeText = (bytes: number): string =>
  bytes < 1024 * 1024 ? `${(bytes / 1024).toFixed(1)} KiB` : `${(bytes / (1024 * 1024)).toFixed(1)} MiB`;

export const broughtSentence = ({ fetchedBytes, copiedBytes, rebuiltBytes, detour }: Brought): string =>
  [
    `${sizeText(fetchedBytes)} came over the network`,
    ...(rebuiltBytes > 0 ? [`${sizeText(rebuiltBytes)} were rebuilt by a patch`] : []),
    ...(copiedBytes > 0 ? [`${sizeText(copiedBytes)} were copied from this gateway's slots`] : []),
  ]
    .join(', ')
    .concat('.', detour === null ? '' : ` Left on the way: ${detour}.`);
