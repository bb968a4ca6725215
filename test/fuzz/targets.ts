// All fuzz targets by name.

import type { FuzzTarget } from './target.ts';
import { autobootTarget } from './targets/autoboot-txt.ts';
import { chunkIndexTarget } from './targets/chunk-index.ts';
import { loaderEntryTarget } from './targets/loader-entry.ts';
import { metadataTarget, signedMetadataTarget } from './targets/metadata.ts';
import { patchTarget } from './targets/patch.ts';
import { releaseDocumentTarget } from './targets/release-document.ts';
import { restTarget } from './targets/rest.ts';
import { slotRecordTarget } from './targets/slot-record.ts';
import { squashfsTarget } from './targets/squashfs.ts';
import { trybootIntentTarget } from './targets/tryboot-intent.ts';
import { ubootEnvironmentTarget } from './targets/uboot-environment.ts';
import { unifiedImageTarget } from './targets/unified-image.ts';

export const targets = {
  metadata: metadataTarget,
  'signed-metadata': signedMetadataTarget,
  'release-document': releaseDocumentTarget,
  'uboot-environment': ubootEnvironmentTarget,
  'loader-entry': loaderEntryTarget,
  'unified-image': unifiedImageTarget,
  'autoboot-txt': autobootTarget,
  'tryboot-intent': trybootIntentTarget,
  'slot-record': slotRecordTarget,
  squashfs: squashfsTarget,
  'chunk-index': chunkIndexTarget,
  patch: patchTarget,
  rest: restTarget,
} satisfies Readonly<Record<string, () => FuzzTarget>>;

export type TargetName = keyof typeof targets;
export const targetNames = Object.keys(targets) as readonly TargetName[];
