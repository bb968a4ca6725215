// FAT file systems in plain files, made and read without mounting: mkfs.vfat and mtools.

import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const path = `${process.env.PATH ?? ''}:/usr/sbin:/sbin`;
const environment = { ...process.env, PATH: path, MTOOLS_SKIP_CHECK: '1' };

export interface FatOptions {
  readonly sizeKiB: number;
  /** Sectors of 512 bytes in a cluster. */
  readonly clusterSectors?: number;
}

/** The tree of `folder` as a FAT32 file system. */
export const makeFat = async (
  image: string,
  folder: string,
  { sizeKiB, clusterSectors = 1 }: FatOptions,
): Promise<void> => {
  await rm(image, { force: true });
  const options = ['-F', '32', '-s', String(clusterSectors), '-n', 'ESP', '-C', image, String(sizeKiB)];
  await run('mkfs.vfat', options, { env: environment });
  const names = (await readdir(folder)).map((name) => join(folder, name));
  await run('mcopy', ['-i', image, '-s', '-Q', ...names, '::/'], { env: environment });
};

/** Fills what is free, to the last cluster. */
export const fillFat = async (image: string, folder: string): Promise<void> => {
  const { stdout } = await run('mdir', ['-i', image, '::/'], { env: environment });
  const free = Number(/([0-9][0-9 ]*) bytes free/.exec(stdout)?.[1]?.replaceAll(' ', '') ?? 0);
  const filler = join(folder, 'filler');
  await run('truncate', ['-s', String(free), filler]);
  await run('mcopy', ['-i', image, filler, '::/filler'], { env: environment });
  await rm(filler);
};

/** Name and content of every file of one folder of the image. */
export const readFatFolder = async (image: string, folder: string): Promise<ReadonlyMap<string, string>> => {
  const target = await mkdtemp(join(tmpdir(), 'otad-fat-'));
  try {
    await run('mcopy', ['-i', image, '-s', '-n', `::/${folder}`, target], { env: environment });
    const inner = join(target, folder.split('/').at(-1) ?? '');
    const files = new Map<string, string>();
    for (const name of (await readdir(inner)).sort()) files.set(name, await readFile(join(inner, name), 'latin1'));
    return files;
  } finally {
    await rm(target, { recursive: true });
  }
};
