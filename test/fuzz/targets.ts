// All fuzz targets by name.

import type { FuzzTarget } from './target.ts';
import { chunkIndexTarget } from './targets/chunk-index.ts';
import { metadataTarget, signedMetadataTarget } from './targets/metadata.ts';
import { releaseDocumentTarget } from './targets/release-document.ts';
import { restTarget } from './targets/rest.ts';
import { slotRecordTarget } from './targets/slot-record.ts';
import { squashfsTarget } from './targets/squashfs.ts';
import { ubootEnvironmentTarget } from './targets/uboot-environment.ts';

export const targets = {
  metadata: metadataTarget,
  'signed-metadata': signedMetadataTarget,
  'release-document': releaseDocumentTarget,
  'uboot-environment': ubootEnvironmentTarget,
  'slot-record': slotRecordTarget,
  squashfs: squashfsTarget,
  'chunk-index': chunkIndexTarget,
  rest: restTarget,
} satisfies Readonly<Record<string, () => FuzzTarget>>;

export type TargetName = keyof typeof targets;
export const targetNames = Object.keys(targets) as readonly TargetName[];
