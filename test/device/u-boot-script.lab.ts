// The boot script in the shell of a real U-Boot against its TypeScript twin: which slot starts, with which arguments, and
// what is in the environment afterwards, as U-Boot stored it, as we read it and as fw_printenv reads it.

import { execFile } from 'node:child_process';
import { copyFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { createRandom } from '../bootctl/random.ts';
import { type BootCase, hostileOddities, randomCases } from '../bootctl/uboot/boot-cases.ts';
import { buildUboot } from './u-boot-build.ts';
import { checkCase, type Rig } from './u-boot-differential.ts';
import { createSandbox } from './u-boot-sandbox.ts';

const scriptPath = fileURLToPath(new URL('../../../bootctl/uboot/boot.cmd', import.meta.url));
const build = await buildUboot('sandbox');
/** The script as mkimage packs it, comments and all. */
const imageFolder = await mkdtemp(join(tmpdir(), 'otad-script-'));
const imagePath = join(imageFolder, 'boot.scr');
await promisify(execFile)(join(build.folder, 'mkimage'), ['-T', 'script', '-d', scriptPath, imagePath]);
after(() => rm(imageFolder, { recursive: true }));
console.log(`U-Boot: ${build.version}`);

/** Two boards at a time. */
const checkCases = async (rig: Rig, cases: readonly BootCase[], seed: number): Promise<void> => {
  const queue = [...cases.entries()];
  const work = async (): Promise<void> => {
    const sandbox = await createSandbox(build, rig.variant);
    try {
      await copyFile(imagePath, join(sandbox.folder, 'boot.scr'));
      for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
        const [index, one] = next;
        await checkCase(build, sandbox, one, rig, createRandom(seed * 100_000 + index));
      }
    } finally {
      await sandbox.close();
    }
  };
  await Promise.all([work(), work()]);
};

describe('boot script in a real U-Boot', () => {
  it('chooses, passes and saves what its twin does, on 1000 environments with two copies', async () => {
    await checkCases({ variant: 'redundant' }, randomCases(21, 1000, hostileOddities), 21);
  });

  it('does so in the newer of the two shells', async () => {
    await checkCases({ variant: 'modern' }, randomCases(22, 500, hostileOddities), 22);
  });

  it('does so with a single copy', async () => {
    const cases = randomCases(23, 300, hostileOddities).map((one) => ({ ...one, isWritable: true }));
    await checkCases({ variant: 'single' }, cases, 23);
  });

  it('does so as a script image that is loaded from a file system', async () => {
    const command = 'load hostfs - 1000 boot.scr; source 1000';
    await checkCases({ variant: 'redundant', command }, randomCases(24, 200, hostileOddities), 24);
  });
});
