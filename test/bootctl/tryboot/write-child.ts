// A commit in a process of its own, under the real lock, so that a test sees its system calls. Argument: the Pi's folder.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseKernelCommandLine } from '../../../bootctl/kernel-command-line.ts';
import { createTrybootControl } from '../../../bootctl/tryboot/control.ts';

const folder = process.argv[2] ?? '';
const control = createTrybootControl({
  autobootPath: join(folder, 'bootconfig/autoboot.txt'),
  intentPaths: [join(folder, 'data/intent-1.json'), join(folder, 'data/intent-2.json')],
  bootFolders: { a: join(folder, 'boot_a'), b: join(folder, 'boot_b') },
  evidence: parseKernelCommandLine(await readFile(join(folder, 'cmdline'), 'latin1')),
  deviceTreePath: join(folder, 'device-tree'),
  rebootParamPath: join(folder, 'run/reboot-param'),
  bootIdPath: join(folder, 'boot_id'),
  lockPath: join(folder, 'lock'),
});
await control.markGood('b', new AbortController().signal);
console.log('done');
