// Known bugs around which slot runs, which device a slot is, and which bootloader is there.

import { one, type SuiteMutant } from './mutant.ts';

const lineage = ['agent/adapters/boot-lineage.test.js'];
const control = ['agent/adapters/boot-control.test.js'];
const core = ['agent/core/marking.test.js'];

export const lineageMutants: readonly SuiteMutant[] = [
  {
    name: 'witnesses-not-compared',
    edits: one('bootctl/lineage.js', 'if (other === undefined)', 'if (first !== undefined)'),
    suite: lineage,
  },
  {
    name: 'verity-not-followed-to-its-partition',
    edits: one('agent/adapters/block-device.js', 'if (slaveNumber !== null)', 'if (slaveNumber === null)'),
    suite: lineage,
  },
  {
    name: 'hidden-root-mount-believed',
    edits: one('agent/adapters/root-device.js', 'mounts.findLast(', 'mounts.find('),
    suite: lineage,
  },
  {
    name: 'equal-uuids-believed',
    edits: one('agent/adapters/root-device.js', 'found.length === 1', 'found.length >= 1'),
    suite: lineage,
  },
  {
    name: 'equal-labels-accepted',
    edits: one('agent/adapters/slot-doubles.js', 'if (double !== undefined)', 'if (double === null)'),
    suite: lineage,
  },
  {
    name: 'slots-of-the-disk-that-does-not-run-accepted',
    edits: one('agent/adapters/slot-doubles.js', 'if (root !== undefined)', 'if (root === null)'),
    suite: lineage,
  },
  {
    name: 'slots-on-two-disks-accepted',
    edits: one('agent/adapters/slot-doubles.js', 'if (isElsewhere && ', 'if (!isElsewhere && '),
    suite: lineage,
  },
  {
    name: 'bootloader-told-before-the-slot-is-known-to-be-writable',
    edits: one(
      'agent/adapters/boot-control.js',
      'await slots.refuse(slot);\n        await boot.invalidate(slot, signal);',
      'await boot.invalidate(slot, signal);\n        await slots.refuse(slot);',
    ),
    suite: control,
  },
  {
    name: 'bootloader-guessed-from-two-traces',
    edits: one('agent/adapters/boot-control.js', 'if (isUboot !== isTryboot)', 'if (isUboot || isTryboot)'),
    suite: control,
  },
  {
    name: 'mark-bad-with-nothing-good-left',
    edits: one('agent/core/marking.js', "return found === 'good' ?", "return found !== '' ?"),
    suite: core,
  },
  {
    name: 'marking-not-resumed',
    edits: one('agent/core/recover.js', 'if (resumed !== null)', 'if (resumed === undefined)'),
    suite: core,
  },
  {
    name: 'trial-given-up-although-the-way-back-is-rotten',
    edits: one('agent/core/assessing.js', 'staged.failureReason === null\n', 'staged.failureReason !== null\n'),
    suite: core,
  },
  {
    name: 'marked-release-not-denied',
    edits: one(
      'agent/core/marking.js',
      'return andThen(noted, (next) => deny(next, context, staged.release, reason));',
      'return noted;',
    ),
    suite: core,
  },
  {
    name: 'tryboot-folders-exchanged',
    edits: one('agent/adapters/boot-folders.js', 'device.partition === partitions[slot])', 'device.partition !== 0)'),
    suite: ['agent/adapters/boot-folders.test.js'],
  },
];
