// A board whose U-Boot is the real one, as a Linux process: its SD card is a file in a temporary folder, its power a
// child process. The environment lies where u-boot-sandbox.config says.

import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtemp, open, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chooseByFlag, decodeCopy, type Variables } from '../../bootctl/uboot/environment.ts';
import { type FwEnvConfig, parseFwEnvConfig } from '../../bootctl/uboot/fw-env-config.ts';
import type { UbootBuild } from './u-boot-build.ts';

export type SandboxVariant = 'redundant' | 'modern' | 'single' | 'listed' | 'fat';

export const envBytes = 0x4000;
/** The second copy begins where a card of 1 MiB ends. */
export const copyOffsets = [0xfc000, 0x100000] as const;
const cardBytes = 2 * 1024 * 1024;
const smallCardBytes = 1024 * 1024;
const consoleBytesMax = 4 * 1024 * 1024;
const powerOnMsMax = 60_000;
/** What a reset executes instead of U-Boot: the sandbox starts its argv[0] anew. */
const endOfPower = '/bin/true';

export interface PowerOnOptions {
  /** Runs instead of `bootcmd`. */
  readonly command?: string;
  /** A reset starts U-Boot again, as on a board; the caller sees to it that something ends it. */
  readonly isResetReal?: boolean;
  /** A program that runs U-Boot: strace with its arguments. */
  readonly wrapper?: readonly string[];
}

export interface Sandbox {
  readonly folder: string;
  readonly cardPath: string;
  readonly config: FwEnvConfig;
  /** Path of fw_env.config. */
  readonly configPath: string;
  /** Puts the copies onto the card; null leaves zeros. A small card has no room for the second copy. */
  insertCard(copies: readonly (Uint8Array | null)[], isSmall?: boolean): Promise<void>;
  /** What the console said until the power went. */
  powerOn(options?: PowerOnOptions): Promise<string>;
  /** The environment as U-Boot would choose it; null: none is valid. */
  readEnvironment(): Promise<Variables | null>;
  digest(): Promise<string>;
  close(): Promise<void>;
}

const runProcess = (
  program: string,
  args: readonly string[],
  options: { readonly cwd: string; readonly argv0?: string },
): Promise<string> =>
  new Promise((done, fail) => {
    const child = spawn(program, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'], timeout: powerOnMsMax });
    let text = '';
    const keep = (bytes: Buffer): void => {
      text += bytes.toString('latin1');
      if (text.length > consoleBytesMax) child.kill('SIGKILL');
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    child.on('error', fail);
    child.on('close', (_code, signal) => {
      // strace reports a killed child by dying of the same signal; only our own time limit is SIGTERM.
      if (signal === 'SIGTERM' || text.length > consoleBytesMax)
        fail(new Error(`U-Boot never ends:\n${text.slice(-4000)}`));
      else done(text.replaceAll('\r', ''));
    });
  });

export const createSandbox = async (build: UbootBuild, variant: SandboxVariant): Promise<Sandbox> => {
  const folder = await mkdtemp(join(tmpdir(), 'otad-sandbox-'));
  const cardPath = join(folder, 'disk.img');
  const configPath = join(folder, 'fw_env.config');
  const offsets = variant === 'single' ? copyOffsets.slice(0, 1) : copyOffsets;
  const text = offsets.map((offset) => `${cardPath} 0x${offset.toString(16)} 0x${envBytes.toString(16)}\n`).join('');
  await writeFile(configPath, text);
  await writeFile(cardPath, '');
  await truncate(cardPath, cardBytes);
  const binary = join(build.folder, `u-boot-${variant}`);

  const readCopy = async (offset: number): Promise<Uint8Array> => {
    const card = await readFile(cardPath);
    return card.subarray(offset, offset + envBytes);
  };

  return {
    folder,
    cardPath,
    config: parseFwEnvConfig(text, configPath),
    configPath,
    insertCard: async (copies, isSmall = false) => {
      await truncate(cardPath, cardBytes);
      const handle = await open(cardPath, 'r+');
      try {
        for (const [index, offset] of offsets.entries()) {
          await handle.write(copies[index] ?? Buffer.alloc(envBytes), 0, envBytes, offset);
        }
      } finally {
        await handle.close();
      }
      if (isSmall) await truncate(cardPath, smallCardBytes);
    },
    powerOn: ({ command, isResetReal = false, wrapper = [] } = {}) => {
      const board = ['-d', join(build.folder, 'board.dtb'), ...(command === undefined ? [] : ['-c', command])];
      const [program = '', ...args] = [...wrapper, binary, ...board];
      return runProcess(program, args, {
        cwd: folder,
        ...(isResetReal || wrapper.length > 0 ? {} : { argv0: endOfPower }),
      });
    },
    readEnvironment: async () => {
      const copies = [];
      for (const offset of offsets) {
        const image = await readCopy(offset);
        copies.push(image.length < envBytes ? null : decodeCopy(image, offsets.length === 2));
      }
      const chosen = chooseByFlag(copies);
      return chosen === null ? null : (copies[chosen]?.variables ?? null);
    },
    digest: async () =>
      createHash('sha256')
        .update(await readFile(cardPath))
        .digest('hex'),
    close: () => rm(folder, { recursive: true, force: true }),
  };
};
