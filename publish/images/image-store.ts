// Takes an image into the repository: one pass through one descriptor copies it, pads it to whole blocks, hashes it and
// builds the dm-verity root, so that what is signed is what was stored, even if the source changes meanwhile.

import { constants } from 'node:fs';
import { type FileHandle, open, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { OtadError } from '../../agent/core/errors.ts';
import { createTreeBuilder } from '../../verity/dm-verity.ts';
import { createHasher } from '../../verity/sealing.ts';
import { commitFile, errorCodeOf, makeFolder, temporaryName } from '../durable-file.ts';
import { type PublicationOptions, targetFilePath } from '../repository/publication.ts';
import { checkSquashfs, imageBlockBytes } from './squashfs.ts';

const pieceBytes = 1024 * 1024;

export interface StoredImage {
  /** Whole blocks: padded with zeros where the source was not. */
  readonly lengthBytes: number;
  readonly sha256Hex: string;
  readonly rootHex: string;
}

const openImage = async (path: string): Promise<FileHandle> => {
  try {
    return await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (cause) {
    throw new OtadError('IMAGE_UNUSABLE', { path, problem: 'cannot be read', cause: errorCodeOf(cause) }, { cause });
  }
};

/** Fills `buffer` as far as the file goes from `position` on. */
const readFully = async (source: FileHandle, buffer: Buffer, position: number): Promise<number> => {
  let filled = 0;
  while (filled < buffer.length) {
    const { bytesRead } = await source.read(buffer, filled, buffer.length - filled, position + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return filled;
};

const copyImage = async (
  path: string,
  source: FileHandle,
  target: FileHandle,
  saltHex: string,
  signal: AbortSignal | undefined,
): Promise<StoredImage> => {
  const { lengthBytes: sourceBytes } = await checkSquashfs(source, path);
  const lengthBytes = Math.ceil(sourceBytes / imageBlockBytes) * imageBlockBytes;
  const hasher = createHasher();
  // The tree itself is not stored: devices compute it while they write. Only its root is signed.
  const tree = createTreeBuilder({ saltHex }, lengthBytes, () => undefined);
  for (let position = 0; position < lengthBytes; position += pieceBytes) {
    if (signal?.aborted === true) throw new OtadError('CANCELLED', { step: 'image' });
    const piece = Buffer.alloc(Math.min(pieceBytes, lengthBytes - position));
    const read = await readFully(source, piece, position);
    if (read < Math.min(piece.length, sourceBytes - position)) {
      throw new OtadError('IMAGE_UNUSABLE', { path, problem: 'became shorter while it was read' });
    }
    hasher.update(piece);
    tree.update(piece);
    await target.writeFile(piece);
  }
  await target.sync();
  return { lengthBytes, sha256Hex: hasher.digestHex(), rootHex: tree.finish().rootHex };
};

/**
 * Copies the image to its content-addressed place as `targetPath`. `accept` sees the result first, and a throw from it
 * leaves nothing behind. Throws IMAGE_UNUSABLE.
 */
export const storeImage = async (
  options: PublicationOptions,
  request: { readonly path: string; readonly targetPath: string; readonly saltHex: string },
  accept: (image: StoredImage) => void,
  signal?: AbortSignal,
): Promise<StoredImage> => {
  const source = await openImage(request.path);
  try {
    await checkSquashfs(source, request.path);
    const folder = dirname(join(options.paths.targets, request.targetPath));
    await makeFolder(folder, options.paths.folder);
    const temporary = temporaryName(join(folder, 'image'));
    try {
      const target = await open(temporary, 'wx', 0o644);
      const image = await copyImage(request.path, source, target, request.saltHex, signal).finally(() =>
        target.close(),
      );
      accept(image);
      const path = join(options.paths.targets, targetFilePath(request.targetPath, image.sha256Hex));
      await commitFile(temporary, path);
      await options.afterWrite?.(path);
      return image;
    } catch (error) {
      await rm(temporary, { force: true });
      throw errorCodeOf(error) === 'ENOSPC' ? new OtadError('DISK_FULL', { folder }, { cause: error }) : error;
    }
  } finally {
    await source.close();
  }
};
