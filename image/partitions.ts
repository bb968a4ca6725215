// How a board's disk is divided. Pure. Labels are what everything finds its partition by: initramfs, otad, the mounts.

import { createHash } from 'node:crypto';
import { assertNever } from '../agent/core/errors.ts';
import { slotNames } from '../agent/core/types.ts';
import type { Board } from './boards.ts';

const mebibyte = 1024 * 1024;
/** Before the first partition and behind the last one: both tables, on whole mebibytes. */
const marginMiB = 1;

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

interface Piece {
  readonly label: string;
  readonly type: string;
  readonly sizeMiB: number;
}

/** Two files of 16 KiB, on the smallest FAT16 that every driver takes for one. */
const environmentMiB = 16;

/** What stands before the slots: where the board starts from. */
const bootPieces = ({ start, sizesMiB }: Board): readonly Piece[] => {
  const bootOfSlots = slotNames.map((slot) => ({ label: `boot_${slot}`, type: dataType, sizeMiB: sizesMiB.boot }));
  switch (start.kind) {
    case 'systemd-boot':
      return [{ label: 'esp', type: espType, sizeMiB: sizesMiB.boot }];
    case 'u-boot':
      return [{ label: 'uboot-files', type: dataType, sizeMiB: environmentMiB }, ...bootOfSlots];
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
  let nextMiB = marginMiB;
  for (const [index, { label, type, sizeMiB }] of piecesOf(board).entries()) {
    const uuid = namedUuid(`${board.name} ${label}`);
    partitions.push({
      ...{ number: index + 1, label, type, uuid },
      ...{ offsetBytes: nextMiB * mebibyte, sizeBytes: sizeMiB * mebibyte },
    });
    nextMiB += sizeMiB;
  }
  return { uuid: namedUuid(`${board.name} disk`), sizeBytes: (nextMiB + marginMiB) * mebibyte, partitions };
};
