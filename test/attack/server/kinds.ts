// Which test file meets the behaviours with which kinds of file: two files, so that two cores share the work.

import type { FileKind } from '../vendor.ts';

export const kindsByTestFile = {
  metadata: ['root', 'timestamp', 'snapshot'],
  targets: ['targets', 'document', 'image'],
} as const satisfies Record<string, readonly FileKind[]>;
