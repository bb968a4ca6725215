// The few ways in which boot control touches a file, each durable when it returns and compared with what the medium gives
// back. A port of its own so that tests cut the power between any two of them.

import { constants } from 'node:fs';
import { mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { OtadError } from '../../agent/core/errors.ts';
import { readImage } from '../uboot/medium.ts';

export interface TrybootFiles {
  /** null: there is none. Throws BOOT_ENV_UNREADABLE. */
  read(path: string): Promise<Uint8Array | null>;
  /** One write at the start of a file that exists; its name, place and (where long enough) length stay. */
  overwrite(path: string, bytes: Uint8Array): Promise<void>;
  /** The old file or the new one, also across a cut; on FAT possibly neither. */
  replace(path: string, bytes: Uint8Array): Promise<void>;
  remove(path: string): Promise<void>;
  /** Something is mounted there: what is written does not land in the folder below. */
  isMounted(folder: string): Promise<boolean>;
}

/** Everything read here is a few hundred bytes; a larger file is not what its name says. */
const fileBytesMax = 65536;

export const spareName = (path: string): string => `${path}.new`;

const errnoOf = (cause: unknown): string | undefined =>
  cause instanceof Error && 'code' in cause && typeof cause.code === 'string' ? cause.code : undefined;

const reasonOf = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause));

const unwritable = (path: string, cause: unknown): OtadError =>
  cause instanceof OtadError
    ? cause
    : new OtadError('BOOT_ENV_UNWRITABLE', { path, reason: reasonOf(cause) }, { cause });

const syncFolder = async (folder: string): Promise<void> => {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
};

const writeWhole = async (path: string, flags: number, bytes: Uint8Array): Promise<void> => {
  const handle = await open(path, flags, 0o644);
  try {
    const { bytesWritten } = await handle.write(bytes, 0, bytes.length, 0);
    if (bytesWritten !== bytes.length) throw new OtadError('BOOT_WRITE_LOST', { path, bytesWritten });
    await handle.sync();
  } finally {
    await handle.close();
  }
};

const compare = async (path: string, bytes: Uint8Array): Promise<void> => {
  const actual = await readImage(path, 0, bytes.length);
  if (actual === null || Buffer.compare(actual, bytes) !== 0) throw new OtadError('BOOT_WRITE_LOST', { path });
};

export const trybootFiles: TrybootFiles = {
  read: async (path) => {
    try {
      const bytes = await readFile(path);
      return bytes.length > fileBytesMax ? bytes.subarray(0, fileBytesMax) : bytes;
    } catch (cause) {
      if (errnoOf(cause) === 'ENOENT') return null;
      throw new OtadError('BOOT_ENV_UNREADABLE', { path, reason: reasonOf(cause) }, { cause });
    }
  },
  overwrite: async (path, bytes) => {
    try {
      await writeWhole(path, constants.O_WRONLY | constants.O_NOFOLLOW, bytes);
      await compare(path, bytes);
    } catch (cause) {
      throw unwritable(path, cause);
    }
  },
  replace: async (path, bytes) => {
    const spare = spareName(path);
    try {
      await writeWhole(spare, constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW, bytes);
      await rename(spare, path);
      await syncFolder(dirname(path));
      await compare(path, bytes);
    } catch (cause) {
      throw unwritable(path, cause);
    }
  },
  isMounted: async (folder) => {
    const [here, above] = [await stat(folder).catch(() => null), await stat(dirname(folder)).catch(() => null)];
    return here !== null && above !== null && here.dev !== above.dev;
  },
  remove: async (path) => {
    try {
      await rm(path, { force: true });
    } catch (cause) {
      throw unwritable(path, cause);
    }
  },
};

/** The folder of a file that is about to be made. Throws BOOT_ENV_UNWRITABLE. */
export const makeFolderOf = async (path: string): Promise<void> => {
  try {
    await mkdir(dirname(path), { recursive: true });
  } catch (cause) {
    throw unwritable(path, cause);
  }
};
