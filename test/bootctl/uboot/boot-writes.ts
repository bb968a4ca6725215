// The U-Boot rows of docs/reference/boot-writes.md. The scene of each: `a` runs and is good; what `b` is stands in the row.

import type { BootWrites } from '../../contract/boot-writes.ts';

const bootloader = 'U-Boot environment';

export const ubootWrites: readonly BootWrites[] = [{ bootloader, operation: 'prepareReboot', writes: [] }];
