// The boot files of one release on the data partition (in RAM, where that is full), each under its digest, until they lie in the
// slot's boot place. otad writes them; whoever places them only reads, and believes nothing. Everybody may read them: they are
// published.

import { constants } from 'node:fs';
import { chmod, type FileHandle, mkdir, open, readdir, rename, rm, stat, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { createHasher } from '../../verity/sealing.ts';
import { type BootFile, bootManifestBytesMax, decodeBootManifest } from '../core/boot-set.ts';
import { OtadError } from '../core/errors.ts';
import type { BootStage, ByteSink } from '../core/ports.ts';
import { errnoOf, syncFolder, visitPieces, writeAll } from './file-pieces.ts';

/** On the data partition; and in RAM, for when there is no room on it. */
export const bootStageFolders = ({
  stateDir,
  runDir,
}: {
  readonly stateDir: string;
  readonly runDir: string;
}): readonly [string, string] => [join(stateDir, 'boot-set'), join(runDir, 'boot-set')];

export const manifestFile = 'manifest';
const partSuffix = '.part';
/** Beside what was fetched of the same file, which stays until the copy is known to be right. */
const copySuffix = '.copy';
/** After a power cut at most this much of a file comes again. */
const syncEveryBytes = 1024 * 1024;
/** Left for the database and for everybody else on the data partition. */
const reserveBytes = 4 * 1024 * 1024;
const fileMode = 0o644;
const folderMode = 0o755;

const failure =
  (path: string, step: string) =>
  (error: unknown): never => {
    if (error instanceof OtadError) throw error;
    const errno = errnoOf(error);
    const isFull = errno === 'ENOSPC' || errno === 'EDQUOT';
    throw new OtadError(isFull ? 'DISK_FULL' : 'BOOT_STAGE_IO', { path, step, errno }, { cause: error });
  };

const sizeOf = (path: string): Promise<number | null> =>
  stat(path).then(
    ({ size }) => size,
    () => null,
  );

/** Null: no such file, or none that the disk gives back. */
const digestOf = async (path: string, lengthBytes: number, signal?: AbortSignal): Promise<string | null> => {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW).catch(() => null);
  if (file === null) return null;
  try {
    const hasher = createHasher();
    if ((await file.stat()).size !== lengthBytes) return null;
    await visitPieces(file, lengthBytes, (bytes) => hasher.update(bytes), signal);
    return hasher.digestHex();
  } catch (error) {
    if (error instanceof OtadError) throw error;
    return null;
  } finally {
    await file.close();
  }
};

/** What is there of the file goes on; gives the digest of the whole. */
const complete = async (
  file: FileHandle,
  { lengthBytes }: BootFile,
  fetch: (offsetBytes: number, sink: ByteSink) => Promise<void>,
): Promise<string> => {
  const hasher = createHasher();
  if ((await file.stat()).size > lengthBytes) await file.truncate(0);
  let position = 0;
  await visitPieces(file, lengthBytes, (bytes) => {
    hasher.update(bytes);
    position += bytes.length;
  });
  let syncedBytes = position;
  const sink: ByteSink = async (bytes) => {
    hasher.update(bytes);
    await writeAll(file, bytes, position);
    position += bytes.length;
    if (position - syncedBytes < syncEveryBytes) return;
    await file.datasync();
    syncedBytes = position;
  };
  if (position < lengthBytes) {
    await fetch(position, (bytes) => (sink(bytes) as Promise<void>).catch(failure('boot file', 'write')));
  }
  await file.sync();
  return hasher.digestHex();
};

