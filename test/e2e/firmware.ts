// One power-on of the virtual board up to the point where the system starts: U-Boot's choice on the real environment,
// the slot checked against the root that goes to the kernel, and its files laid out as if the verified device were
// mounted. A slot that does not verify does not start, as dm-verity would have it.

import { readFile, rm } from 'node:fs/promises';
import type { SlotName } from '../../agent/core/types.ts';
import { parseFwEnvConfig } from '../../bootctl/fw-env-config.ts';
import type { SlotVerity } from '../../bootctl/model.ts';
import { powerOn } from '../../bootctl/uboot-power-on.ts';
import { runProgram } from './child-process.ts';
import type { GatewayPaths } from './gateway-paths.ts';

export interface OpenedSlot {
  readonly slot: SlotName;
  /** Arguments that U-Boot hands to the kernel. */
  readonly commandLine: string;
}

const lastLine = (text: string): string => text.trim().split('\n').at(-1) ?? '';

/** Checks every block of the slot against the root, and lays the slot's files out. */
const openSlot = async (
  paths: GatewayPaths,
  slot: SlotName,
  verity: SlotVerity | null,
  print: (line: string) => void,
): Promise<boolean> => {
  if (verity === null || verity.hashOffsetBytes === null) {
    print(`slot ${slot}: no verity root in the environment, not started`);
    return false;
  }
  const device = paths.slots[slot];
  const offset = `--hash-offset=${verity.hashOffsetBytes}`;
  const check = await runProgram('veritysetup', ['verify', device, device, verity.rootHex, offset]);
  if (check.exitCode !== 0) {
    print(`slot ${slot}: dm-verity: ${lastLine(check.stderr)}`);
    return false;
  }
  await rm(paths.rootfs, { recursive: true, force: true });
  const unpack = await runProgram('unsquashfs', ['-quiet', '-no-progress', '-dest', paths.rootfs, device]);
  if (unpack.exitCode === 0) return true;
  print(`slot ${slot}: squashfs: ${lastLine(unpack.stderr)}`);
  return false;
};

/** Counts down, chooses and opens a slot. null: none could be opened, the board resets. */
export const bootSlot = async (paths: GatewayPaths, print: (line: string) => void): Promise<OpenedSlot | null> => {
  const config = parseFwEnvConfig(await readFile(paths.fwEnvConfig, 'utf8'), paths.fwEnvConfig);
  const { slot, cmdline, isEnvironmentValid } = await powerOn(config, (name, verity) =>
    openSlot(paths, name, verity, print),
  );
  if (!isEnvironmentValid) print('environment: both copies are bad, using the compiled-in one');
  if (slot === null) return null;
  print(`starting slot ${slot}`);
  return { slot, commandLine: cmdline };
};
