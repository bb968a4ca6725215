// FAT and ext4 file systems in plain files, made from a folder without mounting anything: equal folders give equal bytes.

import { lutimes, mkdir, readdir, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runTool, toolEnvironment } from './tool.ts';

const mebibyte = 1024 * 1024;
/** Below it a file system has so few clusters that firmware takes it for FAT16 whatever it says. */
const fat32BytesMin = 64 * mebibyte;

export interface FileSystemOptions {
  readonly folder: string;
  readonly path: string;
  readonly label: string;
  readonly sizeBytes: number;
  /** FAT: 8 hex digits. ext4: a UUID. */
  readonly id: string;
  readonly sourceDateEpochS: number;
}

/** All times of the folder become this one. */
const fixTimes = async (folder: string, epochS: number): Promise<void> => {
  for (const name of await readdir(folder, { recursive: true })) await lutimes(join(folder, name), epochS, epochS);
};

export const makeFat = async (options: FileSystemOptions): Promise<void> => {
  const { folder, path, label, sizeBytes, id, sourceDateEpochS } = options;
  await rm(path, { force: true });
  await fixTimes(folder, sourceDateEpochS);
  const environment = { ...toolEnvironment(sourceDateEpochS), MTOOLS_SKIP_CHECK: '1' };
  const kind = sizeBytes < fat32BytesMin ? '16' : '32';
  const args = ['-F', kind, '-n', label, '-i', id, '--invariant', '-C', path, String(sizeBytes / 1024)];
  await runTool('mkfs.vfat', args, { environment });
  // One by one in order: mcopy takes a folder in the order of the disk that it comes from.
  for (const name of (await readdir(folder, { recursive: true, withFileTypes: true }))
    .map((entry) => ({ isFolder: entry.isDirectory(), path: join(entry.parentPath, entry.name) }))
    .sort((one, two) => (one.path < two.path ? -1 : 1))) {
    const target = `::/${name.path.slice(folder.length + 1)}`;
    if (name.isFolder) await runTool('mmd', ['-i', path, target], { environment });
    else await runTool('mcopy', ['-i', path, '-m', name.path, target], { environment });
  }
};

export const makeExt4 = async (options: FileSystemOptions): Promise<void> => {
  const { folder, path, label, sizeBytes, id, sourceDateEpochS } = options;
  await rm(path, { force: true });
  await mkdir(folder, { recursive: true });
  await fixTimes(folder, sourceDateEpochS);
  await writeFile(path, '');
  await truncate(path, sizeBytes);
  // Room to grow to what a card or disk really has: the table of groups is made for 64 GiB.
  const extended = `hash_seed=${id},resize=16777216,root_owner=0:0,lazy_itable_init=1,lazy_journal_init=1`;
  const args = ['-q', '-F', '-b', '4096', '-L', label, '-U', id, '-E', extended, '-d', folder, path];
  await runTool('mkfs.ext4', args, { environment: toolEnvironment(sourceDateEpochS) });
};
