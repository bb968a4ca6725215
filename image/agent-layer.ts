// The layer that brings otad itself: bundles, units, defaults and the trust anchor, each where the agent and systemd look
// for them. Made at build time from what the tree holds, so that nothing of it stands twice.

import { chmod, copyFile, cp, mkdir, symlink, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

export interface AgentLayerOptions {
  readonly projectFolder: string;
  /** The layer's folder; is made. */
  readonly folder: string;
  /** Root metadata of the repository whose releases count; null: the image can install nothing. */
  readonly trustRootPath: string | null;
  /** The sqlite3 addon for the image's architecture; null: that of this machine. */
  readonly addonPath: string | null;
  /** A drop-in of settings that belongs to the image. */
  readonly settingsPath: string | null;
}

const places: readonly (readonly [from: string, to: string, mode?: number])[] = [
  ['dist/bundle/otad.mjs', 'usr/lib/otad/otad.mjs', 0o755],
  ['dist/bundle/otad-boot.mjs', 'usr/lib/otad/otad-boot.mjs'],
  ['dist/bundle/otactl.mjs', 'usr/lib/otad/otactl.mjs', 0o755],
  ['dist/bundle/zstd.wasm', 'usr/lib/otad/zstd.wasm'],
  ['units/otad.service', 'usr/lib/systemd/system/otad.service'],
  ['units/otad-boot.socket', 'usr/lib/systemd/system/otad-boot.socket'],
  ['units/otad-boot.service', 'usr/lib/systemd/system/otad-boot.service'],
  ['units/otad-gate.service', 'usr/lib/systemd/system/otad-gate.service'],
  ['units/otad-deadman.timer', 'usr/lib/systemd/system/otad-deadman.timer'],
  ['units/otad-deadman.service', 'usr/lib/systemd/system/otad-deadman.service'],
  ['units/trial', 'usr/lib/otad/trial', 0o755],
  ['units/otad-reboot.path', 'usr/lib/systemd/system/otad-reboot.path'],
  ['units/otad-reboot.service', 'usr/lib/systemd/system/otad-reboot.service'],
  ['units/README.md', 'usr/share/doc/otad/README.md'],
  ['units/otad.sysusers', 'usr/lib/sysusers.d/otad.conf'],
  ['units/otad.tmpfiles', 'usr/lib/tmpfiles.d/otad.conf'],
  ['units/60-otad.rules', 'usr/lib/udev/rules.d/60-otad.rules'],
  ['units/otad.catalog', 'usr/lib/systemd/catalog/otad.catalog'],
  ['units/10-default.json', 'usr/lib/otad/config.d/10-default.json'],
];

/** Drop-ins that only the bootloader of the board needs; a generator chooses at each start. */
const bootloaders = ['systemd-boot', 'tryboot', 'uboot'];

/** As `systemctl enable` would link them. */
export const enabled: readonly string[] = [
  'multi-user.target.wants/otad.service',
  'multi-user.target.wants/otad-reboot.path',
  'sockets.target.wants/otad-boot.socket',
  'sysinit.target.wants/otad-deadman.timer',
  'boot-complete.target.requires/otad-gate.service',
];

/** What a technician types. */
const commands = ['otactl', 'otad'];
/** `#!/usr/bin/env node` would search the path; the image has one Node. */
const commandText = (name: string): string => `#!/bin/sh\nexec /usr/bin/node /usr/lib/otad/${name}.mjs "$@"\n`;

/** Writes the layer. */
export const makeAgentLayer = async (options: AgentLayerOptions): Promise<void> => {
  const { projectFolder, folder, trustRootPath, settingsPath } = options;
  const at = async (path: string): Promise<string> => {
    const file = join(folder, 'files', path);
    await mkdir(dirname(file), { recursive: true });
    return file;
  };
  const put = async (from: string, to: string, mode = 0o644): Promise<void> => {
    const file = await at(to);
    await copyFile(from, file);
    await chmod(file, mode);
  };
  for (const [from, to, mode] of places) await put(join(projectFolder, from), to, mode);
  await put(
    options.addonPath ?? join(projectFolder, 'dist/bundle/node_sqlite3.node'),
    'usr/lib/otad/node_sqlite3.node',
  );
  await cp(join(projectFolder, 'units/health.d'), await at('usr/lib/otad/health.d'), { recursive: true });
  for (const name of bootloaders) {
    const from = join(projectFolder, 'units', name);
    await cp(from, await at(`usr/lib/otad/bootloaders/${name}`), {
      recursive: true,
      filter: (path) => !path.endsWith('.json'),
    });
  }
  await put(join(projectFolder, 'units/tryboot/20-tryboot.json'), 'usr/lib/otad/config.d/20-tryboot.json');
  if (trustRootPath !== null) await put(trustRootPath, 'usr/lib/otad/root.json');
  if (settingsPath !== null) await put(settingsPath, 'usr/lib/otad/config.d/50-image.json');
  for (const name of commands) {
    const program = await at(`usr/bin/${name}`);
    await writeFile(program, commandText(name));
    await chmod(program, 0o755);
  }
  for (const link of enabled) await symlink(`../${basename(link)}`, await at(`usr/lib/systemd/system/${link}`));
  await writeFile(join(folder, 'layer.json'), JSON.stringify({ name: 'otad', modes: 'plain' }));
};
