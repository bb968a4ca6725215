// How a board's disk is divided. Pure. Labels are what everything finds its partition by: initramfs, otad, the mounts.

import { createHash } from 'node:crypto';
import { assertNever } from '../agent/core/errors.ts';
import { slotNames } from '../agent/core/types.ts';
import type { Board } from './boards.ts';

const mebibyte = 1024 * 1024;
/** Before the first partition: the table. */
const marginMiB = 1;
/** The second table behind the last partition, on whole blocks: systemd-repart finds nothing to widen on a disk of this size. */
const secondTableBytes = 5 * 4096;

const espType = 'C12A7328-F81F-11D2-BA4B-00A0C93EC93B';
const linuxType = '0FC63DAF-8483-4772-8E79-3D69D8477DE4';
/** FAT that no firmware takes for a system partition. */
const dataType = 'EBD0A0A2-B9E5-4433-87C0-68B6B72699C7';

export interface Partition {
  readonly number: number;
  readonly label: string;
  readonly type: string;
  readonly uuid: string;
  readonly offsetBytes: number;
  readonly sizeBytes: number;
}

export interface DiskPlan {
  readonly uuid: string;
  readonly sizeBytes: number;
  readonly partitions: readonly Partition[];
}

/** A UUID that is the same for the same name (RFC 9562, version 8). */
export const namedUuid = (name: string): string => {
  const digits = createHash('sha256').update(`otad reference image ${name}`).digest('hex');
  const variant = '89ab'[Number.parseInt(digits[16] ?? '0', 16) % 4];
  return [
    digits.slice(0, 8),
    digits.slice(8, 12),
    `8${digits.slice(13, 16)}`,
    `${variant}${digits.slice(17, 20)}`,
    digits.slice(20, 32),
  ].join('-');
};

/** Known before the disk is made: a command line may name its own partition. */
export const partitionUuid = ({ name }: Board, label: string): string => namedUuid(`${name} ${label}`);

interface Piece {
  readonly label: string;
  readonly type: string;
  readonly sizeMiB: number;
}

/** Two files of 16 KiB, on the smallest FAT16 that every driver takes for one. */
const environmentMiB = 16;
const firmwareMiB = 64;

/** What stands before the slots: where the board starts from. */
const bootPieces = ({ start, sizesMiB }: Board): readonly Piece[] => {
  const bootOfSlots = slotNames.map((slot) => ({ label: `boot_${slot}`, type: dataType, sizeMiB: sizesMiB.boot }));
  switch (start.kind) {
    case 'systemd-boot':
      return [{ label: 'esp', type: espType, sizeMiB: sizesMiB.boot }];
    case 'u-boot':
      return [{ label: 'uboot-files', type: dataType, sizeMiB: environmentMiB }, ...bootOfSlots];
    case 'pi-u-boot':
      return [
        // The first one is where the firmware looks; nothing writes there after the factory.
        { label: 'firmware', type: dataType, sizeMiB: firmwareMiB },
        { label: 'uboot-files', type: dataType, sizeMiB: environmentMiB },
        ...bootOfSlots,
      ];
    case 'tryboot':
      return [{ label: 'bootconfig', type: dataType, sizeMiB: environmentMiB }, ...bootOfSlots];
    default:
      return assertNever(start);
  }
};

const piecesOf = (board: Board): readonly Piece[] => [
  ...bootPieces(board),
  ...slotNames.map((slot) => ({ label: `system_${slot}`, type: board.root.slotType, sizeMiB: board.sizesMiB.slot })),
  // The last one, so that it can grow.
  { label: 'data', type: linuxType, sizeMiB: board.sizesMiB.data },
];

export const planDisk = (board: Board): DiskPlan => {
  const partitions: Partition[] = [];
  const pieces = piecesOf(board);
  let nextMiB = marginMiB;
  for (const [index, { label, type, sizeMiB }] of pieces.entries()) {
    const rest = index === pieces.length - 1 ? mebibyte - secondTableBytes : 0;
    partitions.push({
      ...{ number: index + 1, label, type, uuid: partitionUuid(board, label) },
      ...{ offsetBytes: nextMiB * mebibyte, sizeBytes: sizeMiB * mebibyte + rest },
    });
    nextMiB += sizeMiB;
  }
  return { uuid: namedUuid(`${board.name} disk`), sizeBytes: (nextMiB + 1) * mebibyte, partitions };
};
