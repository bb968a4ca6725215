// The vendor of the wire rows: two ready-made images, offered to gateways on a channel for each way in which they may come.

import { join } from 'node:path';
import { OtadError } from '../../agent/core/errors.ts';
import { runTool } from '../../image/tool.ts';
import type { ImageIdentity } from '../../publish/images/os-release.ts';
import { readImageIdentity } from '../../publish/images/squashfs.ts';
import type { ReleaseOptions } from '../../publish/releases/release.ts';
import { releaseIdOf } from '../../publish/releases/release-plan.ts';
import type { PublisherPaths } from '../../publish/repository/publisher-folder.ts';
import { initRepository } from '../../publish/repository/repository-init.ts';
import type { ReleaseCost } from './wire-release.ts';

export const ways = ['full', 'index', 'patch'] as const;
/** Also the name of the channel on which it is to be taken. */
export type Way = (typeof ways)[number];

/** Where the new release is made before any gateway is offered it. */
const workshop = 'workshop';
const compatibleDefault = 'bench-gateway';
const healthDeadlineS = 60;

export interface WireVendor {
  readonly paths: PublisherPaths;
  readonly old: ImageIdentity;
  /** What making the new release with its index cost. */
  readonly index: ReleaseCost;
  /** Offers the new release to the gateways of this way; for `patch`, the patch is made and proven first. */
  offer(way: Way): Promise<ReleaseCost>;
}

export interface WireVendorOptions {
  readonly folder: string;
  readonly oldPath: string;
  readonly newPath: string;
}

const plainIdentity = (compatible: string, sequence: number): ImageIdentity => ({
  releaseId: releaseIdOf(compatible, `${sequence}`),
  compatible,
  version: `${sequence}`,
  sequence,
});

/** Throws a sentence where no gateway would go from the one to the other. */
export const checkUpdate = (old: ImageIdentity, image: ImageIdentity): void => {
  if (old.compatible !== image.compatible) {
    throw new Error(`no update leads from an image for ${old.compatible} to one for ${image.compatible}`);
  }
  if (old.version === image.version) throw new Error(`both images say that they are version ${image.version}`);
  if (old.sequence >= image.sequence) {
    const [from, to] = [`${old.version} (sequence ${old.sequence})`, `${image.version} (sequence ${image.sequence})`];
    throw new Error(`an update goes to a higher sequence, not from ${from} to ${to}`);
  }
};

/** What the images say of themselves; those that say nothing get an identity. */
const identify = async ({ oldPath, newPath }: WireVendorOptions) => {
  const [ownOld, ownNew] = [await readImageIdentity(oldPath), await readImageIdentity(newPath)];
  const compatible = ownOld?.compatible ?? ownNew?.compatible ?? compatibleDefault;
  const old = ownOld ?? plainIdentity(compatible, Math.max(1, (ownNew?.sequence ?? 2) - 1));
  const image = ownNew ?? plainIdentity(compatible, old.sequence + 1);
  checkUpdate(old, image);
  return { old, image };
};

const release = async (options: ReleaseOptions): Promise<ReleaseCost> => {
  const script = join(import.meta.dirname, 'wire-release.js');
  const output = await runTool(process.execPath, [script, JSON.stringify(options)]).catch((cause: unknown) => {
    const said = cause instanceof OtadError ? cause.details.problem : undefined;
    throw new Error(`the images cannot be published: ${said ?? String(cause)}`, { cause });
  });
  return JSON.parse(output) as ReleaseCost;
};

/** Publishes the old image on all channels, and makes the new release. Throws the publisher's own words. */
export const createWireVendor = async (options: WireVendorOptions): Promise<WireVendor> => {
  const { old, image } = await identify(options);
  const { paths } = await initRepository({ folder: join(options.folder, 'otapub'), name: 'bench' });
  const common = { folder: paths.folder, compatible: image.compatible, healthDeadlineS };
  const first = { ...common, compatible: old.compatible, version: old.version, sequence: old.sequence };
  const next = { ...common, version: image.version, sequence: image.sequence };
  await release({ ...first, channel: workshop, image: { imagePath: options.oldPath } });
  for (const channel of ways) await release({ ...first, channel });
  const index = await release({ ...next, channel: workshop, image: { imagePath: options.newPath } });
  return {
    paths,
    old,
    index,
    offer: (way) => {
      // What has no index can be read by nobody who could make a patch.
      const patchFrom = way === 'patch' && index.indexBytes !== null ? [old.version] : [];
      return release({ ...next, channel: way, patchFrom });
    },
  };
};
