// How the bytes of an image came, as the daemon's own log tells it. Pure. Progress events would not do: a small update is over
// between two of them.

import type { Way } from './wire-vendor.ts';

export interface FillReport {
  /** The way that brought most. */
  readonly way: Way;
  readonly fetchedBytes: number;
  readonly copiedBytes: number;
  readonly rebuiltBytes: number;
  /** Why ways that cost less were left, in order. */
  readonly detours: readonly string[];
}

const numberIn = (line: string, field: string): number =>
  Number(new RegExp(`\\s${field}=(\\d+)(?:\\s|$)`).exec(line)?.[1] ?? Number.NaN);

/** A patch also copies what it leaves as it is, and a few pieces may be fetched beside it. */
const wayOf = ({ copiedBytes, rebuiltBytes }: { readonly copiedBytes: number; readonly rebuiltBytes: number }): Way =>
  rebuiltBytes > 0 ? 'patch' : copiedBytes > 0 ? 'index' : 'full';

/** Throws when no image came. */
export const readFillLog = (text: string): FillReport => {
  const lines = text.split('\n');
  const done = lines.findLast((line) => line.includes('The image is in the slot.'));
  if (done === undefined) throw new Error(`the daemon's log says of no image that it is in the slot:\n${text}`);
  const [fetchedBytes, copiedBytes, rebuiltBytes] = ['fetchedBytes', 'copiedBytes', 'rebuiltBytes'].map((field) =>
    numberIn(done, field),
  ) as [number, number, number];
  if ([fetchedBytes, copiedBytes, rebuiltBytes].some(Number.isNaN)) throw new Error(`the daemon's log says: ${done}`);
  const detours = lines.flatMap((line) => {
    const [, way, reason] = /The image comes by the next way\. way=(\w+) reason=(.+)$/.exec(line) ?? [];
    return way === undefined || reason === undefined ? [] : [`${way}: ${reason.replaceAll('"', '')}`];
  });
  return { way: wayOf({ copiedBytes, rebuiltBytes }), fetchedBytes, copiedBytes, rebuiltBytes, detours };
};
