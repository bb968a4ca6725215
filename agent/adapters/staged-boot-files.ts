// The boot files that otad fetched, as the boot helper reads them: from a folder that belongs to somebody it does not trust. The folder
// is opened once and files are found from there, so neither it nor a file in it can be a link; nothing but a file is read.

import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { bootManifestBytesMax } from '../core/boot-set.ts';
import { OtadError } from '../core/errors.ts';
import type { StagedBootFiles } from '../core/ports.ts';
import { manifestFile } from './boot-stage.ts';
import { errnoOf, visitPieces } from './file-pieces.ts';

/** A pipe would wait for its other end; O_NONBLOCK makes it open, and then it is no file. */
const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/**
 * The data partition, and what is used where it cannot be. Each file is read from the last of them that has it: a partition that
 * takes nothing any more may hold what is out of date.
 */
export const openStagedBootFiles = (folders: readonly string[]): StagedBootFiles => {
  const readingIn = async <T>(folder: string, name: string, read: (file: FileHandle) => Promise<T>): Promise<T> => {
    const place = await open(folder, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
    try {
      const file = await open(`/proc/self/fd/${place.fd}/${name}`, flags);
      try {
        if (!(await file.stat()).isFile())
          throw new OtadError('BOOT_SET_INCOMPLETE', { file: name, reason: 'no file' });
        return await read(file);
      } finally {
        await file.close();
      }
    } finally {
      await place.close();
    }
  };
  const reading = async <T>(name: string, read: (file: FileHandle) => Promise<T>): Promise<T> => {
    let failure: unknown = null;
    for (const folder of folders.toReversed()) {
      try {
        return await readingIn(folder, name, read);
      } catch (error) {
        failure = error;
      }
    }
    throw failure;
  };
  return {
    readManifest: () =>
      reading(manifestFile, async (file) => {
        const pieces: Uint8Array[] = [];
        await visitPieces(file, bootManifestBytesMax, (bytes) => void pieces.push(bytes.slice()));
        return Buffer.concat(pieces);
      }).catch(() => null),
    lengthOf: ({ sha256Hex }) => reading(sha256Hex, async (file) => (await file.stat()).size).catch(() => null),
    visit: (file, sink, signal) =>
      reading(file.sha256Hex, (handle) => visitPieces(handle, file.lengthBytes, sink, signal)).catch(
        (error: unknown) => {
          if (error instanceof OtadError) throw error;
          const facts = { file: file.name, reason: 'cannot be read in the state folder', errno: errnoOf(error) };
          throw new OtadError('BOOT_SET_INCOMPLETE', facts, { cause: error });
        },
      ),
  };
};
