// Where things stand in a slot: image, padding to a block, superblock and tree, the image's chunk index where there is room
// for it, free space, and in the last two blocks the slot's record of itself. Pure arithmetic, shared by everything that
// writes or reads a slot.

/** Of dm-verity, of the record, and of every transfer to a slot. */
export const blockSizeBytes = 4096;

/** Two copies of the record, written in turn: a cut while one is written leaves the other. */
export const recordCopies = 2;

export const recordAreaBytes = recordCopies * blockSizeBytes;

/** Longest reason that a record keeps; longer ones are cut. */
export const recordReasonCharsMax = 512;

export const floorToBlock = (bytes: number): number => bytes - (bytes % blockSizeBytes);

export const ceilToBlock = (bytes: number): number => floorToBlock(bytes + blockSizeBytes - 1);

/** Where the record's two blocks begin; negative where the slot is too small to hold them. */
export const recordAreaOffsetBytes = (slotSizeBytes: number): number => floorToBlock(slotSizeBytes) - recordAreaBytes;

/** Where the copy with this serial stands: even ones first, odd ones last. */
export const recordOffsetBytes = (slotSizeBytes: number, serial: number): number =>
  recordAreaOffsetBytes(slotSizeBytes) + (serial % recordCopies) * blockSizeBytes;

/** Where the chunk index stands: at the block behind the tree, which may be no room at all. */
export const indexOffsetBytes = (hashOffsetBytes: number, treeLengthBytes: number): number =>
  ceilToBlock(hashOffsetBytes + treeLengthBytes);

/** True when an index of this length stands clear of the record. */
export const isIndexRoom = (offsetBytes: number, lengthBytes: number, slotSizeBytes: number): boolean =>
  offsetBytes + ceilToBlock(lengthBytes) <= recordAreaOffsetBytes(slotSizeBytes);
