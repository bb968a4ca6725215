// The floor of trusted time: the newest of the image's build time and the signed issue times seen so far. The local clock
// never enters it: a clock that once stood in the future would make all metadata look expired for ever.

import type { TrustedFiles } from '../../verity/trusted-store.ts';
import type { TrustedSet } from '../../verity/tuf-client.ts';
import { timeOf } from '../../verity/tuf-metadata.ts';
import type { Release } from '../core/types.ts';

/** Seconds since 1970, decimal. Damage or absence means the build time. */
const fileName = 'time-floor';

const storedFloor = async (files: TrustedFiles): Promise<number> => {
  const bytes = await files.read(fileName);
  const text = bytes === null ? '' : new TextDecoder().decode(bytes);
  return /^\d{1,12}$/.test(text) ? Number(text) : 0;
};

/** Seconds that have surely passed since 1970. */
export const readTimeFloor = async (files: TrustedFiles, buildTimeS: number): Promise<number> =>
  Math.max(buildTimeS, await storedFloor(files));

/**
 * Raises the floor to the release's signed time of publication. A time at or beyond the expiry of what vouches for it is a
 * publisher's slip that would lock this gateway out, and is passed over.
 */
export const raiseTimeFloor = async (files: TrustedFiles, release: Release, set: TrustedSet): Promise<void> => {
  const expiresS = Math.min(timeOf(set.targets.expires), timeOf(set.timestamp.expires));
  if (release.publishedAtS < expiresS && release.publishedAtS > (await storedFloor(files))) {
    await files.write(fileName, new TextEncoder().encode(String(release.publishedAtS)));
  }
};
