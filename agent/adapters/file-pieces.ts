// Files piece by piece, for what is too long to be held whole: read into memory that O_DIRECT takes as well, written to the last
// byte, made durable with their folders; and what the system said of them.

import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { OtadError } from '../core/errors.ts';
import type { ByteSink } from '../core/ports.ts';
import { allocateAligned } from './aligned-memory.ts';

const pieceBytesMax = 1024 * 1024;
/** What such memory comes in. */
const pageBytes = 64 * 1024;

/** The first `limitBytes` of the file, or all of it where it is shorter. */
export const visitPieces = async (
  file: FileHandle,
  limitBytes: number,
  sink: ByteSink,
  signal?: AbortSignal,
): Promise<void> => {
  const endBytes = Math.min(limitBytes, (await file.stat()).size);
  // Device trees are many and small: each of these pieces lives until the garbage collector finds it.
  const pieceBytes = Math.min(pieceBytesMax, Math.ceil(endBytes / pageBytes) * pageBytes);
  const piece = allocateAligned(pieceBytes);
  for (let position = 0; position < endBytes; ) {
    if (signal?.aborted) throw new OtadError('CANCELLED', { step: 'boot files' });
    const { bytesRead } = await file.read(piece, 0, pieceBytes, position);
    if (bytesRead === 0) return;
    await sink(piece.subarray(0, Math.min(bytesRead, endBytes - position)));
    position += bytesRead;
  }
};

/** One stretch of the file, shorter where the file ends. Whoever takes it checks it: it may come out of the page cache. */
export const readPiece = async (file: FileHandle, offsetBytes: number, lengthBytes: number): Promise<Uint8Array> => {
  const piece = Buffer.alloc(lengthBytes);
  for (let done = 0; done < lengthBytes; ) {
    const { bytesRead } = await file.read(piece, done, lengthBytes - done, offsetBytes + done);
    if (bytesRead === 0) return piece.subarray(0, done);
    done += bytesRead;
  }
  return piece;
};

/** All of the bytes, whatever the system takes at once. `position` null: where the file stands. */
export const writeAll = async (file: FileHandle, bytes: Uint8Array, position: number | null): Promise<void> => {
  for (let done = 0; done < bytes.length; ) {
    const at = position === null ? null : position + done;
    done += (await file.write(bytes, done, bytes.length - done, at)).bytesWritten;
  }
};

/** Past the page cache where the file system allows that. */
export const openDirect = async (path: string, flags: number): Promise<FileHandle> => {
  try {
    return await open(path, flags | constants.O_DIRECT);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EINVAL') throw error;
    return open(path, flags);
  }
};

export const syncFolder = async (path: string): Promise<void> => {
  const folder = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
};

export const errnoOf = (error: unknown): string =>
  error instanceof Error && 'code' in error ? String(error.code) : String(error);
