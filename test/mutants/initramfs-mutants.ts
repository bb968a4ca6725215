// Known bugs of the initramfs: a gateway that is dead beside a good slot, or that leaves a slot which would have started.

import { one, type SuiteMutant } from './mutant.ts';

const leave = '../image/initramfs/leave-slot';
const doubt = '../image/initramfs/doubt-slot';
const keep = '../image/initramfs/keep-state';
const tell = '../image/initramfs/tell-bootloader';
const leaving = ['image/leave-slot.test.js'];
const doubting = ['image/doubt-slot.test.js'];
const keeping = ['image/keep-state.test.js'];

export const initramfsMutants: readonly SuiteMutant[] = [
  {
    name: 'tryboot-leaves-for-a-slot-without-a-root',
    edits: one(leave, "grep -qE '(^| )otad\\.root=[0-9a-f]{64}( |$)' || return 1", 'cat > /dev/null'),
    suite: leaving,
  },
  {
    name: 'tryboot-leaves-for-half-a-boot-set',
    edits: one(leave, '[ -e "$1/otad-set" ]', 'false'),
    suite: leaving,
  },
  {
    name: 'tryboot-leaves-for-a-slot-without-a-kernel',
    edits: one(leave, 'kernel8.img}" ] || return 1', 'kernel8.img}" ]'),
    suite: leaving,
  },
  {
    name: 'tryboot-leaves-for-a-slot-without-an-initramfs',
    edits: one(leave, '[ -z "$initramfs" ] || [ -s "$1/$initramfs" ]', 'true'),
    suite: leaving,
  },
  {
    name: 'tryboot-leaves-without-a-look',
    edits: one(tell, 'other_starts || return 1', ''),
    suite: ['image/tell-bootloader.test.js'],
  },
  {
    name: 'uboot-would-start-a-slot-without-tries',
    edits: one(leave, '_LEFT") in [1-9]) ;;', '_LEFT") in [0-9]) ;;'),
    suite: leaving,
  },
  {
    name: 'systemd-boot-would-start-a-bad-entry',
    edits: one(leave, 'grep -q \'^[[:space:]]*sort-key[[:space:]]*otad-x\' "$entry" && continue', ''),
    suite: leaving,
  },
  {
    name: 'systemd-boot-would-start-a-parked-entry',
    edits: one(leave, 'grep -qE \'^[[:space:]]*(linux|efi|uki)[[:space:]]\' "$entry" && return 0', 'return 0'),
    suite: leaving,
  },
  {
    name: 'initramfs-takes-the-mark-of-the-other-slot-for-its-own',
    edits: one(doubt, '"$(head -c 2 "$1" 2> /dev/null)" != "$2"', '! -e "$1"'),
    suite: doubting,
  },
  {
    name: 'initramfs-leaves-no-mark',
    edits: one(doubt, '! echo "$2" | dd of="$1" conv=fsync 2> /dev/null', 'return 1'),
    suite: doubting,
  },
  {
    name: 'initramfs-trusts-a-start-that-could-leave-no-mark',
    edits: one(
      doubt,
      '! echo "$2" | dd of="$1" conv=fsync 2> /dev/null',
      'echo "$2" | dd of="$1" conv=fsync 2> /dev/null; return 1',
    ),
    suite: doubting,
  },
  {
    name: 'initramfs-takes-a-slow-slot-for-a-rotten-one',
    edits: one(doubt, 'timeout "$2" cat "$1" > /dev/null 2>&1', 'timeout "$2" cat "$1" > /dev/null 2>&1 || return 1'),
    suite: doubting,
  },
  {
    name: 'initramfs-leaves-for-a-slot-that-is-rotten-as-well',
    edits: one(doubt, 'is_whole "$(labelled "system_$(other_slot)" "$disk")" "$seconds" && ', ''),
    suite: doubting,
  },
  {
    name: 'initramfs-leaves-for-a-slot-that-would-not-be-started',
    edits: one(doubt, 'if other_starts && ', 'if '),
    suite: doubting,
  },
  {
    name: 'initramfs-starts-again-although-nobody-was-told',
    edits: one(doubt, ' && leave_slot; then', '; then leave_slot'),
    suite: doubting,
  },
  {
    name: 'initramfs-keeps-no-state-and-says-nothing',
    edits: one(keep, 'echo data > "$gateway/degraded"', ':'),
    suite: keeping,
  },
  {
    name: 'initramfs-takes-half-a-state-for-a-whole-one',
    edits: one(
      keep,
      'mount -o bind "$kept/var" "$1/var" && return\n  umount "$1/etc"\n  return 1',
      'mount -o bind "$kept/var" "$1/var"\n  return 0',
    ),
    suite: keeping,
  },
  {
    name: 'initramfs-starts-without-state-where-ram-would-hold-it',
    edits: one(keep, 'if state_over_ram "$1"; then', 'if false; then'),
    suite: keeping,
  },
  {
    name: 'initramfs-hides-what-a-worn-card-still-has',
    edits: one(keep, 'lower=$kept/etc/upper:$lower', ':'),
    suite: keeping,
  },
];
