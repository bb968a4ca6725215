// Signs again what is about to expire, without a new release: the timestamp always, snapshot and targets once they have
// lived half of their time. Meant to run from a timer, so a repository stays fresh with two online keys: what needs a key
// that is elsewhere is left, and said, as long as it has not expired.

import { timeOf } from '../../verity/tuf-metadata.ts';
import { readKeyFolders } from '../keys/key-files.ts';
import type { RoleName } from '../keys/signing-key.ts';
import { isDue, warningS } from './expiry.ts';
import { countFor, signingKeyId } from './metadata-signing.ts';
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

export interface Renewal {
  readonly versions: PublishedVersions;
  /** What was signed again; the others are as before. */
  readonly renewed: readonly RoleName[];
  /** About to expire, and their keys are not here. */
  readonly left: readonly { readonly role: RoleName; readonly expires: string }[];
}

export const renewRepository = async (options: RenewalOptions): Promise<Renewal> => {
  const paths = publisherPaths(options.folder);
  const { lifetimesS } = await readSettings(paths);
  const nowS = Math.floor((options.nowMs ?? Date.now()) / 1000);
  return await withPublisherLock(paths.folder, async () => {
    const keys = await readKeyFolders(options.keyFolders ?? [paths.keys]);
    await removeLeftovers(paths.repository);
    const state = await loadPublished(paths);
    const here = keys.map(signingKeyId);
    const due = (['targets', 'snapshot'] as const).filter((role) => isDue(role, state[role].expires, lifetimesS, nowS));
    const canSign = (role: RoleName): boolean => countFor(state.root, role, here) >= state.root.roles[role].threshold;
    const isExpired = (role: (typeof due)[number]): boolean => timeOf(state[role].expires) <= nowS;
    const versions = await publish({ paths, lifetimesS, keys, nowS, afterWrite: options.afterWrite }, state, {
      // What has expired already must be signed or fail: a fresh timestamp over it would help nobody.
      targets: due.includes('targets') && (canSign('targets') || isExpired('targets')) ? state.targets.targets : null,
      isSnapshotRenewed: due.includes('snapshot'),
    });
    const left = (['root', 'targets'] as const).filter((role) => {
      const isLeft = role === 'root' || !canSign(role);
      return isLeft && timeOf(state[role].expires) - nowS < warningS(role, lifetimesS);
    });
    const renewed = (['targets', 'snapshot', 'timestamp'] as const).filter(
      (role) => versions[role] > state[role].version,
    );
    return { versions, renewed, left: left.map((role) => ({ role, expires: state[role].expires })) };
  });
};
