// Disks of machines: thin files over a base that nobody writes. Killing the emulator loses less than a power cut does: of what
// a guest has not flushed, only blocks that the thin file has no place for yet, since their places are kept in the emulator's
// memory. A block written over again is in the host's cache at once and stays, flushed or not.

import { execFile } from 'node:child_process';
import { rm, truncate } from 'node:fs/promises';
import { promisify } from 'node:util';
import { findPartition } from '../../../image/disk.ts';
import type { DiskPlan } from '../../../image/partitions.ts';
import type { DebianRoot } from '../debian-root.ts';

const run = promisify(execFile);
const blockBytes = 1024 * 1024;

const qemuImg = (debian: DebianRoot, args: readonly string[]) => {
  const [program, ...first] = debian.command('usr/bin/qemu-img');
  return run(program, [...first, ...args], { maxBuffer: 1 << 24 });
};

export const makeThinDisk = async (
  debian: DebianRoot,
  path: string,
  base: { readonly path: string; readonly format: 'raw' | 'qcow2' },
): Promise<void> => {
  await rm(path, { force: true });
  await qemuImg(debian, ['create', '-q', '-f', 'qcow2', '-b', base.path, '-F', base.format, path]);
};

/** So many bytes of a partition are others from now on; the machine is off. */
export const spoilPartition = async (
  debian: DebianRoot,
  diskPath: string,
  plan: DiskPlan,
  label: string,
  place: { readonly offsetBytes: number; readonly lengthBytes: number },
): Promise<void> => {
  const { offsetBytes } = findPartition(plan, label);
  const [program, ...first] = debian.command('usr/bin/qemu-io');
  const write = `write -P 0xa5 ${offsetBytes + place.offsetBytes} ${place.lengthBytes}`;
  await run(program, [...first, '-f', 'qcow2', '-c', write, diskPath]);
};

/** Nothing but zeros from now on, as a partition of a machine that is off. */
export const zeroPartition = async (
  debian: DebianRoot,
  diskPath: string,
  plan: DiskPlan,
  label: string,
): Promise<void> => {
  const { offsetBytes, sizeBytes } = findPartition(plan, label);
  const [program, ...first] = debian.command('usr/bin/qemu-io');
  await run(program, [...first, '-f', 'qcow2', '-c', `write -z ${offsetBytes} ${sizeBytes}`, diskPath]);
};

/** A larger disk with the same bytes, as after a copy to a larger card; the machine is off. */
export const enlargeDisk = async (debian: DebianRoot, diskPath: string, moreBytes: number): Promise<void> => {
  await qemuImg(debian, ['resize', '-q', '-f', 'qcow2', diskPath, `+${moreBytes}`]);
};

/** The bytes of a partition, as a machine that is off has left them, in a plain file. */
export const extractPartition = async (
  debian: DebianRoot,
  diskPath: string,
  plan: DiskPlan,
  label: string,
  target: string,
): Promise<void> => {
  const { offsetBytes, sizeBytes } = findPartition(plan, label);
  // qemu-img counts from the beginning of the disk, not from where it starts to copy.
  const endBlocks = Math.ceil((offsetBytes + sizeBytes) / blockBytes);
  const place = [`skip=${offsetBytes / blockBytes}`, `count=${endBlocks}`];
  await rm(target, { force: true });
  const ends = [`if=${diskPath}`, `of=${target}`];
  await qemuImg(debian, ['dd', '-f', 'qcow2', '-O', 'raw', `bs=${blockBytes}`, ...place, ...ends]);
  await truncate(target, sizeBytes);
};

/** The way back: the file's bytes are the partition's. */
export const replacePartition = async (
  debian: DebianRoot,
  diskPath: string,
  plan: DiskPlan,
  label: string,
  source: string,
): Promise<void> => {
  const { offsetBytes, sizeBytes } = findPartition(plan, label);
  const [program, ...first] = debian.command('usr/bin/qemu-io');
  await run(program, [...first, '-f', 'qcow2', '-c', `write -s ${source} ${offsetBytes} ${sizeBytes}`, diskPath]);
};
