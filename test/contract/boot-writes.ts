// What each boot control operation writes, in which order, and what the device does when power goes after each write.
// Each bootloader keeps its rows beside its tests, which compare them with what the code really does;
// docs/reference/boot-writes.md is made from them.

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
export const bootWrites: readonly BootWrites[] = [...ubootWrites];

/** Rules that hold for every write of a bootloader; one sentence each. */
export const bootWriteRules: Readonly<Record<string, readonly string[]>> = {
  'U-Boot environment': [
    'A write is one whole copy of the environment, in place, followed by fsync; with two copies it goes to the one that does not count.',
    'It happens under the lock of `fw_setenv`, is read back past the page cache where the file system allows that, and is compared byte for byte.',
    'Power that goes during the write leaves that copy with a wrong checksum, or whole: U-Boot takes the old environment or the new one.',
    'With one copy only, a cut during the write leaves none: U-Boot goes by its compiled-in defaults, and the next start of otad confirms in those.',
    'A step that is done already writes nothing.',
  ],
};
