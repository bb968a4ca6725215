// Signs again what is about to expire, without a new release: the timestamp always, snapshot and targets once they have
// lived half of their time. Meant to run from a timer, so a repository stays fresh with two online keys.

import { timeOf } from '../../verity/tuf-metadata.ts';
import { readKeyFiles } from '../keys/key-files.ts';
import { type AfterWrite, type PublishedVersions, publish, removeLeftovers } from './publication.ts';
import { loadPublished } from './published-state.ts';
import { publisherPaths, readSettings } from './publisher-folder.ts';
import { withPublisherLock } from './publisher-lock.ts';

export interface RenewalOptions {
  readonly folder: string;
  /** Default: `keys` of the folder. */
  readonly keyFolders?: readonly string[] | undefined;
  /** Milliseconds since 1970. Default now. */
  readonly nowMs?: number | undefined;
  readonly afterWrite?: AfterWrite | undefined;
}

export const renewRepository = async (options: RenewalOptions): Promise<PublishedVersions> => {
  const paths = publisherPaths(options.folder);
  const { lifetimesS } = await readSettings(paths);
  const nowS = Math.floor((options.nowMs ?? Date.now()) / 1000);
  const isHalfOver = (expires: string, lifetimeS: number): boolean => timeOf(expires) - nowS < lifetimeS / 2;
  return await withPublisherLock(paths.folder, async () => {
    const keys = (await Promise.all((options.keyFolders ?? [paths.keys]).map(readKeyFiles))).flat();
    await removeLeftovers(paths.repository);
    const state = await loadPublished(paths);
    const isTargetsDue = isHalfOver(state.targets.expires, lifetimesS.targets);
    return await publish({ paths, lifetimesS, keys, nowS, afterWrite: options.afterWrite }, state, {
      targets: isTargetsDue ? state.targets.targets : null,
      isSnapshotRenewed: isHalfOver(state.snapshot.expires, lifetimesS.snapshot),
    });
  });
};
