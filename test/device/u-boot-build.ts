// The real U-Boot binaries, built on first use by u-boot-build.sh and kept under .device/u-boot.

import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Variables } from '../../bootctl/uboot/environment.ts';

const recipe = fileURLToPath(new URL('../../../test/device/u-boot-build.sh', import.meta.url));
/** The recipe bounds itself; this is for what it cannot bound, a mirror that stalls. */
const buildMsMax = 40 * 60 * 1000;

export interface UbootBuild {
  readonly folder: string;
  /** Name and version of Debian's source package. */
  readonly version: string;
  /** The environment that is compiled in. */
  readonly compiledIn: Variables;
}

const parseLines = (text: string): Variables =>
  new Map(
    text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)] as const),
  );

export const buildUboot = async (
  target: 'sandbox' | 'qemu-arm64' | 'qemu-amd64' | 'raspberry-pi',
): Promise<UbootBuild> => {
  const child = promisify(execFile)('bash', [recipe, target], { timeout: buildMsMax, maxBuffer: 1 << 26 });
  child.child.stderr?.pipe(process.stderr, { end: false });
  const folder = (await child).stdout.trim();
  return {
    folder,
    version: (await readFile(join(folder, 'version'), 'utf8')).trim(),
    compiledIn: parseLines(await readFile(join(folder, 'otad.env'), 'utf8')),
  };
};
