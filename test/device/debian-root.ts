// Programs of Debian 13 beside the system: packages from the machine's own mirror, unpacked under .device/debian13 and run
// with their own libraries. QEMU of Debian 12 is not reliable under emulation, and the loader is wanted as devices have it.

import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { unpackPackages } from '../../image/debian-packages.ts';
import { loaderWords, toolArchitecture } from '../../image/toolbox.ts';

const packages = ['qemu-system-x86', 'qemu-utils', 'ovmf', 'systemd-boot-efi', 'systemd-boot-tools'];
const folder = fileURLToPath(new URL('../../../.device', import.meta.url));

export interface DebianRoot {
  /** Where the packages lie. */
  readonly root: string;
  /** Program and first arguments that start a program of it with its own libraries. */
  command(program: string): readonly [string, ...string[]];
  /** Package and version, one a line, for the record. */
  readonly versions: string;
}

/** Downloads about 50 MB the first time; afterwards what is there is used, so that runs can be compared. */
export const prepareDebianRoot = async (): Promise<DebianRoot> => {
  const { root, packages: found } = await unpackPackages({
    folder: join(folder, 'debian13'),
    ...{ architecture: toolArchitecture(), packages, hasDependencies: true },
    onDownload: () => console.log('device lab: fetching QEMU, OVMF and systemd-boot of Debian 13'),
  });
  const [loader, ...words] = loaderWords(root);
  return {
    root,
    command: (program) => [loader, ...words, join(root, program)],
    versions: found.filter((line) => packages.includes(line.split(' ')[0] ?? '')).join('\n'),
  };
};
