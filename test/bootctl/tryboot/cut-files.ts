// The adapter's way to the medium, with the power going at one of its writes. From then on nothing reaches the medium.

import { rm, writeFile } from 'node:fs/promises';
import { spareName, type TrybootFiles, trybootFiles } from '../../../bootctl/tryboot/files.ts';

/**
 * What a write leaves when power goes during it. before: nothing. after: everything. torn: the first
 * byte that differs and what stands before it. wiped: a sector of zeros. No medium should do these two. spare: the new file under its first name. neither: only that one, the old one gone (FAT). short: the new
 * file without its end (a flush that lied).
 */
export type Cut = 'before' | 'after' | 'torn' | 'wiped' | 'spare' | 'neither' | 'short';

export const cutsOf: Readonly<Record<Write['kind'], readonly Cut[]>> = {
  overwrite: ['before', 'torn', 'wiped', 'after'],
  replace: ['before', 'spare', 'neither', 'short', 'after'],
  remove: ['before', 'after'],
};

export interface Write {
  readonly kind: 'overwrite' | 'replace' | 'remove';
  readonly path: string;
}

export interface CutFiles {
  readonly files: TrybootFiles;
  /** Those that were begun, the cut one last. */
  readonly writes: readonly Write[];
}

class PowerCut extends Error {}

const leave = async (cut: Cut, path: string, bytes: Uint8Array, whole: () => Promise<void>): Promise<void> => {
  if (cut === 'after') await whole();
  if (cut === 'torn') {
    const old = (await trybootFiles.read(path)) ?? new Uint8Array();
    const end = bytes.findIndex((byte, index) => byte !== old[index]) + 1;
    await writeFile(path, Buffer.concat([bytes.subarray(0, end), old.subarray(end)]));
  }
  if (cut === 'wiped') await writeFile(path, new Uint8Array(bytes.length));
  if (cut === 'short') await writeFile(path, bytes.subarray(0, bytes.length / 2));
  if (cut === 'spare' || cut === 'neither') await writeFile(spareName(path), bytes);
  if (cut === 'neither') await rm(path, { force: true });
};

/** `at` counts writes from 0; past the last one nothing is cut. */
export const cutFiles = (at: number, cut: Cut): CutFiles => {
  const writes: Write[] = [];
  const write = async (kind: Write['kind'], path: string, bytes: Uint8Array, whole: () => Promise<void>) => {
    if (writes.length > at) throw new PowerCut();
    writes.push({ kind, path });
    if (writes.length <= at) return whole();
    await leave(cut, path, bytes, whole);
    throw new PowerCut();
  };
  const none = new Uint8Array();
  return {
    writes,
    files: {
      read: trybootFiles.read,
      isMounted: async () => true,
      overwrite: (path, bytes) => write('overwrite', path, bytes, () => trybootFiles.overwrite(path, bytes)),
      replace: (path, bytes) => write('replace', path, bytes, () => trybootFiles.replace(path, bytes)),
      remove: (path) => write('remove', path, none, () => trybootFiles.remove(path)),
    },
  };
};

export const isPowerCut = (error: unknown): boolean => error instanceof PowerCut;
