// The image of a whole disk, to be flashed as it is: partition table and file systems written into a plain file at their
// offsets, without loop devices or mounts. Holes stay holes.

import { open, rm, truncate, writeFile } from 'node:fs/promises';
import { OtadError } from '../agent/core/errors.ts';
import type { DiskPlan, Partition } from './partitions.ts';
import { runTool } from './tool.ts';

const sectorBytes = 512;
const pieceBytes = 1024 * 1024;

/** Makes the file with its table and nothing in the partitions. */
export const makeDisk = async (path: string, { uuid, sizeBytes, partitions }: DiskPlan): Promise<void> => {
  await rm(path, { force: true });
  await writeFile(path, '');
  await truncate(path, sizeBytes);
  const args = partitions.flatMap((partition) => {
    const first = partition.offsetBytes / sectorBytes;
    const last = first + partition.sizeBytes / sectorBytes - 1;
    const { number, type, label } = partition;
    return [
      ...['-n', `${number}:${first}:${last}`, '-t', `${number}:${type}`],
      ...['-c', `${number}:${label}`, '-u', `${number}:${partition.uuid}`],
    ];
  });
  await runTool('sgdisk', ['-a', '1', ...args, '-U', uuid, path]);
};

export const findPartition = ({ partitions }: DiskPlan, label: string): Partition => {
  const found = partitions.find((partition) => partition.label === label);
  if (found === undefined) throw new OtadError('INTERNAL', { step: 'disk', label });
  return found;
};

/** Copies a file into the partition; blocks of zeros are left out. */
export const writePartition = async (diskPath: string, partition: Partition, filePath: string): Promise<void> => {
  const source = await open(filePath, 'r');
  const disk = await open(diskPath, 'r+');
  try {
    const { size } = await source.stat();
    if (size > partition.sizeBytes) {
      throw new OtadError('IMAGE_UNUSABLE', {
        path: filePath,
        problem: `larger than the partition ${partition.label}`,
      });
    }
    const buffer = Buffer.alloc(pieceBytes);
    for (let position = 0; position < size; ) {
      const { bytesRead } = await source.read(buffer, 0, pieceBytes, position);
      const piece = buffer.subarray(0, bytesRead);
      if (piece.some((byte) => byte !== 0)) await disk.write(piece, 0, bytesRead, partition.offsetBytes + position);
      position += bytesRead;
    }
  } finally {
    await source.close();
    await disk.close();
  }
};
