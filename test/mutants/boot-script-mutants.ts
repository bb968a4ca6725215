// Known bugs of the boot logic as the virtual gateway runs it, and of putting the script on one line. The same bugs in the
// script itself are planted by test/device/u-boot-mutants.lab.ts, in a real U-Boot.

import { one, type SuiteMutant } from './mutant.ts';

const firmware = 'bootctl/uboot/firmware.js';
const suite = ['bootctl/uboot/firmware.test.js'];

export const bootScriptMutants: readonly SuiteMutant[] = [
  {
    name: 'boot-counts-confirmed',
    edits: one(firmware, 'if (isOnTrial(letter))\n            takeTry(slot);', 'takeTry(slot);'),
    suite,
  },
  {
    name: 'boot-trial-not-counted',
    edits: one(firmware, 'if (isOnTrial(letter))\n            takeTry(slot);', ''),
    suite,
  },
  {
    name: 'boot-exhausted-stuck',
    edits: one(
      firmware,
      "if (order.some((letter) => env.get(leftName[toSlot[letter]]) !== '0'))",
      'if (order.length > 0)',
    ),
    suite,
  },
  {
    name: 'boot-invalid-order-stuck',
    edits: one(firmware, 'if (lettersIn(env.get(orderName)).length === 0)', 'if (env.get(orderName) === undefined)'),
    suite,
  },
  {
    name: 'boot-unwritable-ignored',
    edits: one(firmware, 'if (isOnTrial(letter) && !isWritable)', 'if (false)'),
    suite,
  },
  {
    name: 'boot-root-of-other-slot',
    edits: one(firmware, "const root = env.get(rootName[slot]) ?? '';", "const root = env.get(rootName.a) ?? '';"),
    suite,
  },
  {
    name: 'boot-lost-environment-trusted',
    edits: one(firmware, "env.set(trialName, 'A B');", "env.set(trialName, '');"),
    suite,
  },
  {
    name: 'boot-script-line-without-semicolon',
    edits: one('bootctl/uboot/boot-script.js', "? ' ' : '; '", "? ' ' : ' '"),
    suite: ['bootctl/uboot/boot-script.test.js'],
  },
];
