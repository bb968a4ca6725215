// The folder from which the bootloader takes a slot's kernel: on the EFI system partition, or a FAT partition of the slot's own. It is
// otad's: what no set brings goes, but for what boot control or the board keeps there. It decides nothing; boot-placing.ts does.

import { constants } from 'node:fs';
import { lstat, mkdir, open, readdir, rm, rmdir, stat, statfs } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { bootManifestBytesMax, bootManifestName } from '../core/boot-set.ts';
import { OtadError } from '../core/errors.ts';
import type { BootPlace, ByteSink } from '../core/ports.ts';
import type { SlotName } from '../core/types.ts';
import type { BootloaderKind, BootloaderSettings } from './boot-control.ts';
import { errnoOf, openDirect, readPiece, syncFolder, visitPieces, writeAll } from './file-pieces.ts';

type PerSlot<T> = Readonly<Record<SlotName, T>>;

/** A folder with more is something else than what the setting should name. */
const entriesMax = 1024;
const fileMode = 0o644;

/** File systems that system images are made of, squashfs and erofs: the folder below the mount that is missing. */
const imageTypes: readonly number[] = [0x73717368, 0xe0f5e1e2];

interface Habits {
  /** Stays, whatever the set; a set may bring a newer one. */
  readonly kept: RegExp;
  /** Written by boot control, or read by it: no set brings it. */
  readonly reserved: RegExp;
}

const never = /^(?!)/;

/** Names in lower case, as FAT compares them. */
const habits: Readonly<Record<BootloaderKind, Habits>> = {
  'systemd-boot': { kept: never, reserved: never },
  uboot: {
    kept: /^(?:boot\.scr|boot\.scr\.uimg|uboot\.env|uboot-redund\.env|extlinux|lost\+found)$/,
    reserved: /^(?:uboot\.env|uboot-redund\.env)$/,
  },
  // Firmware that the kernel is started by, and its settings: releases need not bring them.
  tryboot: {
    kept: /^(?:cmdline\.(?:txt|otad)(?:\.new)?|config\.txt|bootcode\.bin|start[a-z0-9]*\.elf|fixup[a-z0-9]*\.dat)$/,
    reserved: /^(?:cmdline\.(?:txt|otad)(?:\.new)?|autoboot\.txt|tryboot\.txt)$/,
  },
};

const failure =
  (path: string, step: string) =>
  (error: unknown): never => {
    if (error instanceof OtadError) throw error;
    const errno = errnoOf(error);
    throw new OtadError(
      errno === 'ENOSPC' ? 'DISK_FULL' : 'BOOT_PLACE_UNUSABLE',
      { path, step, errno },
      { cause: error },
    );
  };

/** What cannot be read is as good as not there: it is written anew. */
const isAbsent = (error: unknown): boolean => ['ENOENT', 'ENOTDIR', 'EIO', 'ELOOP', 'EISDIR'].includes(errnoOf(error));

const lengthOf = async (path: string): Promise<number> => {
  const facts = await lstat(path);
  return facts.isFile() ? facts.size : 0;
};

/** Entries of the folder and of the folders in it; a deeper one counts as one thing. */
const listEntries = async (folder: string, { kept }: Habits): Promise<readonly string[]> => {
  const names: string[] = [];
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const name = entry.name.toLowerCase();
    if (name === bootManifestName || kept.test(name)) continue;
    const inner = entry.isDirectory() ? await readdir(join(folder, entry.name)) : [];
    names.push(...(inner.length === 0 ? [entry.name] : inner.map((file) => `${entry.name}/${file}`)));
    if (names.length > entriesMax) {
      throw new OtadError('BOOT_PLACE_UNUSABLE', { path: folder, reason: `more than ${entriesMax} files in it` });
    }
  }
  return names;
};

/** The other slot's files are never in reach. */
const requireApart = async (folders: PerSlot<string>): Promise<void> => {
  const [one, two] = [await stat(folders.a), await stat(folders.b)];
  if (one.dev === two.dev && one.ino === two.ino) {
    throw new OtadError('BOOT_PLACE_UNUSABLE', { a: folders.a, b: folders.b, reason: 'both are the same folder' });
  }
};