const openStage = (folder: string): BootStage => {
  const at = (name: string): string => join(folder, name);
  const partOf = ({ sha256Hex }: BootFile): string => at(`${sha256Hex}${partSuffix}`);

  const prepare = async (): Promise<void> => {
    await mkdir(folder, { recursive: true });
    // Whatever the umask of the service: the boot helper is another user.
    await chmod(folder, folderMode);
  };

  const requireSpace = async (files: readonly BootFile[]): Promise<void> => {
    let missingBytes = 0;
    for (const file of files) {
      if ((await sizeOf(at(file.sha256Hex))) === file.lengthBytes) continue;
      missingBytes += Math.max(0, file.lengthBytes - ((await sizeOf(partOf(file))) ?? 0));
    }
    if (missingBytes === 0) return;
    const { bavail, bsize } = await statfs(folder);
    const availableBytes = bavail * bsize;
    const neededBytes = missingBytes + reserveBytes;
    if (neededBytes > availableBytes) throw new OtadError('DISK_FULL', { path: folder, neededBytes, availableBytes });
  };

  const writeManifest = async (text: string): Promise<void> => {
    const temporary = at(`${manifestFile}${partSuffix}`);
    const file = await open(temporary, 'w', fileMode);
    try {
      await file.writeFile(text);
      await file.chmod(fileMode);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, at(manifestFile));
    await syncFolder(folder);
  };

  const fillPart = async (
    file: BootFile,
    fetch: (offsetBytes: number, sink: ByteSink) => Promise<void>,
  ): Promise<boolean> => {
    const flags = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW;
    const part = await open(partOf(file), flags, fileMode);
    let isWhole: boolean;
    try {
      await part.chmod(fileMode);
      isWhole = (await complete(part, file, fetch)) === file.sha256Hex;
    } finally {
      await part.close();
    }
    if (isWhole) await rename(partOf(file), at(file.sha256Hex));
    else await rm(partOf(file));
    await syncFolder(folder);
    return isWhole;
  };

  /** True when it was the file; then it is in its place, durably. */
  const writeCopy = async (file: BootFile, bring: (sink: ByteSink) => Promise<void>): Promise<boolean> => {
    const temporary = at(`${file.sha256Hex}${copySuffix}`);
    await rm(temporary, { force: true });
    let isRight = false;
    try {
      const copy = await open(temporary, 'wx', fileMode);
      try {
        const hasher = createHasher();
        await bring(async (bytes) => {
          hasher.update(bytes);
          await writeAll(copy, bytes, null);
        });
        isRight = hasher.digestHex() === file.sha256Hex;
        if (isRight) {
          await copy.chmod(fileMode);
          await copy.sync();
        }
      } finally {
        await copy.close();
      }
      if (isRight) await rename(temporary, at(file.sha256Hex));
    } finally {
      await rm(isRight ? partOf(file) : temporary, { force: true });
    }
    if (isRight) await syncFolder(folder);
    return isRight;
  };

  return {
    begin: async (manifest, files) => {
      try {
        await prepare();
        const kept = new Set([
          manifestFile,
          ...files.flatMap((file) => [file.sha256Hex, `${file.sha256Hex}${partSuffix}`]),
        ]);
        for (const name of await readdir(folder)) {
          // What cannot be removed is in nobody's way, unless there is no room beside it.
          if (!kept.has(name)) await rm(at(name), { recursive: true }).catch(() => undefined);
        }
        await requireSpace(files);
        await writeManifest(manifest);
      } catch (error) {
        failure(folder, 'make room')(error);
      }
    },

    fill: async (file, fetch) => {
      const path = at(file.sha256Hex);
      try {
        if ((await digestOf(path, file.lengthBytes)) === file.sha256Hex) return;
        await rm(path, { force: true });
        const isResumed = ((await sizeOf(partOf(file))) ?? 0) > 0;
        if (await fillPart(file, fetch)) return;
        // A power cut may leave anything in what was being written: that is no fault of the server yet.
        if (isResumed && (await fillPart(file, fetch))) return;
      } catch (error) {
        failure(path, 'write')(error);
      }
      throw new OtadError('TARGET_DIGEST_MISMATCH', { path: file.name, expected: file.sha256Hex });
    },

    copy: async (file, bring) => {
      const path = at(file.sha256Hex);
      try {
        if ((await digestOf(path, file.lengthBytes)) === file.sha256Hex) return 'kept';
        return (await writeCopy(file, bring)) ? 'copied' : 'other';
      } catch (error) {
        return failure(path, 'copy')(error);
      }
    },

    check: async (bootSetSha256Hex, signal) => {
      const lost = (reason: string, file?: string): OtadError =>
        new OtadError('BOOT_SET_INCOMPLETE', { file, reason, path: folder });
      const lengthBytes = await sizeOf(at(manifestFile));
      if (lengthBytes === null || lengthBytes > bootManifestBytesMax) throw lost('the list of them is not there');
      if ((await digestOf(at(manifestFile), lengthBytes, signal)) !== bootSetSha256Hex) {
        throw lost('the list there is of another set');
      }
      const manifest = await open(at(manifestFile), 'r');
      const files = decodeBootManifest(await manifest.readFile('latin1').finally(() => manifest.close())) ?? [];
      for (const file of files) {
        const actual = await digestOf(at(file.sha256Hex), file.lengthBytes, signal);
        if (actual !== file.sha256Hex) throw lost('not whole in the state folder', file.name);
      }
    },

    drop: async () => {
      await rm(folder, { recursive: true, force: true }).catch(() => undefined);
    },
  };
};

const isCode = (error: unknown, ...codes: readonly string[]): boolean =>
  error instanceof OtadError && codes.includes(error.code);

/**
 * Kept in the first folder that takes it. A data partition that is full, read-only or broken must not keep a gateway from
 * updating, and what is in RAM is fetched again where the power goes before the flip.
 */
export const createBootStage = ([first, second]: readonly [string, string]): BootStage => {
  const [disk, memory] = [openStage(first), openStage(second)];
  let current = disk;
  return {
    begin: async (manifest, files) => {
      try {
        await disk.begin(manifest, files);
        current = disk;
        await memory.drop();
      } catch (error) {
        if (!isCode(error, 'DISK_FULL', 'BOOT_STAGE_IO')) throw error;
        await disk.drop();
        current = memory;
        // What somebody can do something about is the disk.
        await memory.begin(manifest, files).catch((cause: unknown) => {
          throw isCode(cause, 'DISK_FULL', 'BOOT_STAGE_IO') ? error : cause;
        });
      }
    },
    fill: (file, fetch) => current.fill(file, fetch),
    copy: (file, bring) => current.copy(file, bring),
    check: async (bootSetSha256Hex, signal) => {
      try {
        await disk.check(bootSetSha256Hex, signal);
      } catch (error) {
        if (!isCode(error, 'BOOT_SET_INCOMPLETE')) throw error;
        await memory.check(bootSetSha256Hex, signal).catch((cause: unknown) => {
          throw isCode(cause, 'BOOT_SET_INCOMPLETE') ? error : cause;
        });
      }
    },
    drop: async () => {
      await disk.drop();
      await memory.drop();
    },
  };
};
