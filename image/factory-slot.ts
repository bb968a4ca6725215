// A slot as the factory writes it: image, dm-verity tree, chunk index and the slot's record, just as otad leaves one after an install,
// so that the first system is a place to return to like every later one.

import { open, stat } from 'node:fs/promises';
import { OtadError } from '../agent/core/errors.ts';
import {
  blockSizeBytes,
  indexOffsetBytes,
  isIndexRoom,
  recordAreaOffsetBytes,
  recordOffsetBytes,
} from '../agent/core/slot-layout.ts';
import type { SlotRecord, VerityParameters } from '../agent/core/types.ts';
import { indexImage } from '../publish/images/image-index.ts';
import type { ImageIdentity } from '../publish/images/os-release.ts';
import { createTreeBuilder } from '../verity/dm-verity.ts';
import { createHasher } from '../verity/sealing.ts';
import { encodeRecord } from '../verity/slot-record.ts';

const pieceBytes = 1024 * blockSizeBytes;

export interface SealedImage {
  readonly lengthBytes: number;
  readonly sha256Hex: string;
  readonly verity: VerityParameters;
  /** Superblock and tree, which stand right after the image. */
  readonly tree: Uint8Array;
  /** The chunk index, by which the first update already copies from this slot; null where the image cannot be cut. */
  readonly index: Uint8Array | null;
}

const readImage = async (path: string, visit: (piece: Uint8Array) => Promise<void> | void): Promise<void> => {
  const handle = await open(path, 'r');
  try {
    const buffer = Buffer.alloc(pieceBytes);
    for (;;) {
      const { bytesRead } = await handle.read(buffer, 0, buffer.length);
      if (bytesRead === 0) return;
      await visit(buffer.subarray(0, bytesRead));
    }
  } finally {
    await handle.close();
  }
};

/** The image is whole blocks, as the image build leaves it. */
export const sealImage = async (path: string, saltHex: string): Promise<SealedImage> => {
  const { size: lengthBytes } = await stat(path);
  const hasher = createHasher();
  const builder = createTreeBuilder({ saltHex }, lengthBytes);
  await readImage(path, (piece) => {
    hasher.update(piece);
    builder.update(piece);
  });
  const { rootHex, bytes: tree } = builder.finish();
  const verity = { algorithm: 'sha256', blockSizeBytes, saltHex, rootHex, hashOffsetBytes: lengthBytes } as const;
  const index = await indexImage(path);
  const isIndexed = typeof index !== 'string';
  return { lengthBytes, sha256Hex: hasher.digestHex(), verity, tree, index: isIndexed ? index : null };
};

export const factoryRecord = (image: SealedImage, identity: ImageIdentity): SlotRecord => ({
  status: 'activated',
  release: { id: identity.releaseId, version: identity.version, sequence: identity.sequence },
  compatible: identity.compatible,
  imageLengthBytes: image.lengthBytes,
  imageSha256Hex: image.sha256Hex,
  verity: image.verity,
  writtenBytes: image.lengthBytes,
  prefixSha256Hex: image.sha256Hex,
  reason: null,
});

export interface SlotPlace {
  readonly diskPath: string;
  readonly offsetBytes: number;
  readonly sizeBytes: number;
}

/** Throws IMAGE_UNUSABLE where image and tree leave no room for the record. */
export const writeFactorySlot = async (
  place: SlotPlace,
  imagePath: string,
  image: SealedImage,
  identity: ImageIdentity,
): Promise<void> => {
  const { diskPath, offsetBytes, sizeBytes } = place;
  if (image.lengthBytes + image.tree.length > recordAreaOffsetBytes(sizeBytes)) {
    const problem = `the slot of ${sizeBytes} bytes is too small for ${image.lengthBytes} bytes with their tree`;
    throw new OtadError('IMAGE_UNUSABLE', { path: imagePath, problem });
  }
  const handle = await open(diskPath, 'r+');
  try {
    let position = offsetBytes;
    await readImage(imagePath, async (piece) => {
      await handle.write(piece, 0, piece.length, position);
      position += piece.length;
    });
    await handle.write(image.tree, 0, image.tree.length, position);
    const indexOffset = indexOffsetBytes(image.lengthBytes, image.tree.length);
    if (image.index !== null && isIndexRoom(indexOffset, image.index.length, sizeBytes)) {
      await handle.write(image.index, 0, image.index.length, offsetBytes + indexOffset);
    }
    const record = encodeRecord(factoryRecord(image, identity), 0);
    await handle.write(record, 0, record.length, offsetBytes + recordOffsetBytes(sizeBytes, 0));
  } finally {
    await handle.close();
  }
};
