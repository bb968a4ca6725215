// What the bootloader goes by, as text for support: the U-Boot variables of the A/B logic, the loader's entries, the firmware's
// files. Reads at most so many and so much; says why where one cannot be read.

import { open, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { chooseBySequence } from '../../bootctl/uboot/environment.ts';
import { parseFwEnvConfig } from '../../bootctl/uboot/fw-env-config.ts';
import { readCopies } from '../../bootctl/uboot/medium.ts';
import { toFailure } from '../core/errors.ts';
import { slotNames } from '../core/types.ts';
import type { BootloaderKind, BootloaderSettings } from './boot-control.ts';

export interface BootRecord {
  readonly name: string;
  readonly value: string;
}

const recordsMax = 64;
const valueBytesMax = 2048;

/** Of everything in the environment only what chooses a slot: the rest may be secret, and is the board's. */
const isOfBooting = (name: string): boolean =>
  /^(?:BOOT_|otad_|mender_boot_part|rauc)/.test(name) ||
  ['bootcmd', 'altbootcmd', 'bootcount', 'bootlimit', 'upgrade_available', 'ustate'].includes(name);

const readVariables = async (path: string): Promise<readonly BootRecord[]> => {
  const config = parseFwEnvConfig(await readFile(path, 'utf8'), path);
  const copies = (await readCopies(config)).map(({ copy }) => copy);
  const current = chooseBySequence(copies);
  const variables = current === null ? undefined : copies[current]?.variables;
  return [...(variables ?? new Map<string, string>())]
    .filter(([name]) => isOfBooting(name))
    .sort(([one], [two]) => (one < two ? -1 : 1))
    .map(([name, value]) => ({ name, value: value.slice(0, valueBytesMax) }));
};

const readText = async (path: string): Promise<BootRecord> => {
  try {
    const file = await open(path, 'r');
    try {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(valueBytesMax), 0, valueBytesMax, 0);
      // Padding of files that are written in place.
      return { name: path, value: buffer.toString('utf8', 0, bytesRead).replace(/[\s\0]+$/, '') };
    } finally {
      await file.close();
    }
  } catch (error) {
    return { name: path, value: `(cannot be read: ${(error as NodeJS.ErrnoException).code ?? String(error)})` };
  }
};

const readEntries = async (espPath: string): Promise<readonly BootRecord[]> => {
  const folder = join(espPath, 'loader/entries');
  const names = (await readdir(folder).catch(() => [])).filter((name) => name.endsWith('.conf')).sort();
  const images = await readdir(join(espPath, 'EFI/Linux')).catch(() => []);
  return [
    await readText(join(espPath, 'loader/loader.conf')),
    ...(await Promise.all(names.map((name) => readText(join(folder, name))))),
    ...images.sort().map((name) => ({ name: join(espPath, 'EFI/Linux', name), value: '(unified kernel image)' })),
  ];
};

/** Never throws: what cannot be read is said in place of it. */
export const readBootRecords = async (
  kind: BootloaderKind,
  { uboot, systemdBoot, tryboot }: BootloaderSettings,
): Promise<readonly BootRecord[]> => {
  const readers: Readonly<Record<BootloaderKind, () => Promise<readonly BootRecord[]>>> = {
    uboot: () => readVariables(uboot.fwEnvConfigPath),
    'systemd-boot': () => readEntries(systemdBoot.espPath),
    tryboot: () =>
      Promise.all(
        [tryboot.autobootPath, ...slotNames.map((slot) => join(tryboot.bootFolders[slot], 'cmdline.txt'))].map(
          readText,
        ),
      ),
  };
  try {
    return (await readers[kind]()).slice(0, recordsMax);
  } catch (error) {
    return [{ name: kind, value: toFailure(error).message }];
  }
};
