// A device with a real U-Boot environment in files of a temporary folder: adapter and firmware on the same bytes.

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { SlotName } from '../../../agent/core/types.ts';
import { parseKernelCommandLine } from '../../../bootctl/kernel-command-line.ts';
import type { BootEvidence } from '../../../bootctl/model.ts';
import { createUbootControl } from '../../../bootctl/uboot/control.ts';
import { sequenceName, type Variables } from '../../../bootctl/uboot/environment.ts';
import { type FwEnvConfig, parseFwEnvConfig } from '../../../bootctl/uboot/fw-env-config.ts';
import { formatEnvironment } from '../../../bootctl/uboot/medium.ts';
import { powerOn } from '../../../bootctl/uboot/power-on.ts';
import { applyModel } from '../../../bootctl/uboot/variables.ts';
import { type BootMachine, contractStart, contractVerity } from '../../contract/boot-control.ts';

export interface UbootFiles {
  readonly folder: string;
  /** Path of fw_env.config. */
  readonly configPath: string;
  readonly config: FwEnvConfig;
  /** The file that each copy is in. */
  readonly envPaths: readonly string[];
  close(): Promise<void>;
}

/** Zero-filled files, one a copy, and the configuration that names them. */
export const createUbootFiles = async (copies: 1 | 2, sizeBytes = 0x2000): Promise<UbootFiles> => {
  const folder = await mkdtemp(join(tmpdir(), 'otad-uboot-'));
  const envPaths = ['uboot.env', 'uboot-redund.env'].slice(0, copies).map((name) => join(folder, name));
  for (const path of envPaths) await writeFile(path, Buffer.alloc(sizeBytes));
  const configPath = join(folder, 'fw_env.config');
  const text = `# test\n${envPaths.map((path) => `${path}\t0x0\t0x${sizeBytes.toString(16)}\n`).join('')}`;
  await writeFile(configPath, text);
  return {
    folder,
    configPath,
    config: parseFwEnvConfig(text, configPath),
    envPaths,
    close: () => rm(folder, { recursive: true, force: true }),
  };
};

/** A board's own variables beside ours, as a factory leaves them. */
export const factoryVariables: Variables = new Map([
  ['bootcmd', 'run distro_bootcmd'],
  ['serial#', '0042'],
  [sequenceName, '1'],
]);

export const createUbootMachine = async (copies: 1 | 2): Promise<BootMachine & { readonly files: UbootFiles }> => {
  const files = await createUbootFiles(copies);
  await formatEnvironment(files.config, applyModel(factoryVariables, contractStart));
  const start = contractVerity('a');
  let facts: BootEvidence = { slot: 'a', root: start.rootHex, evidence: ['factory'] };
  return {
    files,
    control: createUbootControl({
      config: files.config,
      evidence: async () => facts,
      lockPath: join(files.folder, 'lock'),
    }),
    powerOn: async (isBootable: (slot: SlotName) => boolean = () => true) => {
      const result = await powerOn(files.config, async (slot) => isBootable(slot));
      if (result.slot !== null) facts = parseKernelCommandLine(`console=ttyS0 ${result.cmdline}`);
      return result.slot;
    },
    close: files.close,
  };
};
