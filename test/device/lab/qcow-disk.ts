// Disks of machines: thin files over a base that nobody writes. What a guest has not flushed is partly in the emulator's own
// memory (the tables of the thin file), so killing it loses writes as a power cut does.

import { execFile } from 'node:child_process';
import { rm, truncate } from 'node:fs/promises';
import { promisify } from 'node:util';
import type { SlotName } from '../../../agent/core/types.ts';
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

/** The bytes of a slot, as a machine that is off has left them, in a plain file. */
export const extractSlot = async (
  debian: DebianRoot,
  diskPath: string,
  plan: DiskPlan,
  slot: SlotName,
  target: string,
): Promise<void> => {
  const { offsetBytes, sizeBytes } = findPartition(plan, `system_${slot}`);
  // qemu-img counts from the beginning of the disk, not from where it starts to copy.
  const place = [`skip=${offsetBytes / blockBytes}`, `count=${(offsetBytes + sizeBytes) / blockBytes}`];
  await rm(target, { force: true });
  const ends = [`if=${diskPath}`, `of=${target}`];
  await qemuImg(debian, ['dd', '-f', 'qcow2', '-O', 'raw', `bs=${blockBytes}`, ...place, ...ends]);
  await truncate(target, sizeBytes);
};
