// Files of the EFI system partition: read with bounds, written so that a cut leaves nothing a loader could trip over.
// FAT has no atomic rename: a file gets a new name by being made anew under it, never by rename(2), except to make a file
// that the loader does not read. Every change is on the medium when the call returns.

import { constants } from 'node:fs';
import { type FileHandle, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { OtadError } from '../../agent/core/errors.ts';
import { loaderFileBytesMax } from './loader-file.ts';

/** The few things that are done to an ESP. Names are relative to its root. Tests put cuts between them. */
export interface Esp {
  readonly path: string;
  /** File names in a folder; empty when there is no such folder. */
  list(folder: string): Promise<readonly string[]>;
  /** null: no such file, or larger than the loader's files are. */
  read(file: string): Promise<Uint8Array | null>;
  exists(file: string): Promise<boolean>;
  /** Makes the file, which must not be there yet. */
  create(file: string, bytes: Uint8Array): Promise<void>;
  /** Writes over a file of the same length, in place, with one write. */
  overwrite(file: string, bytes: Uint8Array): Promise<void>;
  /** A file that the loader does not read: whole or as before, or missing after a cut. */
  replace(file: string, bytes: Uint8Array): Promise<void>;
  /** For a full disk: needs no new cluster. After a cut old, new, both or neither. */
  rename(from: string, to: string): Promise<void>;
  remove(file: string): Promise<void>;
}

const filesMax = 1024;

const codeOf = (cause: unknown): string => String((cause as NodeJS.ErrnoException).code ?? cause);

const unwritable = (path: string, cause: unknown): OtadError => {
  if (cause instanceof OtadError) return cause;
  const code = codeOf(cause);
  if (code === 'ENOSPC') {
    return new OtadError('DISK_FULL', { path, reason: 'the EFI system partition has no room left' }, { cause });
  }
  const reason =
    code === 'EROFS' ? 'the EFI system partition is mounted read-only' : cause instanceof Error ? cause.message : code;
  return new OtadError('BOOT_ENV_UNWRITABLE', { path, reason }, { cause });
};

const unreadable = (path: string, cause: unknown): OtadError =>
  new OtadError(
    'BOOT_ENV_UNREADABLE',
    { path, reason: cause instanceof Error ? cause.message : codeOf(cause) },
    { cause },
  );

/** O_DIRECT wants memory on a page boundary; this is the one kind that Node has. One page more than any file. */
const createPageMemory = (): Uint8Array => {
  const { WebAssembly } = globalThis as unknown as {
    WebAssembly: { Memory: new (size: { initial: number }) => { readonly buffer: ArrayBuffer } };
  };
  return new Uint8Array(new WebAssembly.Memory({ initial: loaderFileBytesMax / 65536 + 1 }).buffer);
};

/** null: larger than the files that a loader reads. The bytes are a copy. */
const readAll = async (handle: FileHandle, memory: Uint8Array): Promise<Uint8Array | null> => {
  const { size } = await handle.stat();
  if (size > loaderFileBytesMax) return null;
  let done = 0;
  while (done < size) {
    const { bytesRead } = await handle.read(memory, done, Math.ceil((size - done) / 4096) * 4096, done);
    if (bytesRead === 0) return null;
    done += bytesRead;
  }
  return memory.slice(0, size);
};

const readWith = async (path: string, flags: number, memory: Uint8Array): Promise<Uint8Array | null> => {
  const handle = await open(path, constants.O_RDONLY | flags);
  try {
    return await readAll(handle, memory);
  } finally {
    await handle.close();
  }
};

/** Past the page cache where the file system can, so that what is compared is what the medium holds. */
const readBack = async (path: string): Promise<Uint8Array | null> => {
  const memory = createPageMemory();
  try {
    return await readWith(path, constants.O_DIRECT, memory);
  } catch (cause) {
    if (codeOf(cause) !== 'EINVAL') throw cause;
    return readWith(path, 0, memory);
  }
};

const syncFolder = async (path: string): Promise<void> => {
  const handle = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
};

const writeThrough = async (path: string, bytes: Uint8Array, flags: number): Promise<void> => {
  const handle = await open(path, constants.O_WRONLY | flags, 0o644);
  try {
    // One write, so that nothing shorter than the whole is ever handed to the kernel; the rest of a short one is an error.
    const { bytesWritten } = await handle.write(bytes, 0, bytes.length, 0);
    if (bytesWritten !== bytes.length) throw Object.assign(new Error('short write'), { code: 'ENOSPC' });
    await handle.sync();
  } finally {
    await handle.close();
  }
};

const compare = async (path: string, expected: Uint8Array): Promise<void> => {
  const actual = await readBack(path);
  if (actual === null || Buffer.compare(actual, expected) !== 0) throw new OtadError('BOOT_WRITE_LOST', { path });
};

/** Throws BOOT_ENV_UNREADABLE, BOOT_ENV_UNWRITABLE, DISK_FULL, BOOT_WRITE_LOST. */
export const openEsp = (root: string): Esp => {
  const at = (file: string): string => join(root, file);
  const changing = async (file: string, change: (path: string) => Promise<void>): Promise<void> => {
    try {
      await change(at(file));
    } catch (cause) {
      throw unwritable(at(file), cause);
    }
  };
  return {
    path: root,
    list: async (folder) => {
      try {
        const found = await readdir(at(folder), { withFileTypes: true });
        return found
          .filter((entry) => entry.isFile())
          .map(({ name }) => name)
          .sort()
          .slice(0, filesMax);
      } catch (cause) {
        if (codeOf(cause) === 'ENOENT') return [];
        throw unreadable(at(folder), cause);
      }
    },
    read: async (file) => {
      try {
        return await readWith(at(file), 0, Buffer.alloc(loaderFileBytesMax + 4096));
      } catch (cause) {
        if (codeOf(cause) === 'ENOENT') return null;
        throw unreadable(at(file), cause);
      }
    },
    exists: async (file) => {
      try {
        return (await stat(at(file))).isFile();
      } catch {
        return false;
      }
    },
    create: (file, bytes) =>
      changing(file, async (path) => {
        try {
          await writeThrough(path, bytes, constants.O_CREAT | constants.O_EXCL);
          await syncFolder(dirname(path));
        } catch (cause) {
          // A full disk leaves an empty file: no entry to the loader, but a name that is in the way.
          if (codeOf(cause) !== 'EEXIST') await rm(path, { force: true }).catch(() => undefined);
          throw cause;
        }
        await compare(path, bytes);
      }),
    overwrite: (file, bytes) =>
      changing(file, async (path) => {
        await writeThrough(path, bytes, 0);
        await compare(path, bytes);
      }),
    replace: (file, bytes) =>
      changing(file, async (path) => {
        await mkdir(dirname(path), { recursive: true });
        await writeThrough(`${path}.new`, bytes, constants.O_CREAT | constants.O_TRUNC);
        await rename(`${path}.new`, path);
        await syncFolder(dirname(path));
        await compare(path, bytes);
      }),
    rename: (from, to) =>
      changing(from, async (path) => {
        await rename(path, at(to));
        await syncFolder(dirname(path));
      }),
    remove: (file) =>
      changing(file, async (path) => {
        await rm(path, { force: true });
        await syncFolder(dirname(path));
      }),
  };
};
