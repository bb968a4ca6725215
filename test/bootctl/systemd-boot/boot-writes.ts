// The systemd-boot rows of docs/reference/boot-writes.md. The scene of each: `a` is good and runs, `b` is the one acted on; in
// 'mark good' and 'mark bad' `b` runs on trial. `steps` is what the code must really write, in order.

import type { BootWrites } from '../../contract/boot-writes.ts';

export interface SystemdBootWrites extends BootWrites {
  /** One a write; compared with the code by cuts.test.ts. */
  readonly steps: readonly string[];
}

const bootloader = 'systemd-boot';

/** A change of name from `old` to `fresh`. */
const newName = (
  old: string,
  fresh: string,
  before: string,
  committed: string,
): Pick<SystemdBootWrites, 'writes' | 'steps'> => ({
  writes: [
    { what: `\`${fresh}\` is made, parked: nothing in it that the loader could start`, ifPowerGoesAfter: before },
    { what: `one byte of \`${fresh}\`, in place: it is live`, ifPowerGoesAfter: committed },
    { what: `one byte of \`${old}\`, in place, where it was live: it is parked`, ifPowerGoesAfter: committed },
    { what: `\`${old}\` is removed`, ifPowerGoesAfter: committed },
  ],
  steps: [`create ${fresh}`, `overwrite ${fresh}`, `overwrite ${old}`, `remove ${old}`],
});

export const systemdBootWrites: readonly SystemdBootWrites[] = [
  {
    bootloader,
    operation: 'status repair',
    writes: [
      {
        what: 'a second file of a slot, left by a cut: one byte, in place, where it is live: it is parked',
        ifPowerGoesAfter: 'The entry that counts decides.',
      },
      { what: 'it is removed', ifPowerGoesAfter: 'The entry that counts decides.' },
    ],
    steps: ['overwrite otad-b+2-1.conf', 'remove otad-b+2-1.conf'],
  },
  {
    bootloader,
    operation: 'invalidate',
    writes: [
      {
        what: "one byte of the slot's entry, in place: its boot line becomes a comment",
        ifPowerGoesAfter: 'a starts; the loader does not see b any more.',
      },
    ],
    steps: ['overwrite otad-b+3-0.conf'],
  },
  {
    bootloader,
    operation: 'activate',
    ...newName(
      'otad-b+0-3.conf',
      'otad-b+3-1.conf',
      'a starts; the new file is removed at the next start of otad.',
      'b starts on trial; the loader counts before each start.',
    ),
  },
  {
    bootloader,
    operation: 'mark good',
    ...newName('otad-b+2-1.conf', 'otad-b.conf', 'b starts, still on trial.', 'b starts; nothing is counted.'),
  },
  {
    bootloader,
    operation: 'mark bad',
    writes: [
      {
        what: "one byte of the slot's sort key, in place: it comes after every other entry that has tries",
        ifPowerGoesAfter: 'a starts, which is good.',
      },
    ],
    steps: ['overwrite otad-b+2-1.conf'],
  },
  {
    bootloader,
    operation: 'prepareReboot',
    writes: [
      {
        what: 'the variable LoaderEntryOneShot is removed, where somebody has set it',
        ifPowerGoesAfter: 'The first in the order starts.',
      },
    ],
    steps: [],
  },
];
