// What each operation writes with systemd-boot, in order, and what the device does when the power goes after each write: the
// rows of the reference table. cuts.test.ts proves them, a cut within a write included.

export interface BootWrites {
  readonly bootloader: string;
  readonly operation: string;
  readonly writes: readonly { readonly what: string; readonly ifPowerGoesAfter: string }[];
}

const newName = (state: string, committed: string): BootWrites['writes'] => [
  {
    what: `a new file ${state}, parked: nothing in it that the loader could start`,
    ifPowerGoesAfter: 'as before; the new file is removed at the next start of otad',
  },
  { what: 'one byte of the new file, in place: the entry is live', ifPowerGoesAfter: committed },
  { what: 'one byte of the old file, in place: it is parked', ifPowerGoesAfter: committed },
  { what: 'the old file is removed', ifPowerGoesAfter: committed },
];

export const systemdBootWrites: readonly BootWrites[] = [
  {
    bootloader: 'systemd-boot',
    operation: 'invalidate',
    writes: [
      {
        what: "one byte of the slot's entry, in place: its boot line becomes a comment",
        ifPowerGoesAfter: 'the loader does not see the slot any more; the other slot starts',
      },
    ],
  },
  {
    bootloader: 'systemd-boot',
    operation: 'activate',
    writes: newName(
      'otad-b+3-0.conf with root, hash offset and the highest rank',
      'the new slot starts, on trial, and is counted down before each start',
    ),
  },
  {
    bootloader: 'systemd-boot',
    operation: 'mark good, after a trial',
    writes: newName('otad-b.conf, without a counter', 'the slot starts and is not counted any more'),
  },
  {
    bootloader: 'systemd-boot',
    operation: 'mark good, where the slot is good and not first',
    writes: [
      {
        what: "the digits of the slot's sort key, in place",
        ifPowerGoesAfter: 'the slot starts; a torn digit leaves one of the two first, and both start',
      },
    ],
  },
  {
    bootloader: 'systemd-boot',
    operation: 'mark bad',
    writes: [
      {
        what: "one byte of the slot's sort key, in place: it sorts after every other entry that has tries",
        ifPowerGoesAfter: 'the other slot starts, which is good',
      },
    ],
  },
  {
    bootloader: 'systemd-boot',
    operation: 'take a try (by the loader)',
    writes: [
      {
        what: 'otad-b+3-0.conf is renamed to otad-b+2-1.conf',
        ifPowerGoesAfter:
          'within the rename: the old name (the try is given back), the new one, or no entry of this slot: then the other slot starts and otad makes the entry anew, parked',
      },
    ],
  },
];
