// The U-Boot rows of docs/reference/boot-writes.md: an environment of two copies, slot a good, slot b as the row says.
// boot-writes.test.ts records the writes and compares.

import type { BootWrites } from '../../contract/boot-writes.ts';

const bootloader = 'U-Boot environment';

export const ubootWrites: readonly BootWrites[] = [
  {
    bootloader,
    operation: 'status repair',
    writes: [
      {
        what: 'when the running slot has lost tries: `BOOT_A_LEFT` from `1` to `3`, `otad_seq` raised',
        ifPowerGoesAfter: 'U-Boot starts a; nothing is counted.',
      },
    ],
  },
  {
    bootloader,
    operation: 'status repair',
    writes: [
      {
        what: 'when a flipped flag bit made a stale copy count: `BOOT_B_LEFT` from `3` to `0`, `BOOT_ORDER` from `B A` to `A`, `otad_b_hashoffset` removed, `otad_b_root` removed, `otad_seq` raised, `otad_trial` removed',
        ifPowerGoesAfter: 'U-Boot starts a; nothing is counted.',
      },
    ],
  },
  {
    bootloader,
    operation: 'status repair',
    writes: [
      {
        what: 'when fw_setenv changed it: `otad_seq` raised',
        ifPowerGoesAfter: 'U-Boot starts a; nothing is counted.',
      },
    ],
  },
  {
    bootloader,
    operation: 'invalidate',
    writes: [
      {
        what: 'when b is on trial: `BOOT_B_LEFT` from `2` to `0`, `BOOT_ORDER` from `B A` to `A`, `otad_b_hashoffset` removed, `otad_b_root` removed, `otad_seq` raised, `otad_trial` removed',
        ifPowerGoesAfter: 'U-Boot starts a; nothing is counted.',
      },
    ],
  },
  {
    bootloader,
    operation: 'activate',
    writes: [
      {
        what: 'when b holds nothing: `BOOT_B_LEFT` from `0` to `3`, `BOOT_ORDER` from `A` to `B A`, `otad_b_hashoffset` set, `otad_b_root` set, `otad_seq` raised, `otad_trial` from nothing to `B`',
        ifPowerGoesAfter: 'U-Boot starts b on trial, 2 tries are left after it.',
      },
    ],
  },
  {
    bootloader,
    operation: 'mark good',
    writes: [
      {
        what: 'when b runs on trial: `BOOT_B_LEFT` from `2` to `3`, `otad_seq` raised, `otad_trial` removed',
        ifPowerGoesAfter: 'U-Boot starts b; nothing is counted.',
      },
    ],
  },
  {
    bootloader,
    operation: 'mark bad',
    writes: [
      {
        what: 'when b runs on trial: `BOOT_B_LEFT` from `2` to `0`, `BOOT_ORDER` from `B A` to `A`, `otad_seq` raised, `otad_trial` removed',
        ifPowerGoesAfter: 'U-Boot starts a; nothing is counted.',
      },
    ],
  },
  { bootloader, operation: 'prepareReboot', writes: [] },
];
