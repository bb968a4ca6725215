// What each boot control operation writes, in which order, and what the device does when power goes after each write.
// Each bootloader keeps its rows beside its tests, which compare them with what the code really does;
// docs/reference/boot-writes.md is made from them.

import { systemdBootWrites } from '../bootctl/systemd-boot/boot-writes.ts';
import { trybootWrites } from '../bootctl/tryboot/boot-writes.ts';
import { ubootWrites } from '../bootctl/uboot/boot-writes.ts';

export const bootOperations = [
  'status repair',
  'invalidate',
  'activate',
  'mark good',
  'mark bad',
  'prepareReboot',
] as const;
export type BootOperation = (typeof bootOperations)[number];

export interface BootWrite {
  readonly what: string;
  /** What the next power-on does when this write is the last one that reached the medium. */
  readonly ifPowerGoesAfter: string;
}

export interface BootWrites {
  /** Heading of the section; rows with the same one stand together. */
  readonly bootloader: string;
  readonly operation: BootOperation;
  /** In order. Empty: the operation writes nothing. */
  readonly writes: readonly BootWrite[];
}

/** In the order of the page. */
export const bootWrites: readonly BootWrites[] = [...ubootWrites, ...systemdBootWrites, ...trybootWrites];

/** Rules that hold for every write of a bootloader; one sentence each. */
export const bootWriteRules: Readonly<Record<string, readonly string[]>> = {
  'U-Boot environment': [
    'A write is one whole copy of the environment, in place, followed by fsync; with two copies it goes to the one that does not count.',
    'It happens under the lock of `fw_setenv`, is read back past the page cache where the file system allows that, and is compared byte for byte.',
    'Power that goes during the write leaves that copy with a wrong checksum, or whole: U-Boot takes the old environment or the new one.',
    'With one copy only, a cut during the write leaves none: U-Boot goes by its compiled-in defaults, and the next start of otad confirms in those.',
    'A step that is done already writes nothing.',
  ],
  'systemd-boot': [
    'Each slot has one Type #1 entry: its name carries the counter, its first sector the order and the verity root; every write in place changes a byte or a few digits of that sector.',
    'An entry gets a new name by being made anew under it, parked, which is nothing to the loader; one byte makes it live, and only then the old one is parked and removed. Nothing is renamed, since FAT can lose a file in that, except on a full disk.',
    'Every write is synced with its folder, and read back past the page cache where the file system allows that.',
    'A cut within the making of a file leaves an entry that is empty, zeros or parked: the loader passes it over, and otad removes it.',
    'A step that is done already writes nothing.',
  ],
  'Raspberry Pi tryboot': [
    'autoboot.txt is one sector of 512 bytes, written in place with one write and fsync, and read back: the firmware finds the old one or the new one.',
    'The intent lies in two copies on the data partition; one that is torn or lost gives way to the other, and without both no trial is known.',
    'Every other file is written beside the old one, synced and renamed.',
    'A step that is done already writes nothing.',
  ],
};
