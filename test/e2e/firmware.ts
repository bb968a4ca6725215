// One power-on of the virtual board up to the point where the system starts: U-Boot's choice on the real environment,
// the slot checked against the root that goes to the kernel, and its files laid out as if the verified device were
// mounted. A slot that does not verify does not start, as dm-verity would have it.

import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { SlotName } from '../../agent/core/types.ts';
import type { SlotVerity } from '../../bootctl/model.ts';
import { parseFwEnvConfig } from '../../bootctl/uboot/fw-env-config.ts';
import { powerOn } from '../../bootctl/uboot/power-on.ts';
import { lostVariables, trialName } from '../../bootctl/uboot/variables.ts';
import { runProgram } from './child-process.ts';
import type { GatewayPaths } from './gateway-paths.ts';

export interface OpenedSlot {
  readonly slot: SlotName;
  /** Arguments that U-Boot hands to the kernel. */
  readonly commandLine: string;
}

const lastLine = (text: string): string => text.trim().split('\n').at(-1) ?? '';

/** What U-Boot carries inside itself, for when both copies of the environment are bad. */
const compiledIn = new Map([...lostVariables, ['bootcmd', 'run otad_boot']]);

/** Every block against the root, as dm-verity would on each read. */
const checkSlot = async (device: string, verity: SlotVerity): Promise<string | null> => {
  const offset = `--hash-offset=${verity.hashOffsetBytes}`;
  const { exitCode, stderr } = await runProgram('veritysetup', ['verify', device, device, verity.rootHex, offset]);
  return exitCode === 0 ? null : `dm-verity: ${lastLine(stderr)}`;
};

/** What the dead man's timer asks before it ends a trial. */
export const isOnTrial = async (paths: GatewayPaths, slot: SlotName): Promise<boolean> => {
  const { stdout } = await runProgram('fw_printenv', ['-c', paths.fwEnvConfig, '-n', trialName]);
  return stdout.trim().split(' ').includes(slot.toUpperCase());
};

/** Lays out what the slot's system shows as its files; says what was wrong. */
export type LayOut = (device: string, rootfs: string) => Promise<string | null>;

const unpackSlot: LayOut = async (device, rootfs) => {
  await rm(rootfs, { recursive: true, force: true });
  const args = ['-quiet', '-no-progress', '-processors', '2', '-dest', rootfs, device];
  const { exitCode, stderr } = await runProgram('unsquashfs', args);
  return exitCode === 0 ? null : `squashfs: ${lastLine(stderr)}`;
};

/** The modules of the root are for one kernel: with another one beside it, nothing would come up. */
const checkKernel = async (paths: GatewayPaths, slot: SlotName, print: (line: string) => void) => {
  const wanted = await readFile(join(paths.rootfs, 'usr/lib/gateway/kernel-release'), 'utf8').catch(() => null);
  if (wanted === null) return null;
  const [kernel, tree] = await Promise.all(
    ['kernel', 'dtbs/board.dtb'].map((name) => readFile(join(paths.bootFolders[slot], name), 'latin1').catch(() => '')),
  );
  const [release = ''] = (kernel ?? '').split('\n', 1);
  print(`slot ${slot}: kernel ${release}`);
  const isFit = `${release}\n` === wanted && tree === `tree for ${release}\n`;
  return isFit ? null : `the root is for kernel ${wanted.trim()}`;
};

/** Without a root in the environment (both copies were lost) the slot starts unchecked: better than a board that is dead. */
const openSlot = async (
  paths: GatewayPaths,
  slot: SlotName,
  verity: SlotVerity | null,
  layOut: LayOut,
  print: (line: string) => void,
): Promise<boolean> => {
  const device = paths.slots[slot];
  if (verity === null) print(`slot ${slot}: no verity root in the environment, not checked`);
  const problem =
    (verity === null ? null : await checkSlot(device, verity)) ??
    (await layOut(device, paths.rootfs)) ??
    (await checkKernel(paths, slot, print));
  if (problem !== null) print(`slot ${slot}: ${problem}`);
  return problem === null;
};

/** Counts down, chooses and opens a slot. null: none could be opened, the board resets. */
export const bootSlot = async (
  paths: GatewayPaths,
  print: (line: string) => void,
  layOut: LayOut = unpackSlot,
): Promise<OpenedSlot | null> => {
  const config = parseFwEnvConfig(await readFile(paths.fwEnvConfig, 'utf8'), paths.fwEnvConfig);
  const { slot, cmdline, isEnvironmentValid } = await powerOn(
    config,
    (name, verity) => openSlot(paths, name, verity, layOut, print),
    compiledIn,
  );
  if (!isEnvironmentValid) print('environment: both copies are bad, using the compiled-in one');
  if (slot === null) return null;
  print(`starting slot ${slot}`);
  return { slot, commandLine: cmdline };
};
