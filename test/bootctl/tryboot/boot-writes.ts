// The tryboot rows of docs/reference/boot-writes.md. The scene of each: `a` is good and the slot behind the default, `b` the
// one acted on; in 'mark good' and 'mark bad' `b` runs. `steps` is what the code must really write, in order.

import type { BootWrites } from '../../contract/boot-writes.ts';

export interface TrybootWrites extends BootWrites {
  /** One a write; compared with the code by power-cut.test.ts. */
  readonly steps: readonly string[];
}

const bootloader = 'Raspberry Pi tryboot';
const twice = ['replace intent-2.json', 'replace intent-1.json'];

const commandLine = ['replace boot_b/cmdline.otad', 'replace boot_b/cmdline.txt'];

const argumentGone = {
  what: 'the argument of the reboot is removed (/run/systemd/reboot-param; in memory, lost with the power anyway)',
  ifPowerGoesAfter: 'The default starts, as before.',
};

/** Both copies of the intent. */
const intent = (what: string, ifPowerGoesAfter: string): TrybootWrites['writes'] => [
  { what: `the older copy of the intent: ${what}`, ifPowerGoesAfter },
  { what: 'the other copy of the intent: the same', ifPowerGoesAfter: 'The same; either copy is enough.' },
];

export const trybootWrites: readonly TrybootWrites[] = [
  {
    bootloader,
    operation: 'status repair',
    writes: intent(
      'the system on trial leaves its mark',
      'The default starts; the trial ran and fell back, so it has one try less.',
    ),
    steps: twice,
  },
  {
    bootloader,
    operation: 'invalidate',
    writes: [
      argumentGone,
      {
        what: 'autoboot.txt, one sector in place, where the default is not what runs: default = running slot',
        ifPowerGoesAfter: 'The slot that ran starts; that is what counts, whatever the intent says.',
      },
      ...intent('the other slot is bad, without a root', 'The default starts; the other slot is bad.'),
      {
        what: "the copy of the other slot's cmdline.txt (cmdline.otad), where it holds a root: without it",
        ifPowerGoesAfter: 'The default starts; the other slot is bad.',
      },
      {
        what: "the other slot's cmdline.txt: the same",
        ifPowerGoesAfter: 'The default starts; the other slot has no root, so its initramfs refuses to open it.',
      },
    ],
    steps: ['remove reboot-param', 'overwrite autoboot.txt', ...twice, ...commandLine],
  },
  {
    bootloader,
    operation: 'activate',
    writes: [
      {
        what: "the copy of the slot's cmdline.txt (cmdline.otad): slot, verity root and hash offset",
        ifPowerGoesAfter: 'The default starts; the slot is still bad, and activate is repeated.',
      },
      {
        what: "the slot's cmdline.txt: the same",
        ifPowerGoesAfter: 'The default starts; the slot is still bad, and activate is repeated.',
      },
      argumentGone,
      ...intent(
        'the slot is pending with its tries, not armed',
        'The default starts; the slot is pending and primary, no try is used, and otad reboots into it.',
      ),
    ],
    steps: [...commandLine, 'remove reboot-param', ...twice],
  },
  {
    bootloader,
    operation: 'prepareReboot',
    writes: [
      argumentGone,
      ...intent(
        'the slot is armed, its try taken',
        'The default starts; the try is used, the slot is pending while others are left, and bad otherwise.',
      ),
      {
        what: 'the argument `0 tryboot` for the reboot (in memory)',
        ifPowerGoesAfter: 'As before: the argument is lost with the power, the default starts.',
      },
    ],
    steps: ['remove reboot-param', ...twice, 'replace reboot-param'],
  },
  {
    bootloader,
    operation: 'mark good',
    writes: [
      argumentGone,
      {
        what: 'autoboot.txt, one sector in place: the two partitions are exchanged',
        ifPowerGoesAfter: 'The confirmed slot starts and is good: autoboot.txt counts before the intent.',
      },
      ...intent('the slot is good, no trial is under way', 'The confirmed slot starts.'),
    ],
    steps: ['remove reboot-param', 'overwrite autoboot.txt', ...twice],
  },
  {
    bootloader,
    operation: 'mark bad',
    writes: [
      argumentGone,
      {
        what: 'autoboot.txt, one sector in place, where the slot is the default: default = the other slot',
        ifPowerGoesAfter: 'The other slot starts; the failed one is not marked yet, which is repeated.',
      },
      ...intent('the slot is bad', 'The other slot starts; the failed one is bad.'),
    ],
    steps: ['remove reboot-param', 'overwrite autoboot.txt', ...twice],
  },
];
