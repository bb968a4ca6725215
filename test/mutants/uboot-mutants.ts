// Known bugs of boot control over a U-Boot environment.

import { one, type SuiteMutant } from './mutant.ts';

const suite = ['bootctl/uboot/control.test.js', 'bootctl/uboot/environment.test.js'];

export const ubootMutants: readonly SuiteMutant[] = [
  {
    name: 'uboot-write-not-read-back',
    edits: one(
      'bootctl/uboot/control.js',
      'if (after.bootloaders !== next.index || after.current !== next.index) {',
      'if (after.bootloaders === undefined) {',
    ),
    suite,
  },
];
