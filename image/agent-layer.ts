// The layer that brings otad itself: bundles, units, defaults and the trust anchor, each where the agent and systemd look
// for them. Made at build time from what the tree holds, so that nothing of it stands twice.

import { chmod, copyFile, cp, mkdir, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

export interface AgentLayerOptions {
  readonly projectFolder: string;
  /** The layer's folder; is made. */
  readonly folder: string;
  /** Root metadata of the repository whose releases count; null: the image can install nothing. */
  readonly trustRootPath: string | null;
  /** A drop-in of settings that belongs to the image. */
  readonly settingsPath: string | null;
}

const places: readonly (readonly [from: string, to: string, mode?: number])[] = [
  ['dist/bundle/otad.mjs', 'usr/lib/otad/otad.mjs'],
  ['dist/bundle/otactl.mjs', 'usr/lib/otad/otactl.mjs', 0o755],
  ['dist/bundle/node_sqlite3.node', 'usr/lib/otad/node_sqlite3.node'],
  ['dist/bundle/zstd.wasm', 'usr/lib/otad/zstd.wasm'],
  ['units/otad.service', 'usr/lib/systemd/system/otad.service'],
  ['units/otad-reboot.path', 'usr/lib/systemd/system/otad-reboot.path'],
  ['units/otad-reboot.service', 'usr/lib/systemd/system/otad-reboot.service'],
  ['units/otad.sysusers', 'usr/lib/sysusers.d/otad.conf'],
  ['units/otad.tmpfiles', 'usr/lib/tmpfiles.d/otad.conf'],
  ['units/60-otad.rules', 'usr/lib/udev/rules.d/60-otad.rules'],
  ['units/otad.catalog', 'usr/lib/systemd/catalog/otad.catalog'],
  ['units/10-default.json', 'usr/lib/otad/config.d/10-default.json'],
];

const enabled = ['otad.service', 'otad-reboot.path'];

/** `#!/usr/bin/env node` would search the path; the image has one Node. */
const otactl = '#!/bin/sh\nexec /usr/bin/node /usr/lib/otad/otactl.mjs "$@"\n';

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
  await cp(join(projectFolder, 'units/health.d'), await at('usr/lib/otad/health.d'), { recursive: true });
  if (trustRootPath !== null) await put(trustRootPath, 'usr/lib/otad/root.json');
  if (settingsPath !== null) await put(settingsPath, 'usr/lib/otad/config.d/50-image.json');
  const program = await at('usr/bin/otactl');
  await writeFile(program, otactl);
  await chmod(program, 0o755);
  for (const unit of enabled) {
    await symlink(`../${unit}`, await at(`usr/lib/systemd/system/multi-user.target.wants/${unit}`));
  }
  await writeFile(join(folder, 'layer.json'), JSON.stringify({ name: 'otad', modes: 'plain' }));
};
