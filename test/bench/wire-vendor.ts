// The vendor of the wire rows: two ready-made images, offered to gateways on a channel for each way in which they may come.

import { join } from 'node:path';
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

/** What the images say of themselves; those that say nothing get an identity. Throws IMAGE_UNUSABLE. */
const identify = async ({ oldPath, newPath }: WireVendorOptions) => {
  const [ownOld, ownNew] = [await readImageIdentity(oldPath), await readImageIdentity(newPath)];
  const compatible = ownOld?.compatible ?? ownNew?.compatible ?? compatibleDefault;
  const old = ownOld ?? plainIdentity(compatible, Math.max(1, (ownNew?.sequence ?? 2) - 1));
  return { old, image: ownNew ?? plainIdentity(compatible, old.sequence + 1) };
};

const release = async (options: ReleaseOptions): Promise<ReleaseCost> => {
  const script = join(import.meta.dirname, 'wire-release.js');
  return JSON.parse(await runTool(process.execPath, [script, JSON.stringify(options)])) as ReleaseCost;
};

/** Publishes the old image on all channels, and makes the new release. Throws TOOL_FAILED with the publisher's own words. */
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
    offer: (way) => release({ ...next, channel: way, ...(way === 'patch' ? { patchFrom: [old.version] } : {}) }),
  };
};
