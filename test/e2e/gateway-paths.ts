// Where everything of one virtual gateway lies. Pure; what is persistent and what a reboot clears is decided here.

import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import type { SlotName } from '../../agent/core/types.ts';

/** The kernel's limit for the path of a unix socket, less room for the socket's own name. */
const runDirBytesMax = 107 - '/control.sock'.length;

export interface GatewayPaths {
  readonly folder: string;
  readonly slots: Readonly<Record<SlotName, string>>;
  /** Where the firmware loads a slot's kernel from. */
  readonly bootFolders: Readonly<Record<SlotName, string>>;
  readonly envCopies: readonly [string, string];
  readonly fwEnvConfig: string;
  readonly configDir: string;
  readonly stateDir: string;
  /** A file system in memory on a real gateway: empty after each boot. */
  readonly runDir: string;
  readonly commandLine: string;
  readonly bootId: string;
  readonly rebootRequest: string;
  /** The booted slot's files: what the verified device would show, mounted. */
  readonly rootfs: string;
  readonly deviceId: string;
  readonly agentLog: string;
  /** Process id of the running daemon, for a person's `kill`. */
  readonly agentPid: string;
}

/** `folder` is absolute. A folder whose path is too long for sockets gets its run folder elsewhere. */
export const gatewayPaths = (folder: string): GatewayPaths => {
  const near = join(folder, 'run');
  const runDir =
    Buffer.byteLength(near) <= runDirBytesMax ? near : join(tmpdir(), `otad-run-${process.pid}-${basename(folder)}`);
  return {
    folder,
    slots: { a: join(folder, 'slot-a.img'), b: join(folder, 'slot-b.img') },
    bootFolders: { a: join(folder, 'boot-a'), b: join(folder, 'boot-b') },
    envCopies: [join(folder, 'uboot-1.env'), join(folder, 'uboot-2.env')],
    fwEnvConfig: join(folder, 'fw_env.config'),
    configDir: join(folder, 'etc/otad/config.d'),
    stateDir: join(folder, 'var/lib/otad'),
    runDir,
    commandLine: join(runDir, 'cmdline'),
    bootId: join(runDir, 'boot_id'),
    rebootRequest: join(runDir, 'reboot-requested'),
    rootfs: join(runDir, 'rootfs'),
    deviceId: join(folder, 'machine-id'),
    agentLog: join(folder, 'otad.log'),
    agentPid: join(runDir, 'otad.pid'),
  };
};

/** Settings that place the daemon on the virtual board instead of a real one. */
export const placement = (paths: GatewayPaths): Readonly<Record<string, unknown>> => ({
  slots: { a: { path: paths.slots.a }, b: { path: paths.slots.b } },
  bootloader: {
    kind: 'uboot',
    uboot: { fwEnvConfigPath: paths.fwEnvConfig, bootFolders: paths.bootFolders },
    commandLinePath: paths.commandLine,
  },
  stateDir: paths.stateDir,
  runDir: paths.runDir,
  deviceIdPath: paths.deviceId,
  health: {
    requiredDirs: [join(paths.rootfs, 'usr/lib/otad/health.d/required.d')],
    wantedDirs: [join(paths.rootfs, 'usr/lib/otad/health.d/wanted.d')],
  },
  reboot: { command: ['touch', paths.rebootRequest] },
  api: { controlGroup: null },
});
