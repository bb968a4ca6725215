// Every setting, its default, its range and one sentence: those at the top and the small groups here, each large group in a
// file of its own; and what must hold between them. docs/reference/config.md is made from the whole and checked against it.
// Trust is not here: which keys count is built into the image, never configured.

import * as z from 'zod';
import { bootFoldersFault } from './boot-folders.ts';
import { bootloaderSchema } from './bootloader-schema.ts';
import { healthSchema } from './health-schema.ts';
import { httpSchema } from './http-schema.ts';
import { backoffSchema, pollSchema, windowsSchema } from './schedule-schema.ts';
import { day, minute, nameSchema, pathSchema, urlSchema, whole } from './value-schema.ts';

const slotSchema = (path: string, sentence: string) =>
  z.strictObject({ path: pathSchema.default(path).describe(sentence) }).prefault({});

const apiSchema = z
  .strictObject({
    controlGroup: z
      .string()
      .regex(/^[a-z_][a-z0-9_-]{0,31}$/)
      .meta({ expected: 'a group name' })
      .nullable()
      .default('otad-admin')
      .describe('Group that may use the control socket; null: only the user that otad runs as.'),
    tcp: z
      .strictObject({
        port: whole(0, 65535).describe('Port on 127.0.0.1; 0: any free one.'),
      })
      .nullable()
      .default(null)
      .describe('Read-only API and status page on loopback TCP; null: off.'),
  })
  .prefault({});

export const configSchema = z
  .strictObject({
    baseUrls: z
      .array(urlSchema)
      .max(8)
      .default([])
      .describe('Where the published folder is served, tried in order. Empty: never checks.'),
    channel: nameSchema.default('stable').describe('Stream of releases that this gateway follows.'),
    compatible: nameSchema
      .nullable()
      .default(null)
      .describe('Hardware and image family of this gateway; null: OTAD_COMPATIBLE of os-release.'),
    hardwareRevision: nameSchema
      .nullable()
      .default(null)
      .describe('Hardware revision, for releases that name revisions; null: unknown.'),
    deviceIdPath: pathSchema
      .default('/etc/machine-id')
      .describe('File that identifies this gateway. It is hashed and never leaves the device as it is.'),
    stateDir: pathSchema.default('/var/lib/otad').describe('What otad keeps: state database, trusted metadata.'),
    runDir: pathSchema.default('/run/otad').describe('Sockets: status.sock (all may read) and control.sock.'),
    slots: z
      .strictObject({
        a: slotSchema('/dev/disk/by-partlabel/system_a', 'Block device (or file) of slot a.'),
        b: slotSchema('/dev/disk/by-partlabel/system_b', 'Block device (or file) of slot b.'),
      })
      .prefault({}),
    bootloader: bootloaderSchema,
    poll: pollSchema,
    backoff: backoffSchema,
    windows: windowsSchema,
    triesMax: whole(1, 9).default(3).describe('Boot attempts that the bootloader grants a new release.'),
    installAttemptsMax: whole(1, 100)
      .default(3)
      .describe('Failed installs of one release, by its own or the device’s fault, until it is denied.'),
    rebootAttemptsMax: whole(1, 100)
      .default(3)
      .describe('Reboots on behalf of one release until otad stops and asks for attention.'),
    rebootTimeoutMs: whole(100, day)
      .default(10 * minute)
      .describe('A reboot that has not happened after this time has failed.'),
    health: healthSchema,
    autoInstall: z.boolean().default(true).describe('Installs a release when it is found; false: waits for otactl.'),
    autoReboot: z
      .boolean()
      .default(true)
      .describe('Reboots into an installed release when the window opens; false: waits for otactl.'),
    dataSchema: whole(0, 1_000_000)
      .default(0)
      .describe('Schema of the data on this device; a release that cannot read it is refused.'),
    denylistMax: whole(1, 1000).default(64).describe('Releases kept on the denylist; the oldest goes first.'),
    http: httpSchema,
    api: apiSchema,
    log: z
      .strictObject({
        level: z.enum(['error', 'warn', 'info', 'debug']).default('info').describe('The least severe line logged.'),
      })
      .prefault({}),
    reboot: z
      .strictObject({
        command: z
          .array(z.string().min(1).max(4096))
          .min(1)
          .max(32)
          .default(['systemctl', 'reboot'])
          .describe('Program and arguments that reboot; no shell.'),
      })
      .prefault({}),
    timeSync: z
      .strictObject({
        markerPath: pathSchema
          .default('/run/systemd/timesync/synchronized')
          .describe('The clock counts as synchronised while this file exists.'),
      })
      .prefault({}),
  })
  .superRefine((config, context) => {
    const { backoff, bootloader, health, http, slots } = config;
    // What is said to the other slot would be said to the one that runs.
    for (const [path, pair] of [
      [['slots', 'b', 'path'], { a: slots.a.path, b: slots.b.path }],
      [['bootloader', 'systemdBoot', 'entries', 'b'], bootloader.systemdBoot.entries],
      [['bootloader', 'tryboot', 'bootFolders', 'b'], bootloader.tryboot.bootFolders],
      [['bootloader', 'tryboot', 'partitions', 'b'], bootloader.tryboot.partitions],
    ] as const) {
      if (pair.a === pair.b)
        context.addIssue({ code: 'custom', path: [...path], message: 'another one than slot a has' });
    }
    const { uboot, systemdBoot } = bootloader;
    for (const [name, folders, espPath] of [
      ['uboot', uboot.bootFolders, null],
      ['systemdBoot', systemdBoot.bootFolders, systemdBoot.espPath],
    ] as const) {
      const message = folders === null ? null : bootFoldersFault(folders, espPath);
      if (message !== null) context.addIssue({ code: 'custom', path: ['bootloader', name, 'bootFolders'], message });
    }
    if (backoff.maxMs < backoff.minMs) {
      context.addIssue({
        code: 'custom',
        path: ['backoff', 'maxMs'],
        message: `at least backoff.minMs (${backoff.minMs})`,
      });
    }
    if ((http.clientCertFile === null) !== (http.clientKeyFile === null)) {
      const missing = http.clientCertFile === null ? 'clientCertFile' : 'clientKeyFile';
      context.addIssue({
        code: 'custom',
        path: ['http', missing],
        message: 'both http.clientCertFile and its key, or neither',
      });
    }
    if (http.bytesPerSecondMax !== null && http.bytesPerSecondMax < http.bytesPerSecondMin) {
      context.addIssue({
        code: 'custom',
        path: ['http', 'bytesPerSecondMax'],
        message: `at least http.bytesPerSecondMin (${http.bytesPerSecondMin})`,
      });
    }
    if (health.deadlineMs > health.deadlineMaxMs) {
      context.addIssue({
        code: 'custom',
        path: ['health', 'deadlineMs'],
        message: `at most health.deadlineMaxMs (${health.deadlineMaxMs})`,
      });
    }
    if (health.checkTimeoutMs > health.deadlineMs) {
      context.addIssue({
        code: 'custom',
        path: ['health', 'checkTimeoutMs'],
        message: `at most health.deadlineMs (${health.deadlineMs})`,
      });
    }
  });

export type Config = z.output<typeof configSchema>;

/** The API's two sockets in the run directory. */
export const socketPaths = (config: Pick<Config, 'runDir'>): { readonly status: string; readonly control: string } => ({
  status: `${config.runDir}/status.sock`,
  control: `${config.runDir}/control.sock`,
});

/** Where each slot is. */
export const slotPathsOf = ({ slots }: Pick<Config, 'slots'>): { readonly a: string; readonly b: string } => ({
  a: slots.a.path,
  b: slots.b.path,
});
