// The port that the install pipeline seals a slot with: hashes, dm-verity tree and the slot's record of itself.

import { createHash } from 'node:crypto';
import type { Hasher, Sealing } from '../agent/core/ports.ts';
import { createTreeBuilder, treeLengthBytes } from './dm-verity.ts';
import { decodeRecord, encodeRecord } from './slot-record.ts';

/** Running SHA-256 whose digest may be asked for in the middle. */
export const createHasher = (): Hasher => {
  const hash = createHash('sha256');
  return {
    update(bytes) {
      hash.update(bytes);
    },
    digestHex: () => hash.copy().digest('hex'),
  };
};

export const createSealing = (): Sealing => ({
  createHasher,
  createTreeBuilder,
  treeLengthBytes,
  encodeRecord,
  decodeRecord,
});