export const createBootPlace = (kind: BootloaderKind, folders: PerSlot<string>, slot: SlotName): BootPlace => {
  const folder = folders[slot];
  const own = habits[kind];
  const at = (name: string): string => join(folder, name);
  const visit = async (name: string, limitBytes: number, sink: ByteSink, signal?: AbortSignal): Promise<boolean> => {
    try {
      const file = await openDirect(at(name), constants.O_RDONLY | constants.O_NOFOLLOW);
      await visitPieces(file, limitBytes, sink, signal).finally(() => file.close());
      return true;
    } catch (error) {
      return isAbsent(error) ? false : failure(at(name), 'read')(error);
    }
  };
  const write = async (name: string, flags: number, bring: (sink: ByteSink) => Promise<void>): Promise<void> => {
    const file = await open(at(name), constants.O_WRONLY | constants.O_CREAT | constants.O_NOFOLLOW | flags, fileMode);
    try {
      await bring((bytes) => writeAll(file, bytes, null).catch(failure(at(name), 'write')));
      await file.sync();
    } finally {
      await file.close();
    }
    await syncFolder(dirname(at(name)));
  };
  return {
    isReserved: (name) => own.reserved.test(name.toLowerCase()),
    list: async () => {
      try {
        await requireApart(folders);
        const names = await listEntries(folder, own);
        return await Promise.all(names.map(async (name) => ({ name, lengthBytes: await lengthOf(at(name)) })));
      } catch (error) {
        return failure(folder, 'list')(error);
      }
    },
    room: async () => {
      const { bavail, bsize, type } = await statfs(folder).catch(failure(folder, 'look for room'));
      // It has no room at all, and that is no fault of the release.
      if (imageTypes.includes(type)) {
        throw new OtadError('BOOT_PLACE_UNUSABLE', { path: folder, reason: 'nothing is mounted there' });
      }
      return { freeBytes: bavail * bsize, unitBytes: bsize };
    },
    readManifest: async () => {
      const pieces: Uint8Array[] = [];
      const isThere = await visit(bootManifestName, bootManifestBytesMax, (bytes) => void pieces.push(bytes.slice()));
      return isThere ? Buffer.concat(pieces) : null;
    },
    writeManifest: (text) =>
      write(bootManifestName, constants.O_TRUNC, async (sink) => sink(Buffer.from(text))).catch(
        failure(at(bootManifestName), 'write'),
      ),
    remove: async (name) => {
      try {
        await rm(at(name), { recursive: true, force: true });
        const parent = dirname(at(name));
        // Gone with its last file; anything else in it keeps it.
        if (parent !== folder) await rmdir(parent).catch(() => undefined);
        await syncFolder(folder);
      } catch (error) {
        failure(at(name), 'remove')(error);
      }
    },
    create: async (name, bring) => {
      try {
        const parent = dirname(at(name));
        if (parent !== folder) {
          await mkdir(parent, { recursive: true });
          await syncFolder(folder);
        }
        await write(name, constants.O_EXCL, bring);
      } catch (error) {
        failure(at(name), 'write')(error);
      }
    },
    lengthOf: (name) =>
      lengthOf(at(name)).catch((error: unknown) => (isAbsent(error) ? null : failure(at(name), 'look at')(error))),
    read: async (name, offsetBytes, lengthBytes) => {
      try {
        const file = await open(at(name), constants.O_RDONLY | constants.O_NOFOLLOW);
        return await readPiece(file, offsetBytes, lengthBytes).finally(() => file.close());
      } catch (error) {
        return isAbsent(error) ? null : failure(at(name), 'read')(error);
      }
    },
    visit: (name, sink, signal) => visit(name, Number.MAX_SAFE_INTEGER, sink, signal),
  };
};

/** null: no setting says where the slots' boot files lie. */
export const openBootPlaces = (
  kind: BootloaderKind,
  { uboot, systemdBoot, tryboot }: BootloaderSettings,
): PerSlot<BootPlace> | null => {
  const folders = { uboot, 'systemd-boot': systemdBoot, tryboot }[kind].bootFolders;
  return folders === null ? null : { a: createBootPlace(kind, folders, 'a'), b: createBootPlace(kind, folders, 'b') };
};
