// Every setting, its default, its range and one sentence. docs/reference/config.md is made from this file and checked
// against it. Trust is not here: which keys count is built into the image, never configured.

import { validate as isCron } from 'node-cron';
import * as z from 'zod';
import { nameExpectation, namePattern } from '../core/name.ts';
import { healthDeadlineMaxMsDefault } from '../core/trial-time.ts';
import { bootFoldersFault } from './boot-folders.ts';

const pathSchema = z
  .string()
  .max(4096)
  .regex(/^\/[^\0]*$/)
  .meta({ expected: 'an absolute path' });

const nameSchema = z.string().regex(namePattern).meta({ expected: nameExpectation });

const isHttpUrl = (text: string): boolean => {
  if (!URL.canParse(text)) return false;
  const url = new URL(text);
  return (url.protocol === 'https:' || url.protocol === 'http:') && url.search === '' && url.hash === '';
};

const urlSchema = z
  .string()
  .max(2048)
  .refine(isHttpUrl)
  .meta({ expected: 'an http:// or https:// URL without query or fragment' });

/** Five fields: a sixth one (seconds) would open a window for one second in a minute. */
const isMinuteCron = (text: string): boolean => text.trim().split(/\s+/).length === 5 && isCron(text);

const windowSchema = z
  .string()
  .max(256)
  .refine(isMinuteCron)
  .meta({ expected: 'a cron expression of five fields (minute hour day month weekday)' })
  .nullable();

const isTimeZone = (text: string): boolean => {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: text }) !== null;
  } catch {
    return false;
  }
};

const whole = (min: number, max: number) => z.int().min(min).max(max);
const second = 1000;
const minute = 60 * second;
const hour = 60 * minute;
const day = 24 * hour;
const healthFolders = ['/usr/lib/otad/health.d', '/run/otad/health.d', '/etc/otad/health.d'];

const slotSchema = (path: string, sentence: string) =>
  z.strictObject({ path: pathSchema.default(path).describe(sentence) }).prefault({});

const bootFoldersSchema = (sentence: string) =>
  z
    .strictObject({
      a: pathSchema.describe('Boot files of slot a.'),
      b: pathSchema.describe('Boot files of slot b.'),
    })
    .nullable()
    .default(null)
    .describe(sentence);

const ubootSchema = z
  .strictObject({
    fwEnvConfigPath: pathSchema
      .default('/etc/fw_env.config')
      .describe('Where the U-Boot environment lies; the file that fw_printenv and fw_setenv read.'),
    bootFolders: bootFoldersSchema(
      'Where the boot partitions of the slots are mounted, writable: kernel and initrd of a release go there, and what is none of them is removed; null: releases that bring them are refused.',
    ),
  })
  .prefault({});

const entryStemSchema = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/)
  .meta({ expected: 'letters, digits, ".", "_" or "-", at most 63' });

const systemdBootSchema = z
  .strictObject({
    espPath: pathSchema.default('/efi').describe('Where the EFI system partition is mounted, writable.'),
    bootFolders: bootFoldersSchema(
      'Folders on the EFI system partition from which the entries of the slots start: kernel and initrd of a release go there, and what is none of them is removed; null: releases that bring them are refused.',
    ),
    efivarsPath: pathSchema
      .default('/sys/firmware/efi/efivars')
      .describe('Where efivarfs is mounted; where it is not, nothing is known of what the loader did.'),
    entries: z
      .strictObject({
        a: entryStemSchema.default('otad-a').describe('Entry of slot a in loader/entries, without counter and .conf.'),
        b: entryStemSchema.default('otad-b').describe('Entry of slot b in loader/entries, without counter and .conf.'),
      })
      .prefault({}),
  })
  .prefault({});

const trybootSchema = z
  .strictObject({
    autobootPath: pathSchema
      .default('/boot/config/autoboot.txt')
      .describe('autoboot.txt on the first FAT partition, mounted writable.'),
    bootFolders: z
      .strictObject({
        a: pathSchema.default('/boot/a').describe('Where the boot partition of slot a is mounted, writable.'),
        b: pathSchema.default('/boot/b').describe('Where the boot partition of slot b is mounted, writable.'),
      })
      .prefault({}),
    partitions: z
      .strictObject({
        a: whole(1, 255).default(2).describe('Number of the boot partition of slot a.'),
        b: whole(1, 255).default(3).describe('Number of the boot partition of slot b.'),
      })
      .prefault({}),
    deviceTreePath: pathSchema
      .default('/proc/device-tree/chosen/bootloader')
      .describe('What the firmware says of the boot that it did.'),
    rebootParamPath: pathSchema
      .default('/run/systemd/reboot-param')
      .describe('What systemd hands to the kernel as the argument of the reboot.'),
  })
  .prefault({});

const bootloaderSchema = z
  .strictObject({
    kind: z
      .enum(['auto', 'uboot', 'systemd-boot', 'tryboot'])
      .default('auto')
      .describe(
        'Which bootloader flips the slots; auto: the one that left its traces in this boot. The groups of the other ones are not read.',
      ),
    helperSocket: pathSchema
      .nullable()
      .default(null)
      .describe(
        'Socket of the boot helper (otad-boot), the one process that may change what boots next; null: otad does it itself, with the rights for it.',
      ),
    commandLinePath: pathSchema.default('/proc/cmdline').describe('The kernel command line: which slot was booted.'),
    uboot: ubootSchema,
    systemdBoot: systemdBootSchema,
    tryboot: trybootSchema,
  })
  .prefault({});

const pollSchema = z
  .strictObject({
    intervalMs: whole(second, 30 * day)
      .default(hour)
      .describe('Time between two checks for a release.'),
    jitter: z
      .number()
      .min(0)
      .max(1)
      .default(0.1)
      .describe('Share of the interval by which checks are spread, so that a fleet does not ask all at once.'),
  })
  .prefault({});

const backoffSchema = z
  .strictObject({
    minMs: whole(100, day).default(minute).describe('Wait after the first failure; it doubles with each further one.'),
    maxMs: whole(100, 30 * day)
      .default(hour)
      .describe('The longest wait after failures; after a fault of the device itself 24 times that.'),
  })
  .prefault({});

const windowsSchema = z
  .strictObject({
    download: windowSchema
      .default(null)
      .describe('Minutes in which a download may start, such as "* 2-4 * * *"; null: always.'),
    reboot: windowSchema
      .default(null)
      .describe('Minutes in which otad may reboot into a new release, such as "* 3 * * 6"; null: always.'),
    timeZone: z
      .string()
      .max(64)
      .refine(isTimeZone)
      .meta({ expected: 'a time zone name such as "Europe/Vienna"' })
      .nullable()
      .default(null)
      .describe('Time zone of the windows; null: the time zone of the system.'),
  })
  .prefault({});

const healthSchema = z
  .strictObject({
    deadlineMs: whole(second, day)
      .default(5 * minute)
      .describe('How long a new release may take until all required checks pass, unless the release names a time.'),
    deadlineMaxMs: whole(second, day)
      .default(healthDeadlineMaxMsDefault)
      .describe(
        'Releases that ask for more are not installed. Keep it five minutes below otad-deadman.timer, which would end their trials.',
      ),
    requiredDirs: z
      .array(pathSchema)
      .max(8)
      .default(healthFolders.map((folder) => `${folder}/required.d`))
      .describe('Folders of required checks. A file in a later folder replaces one of the same name.'),
    wantedDirs: z
      .array(pathSchema)
      .max(8)
      .default(healthFolders.map((folder) => `${folder}/wanted.d`))
      .describe('Folders of wanted checks: their failures are reported, and nothing else.'),
    checkTimeoutMs: whole(100, hour)
      .default(30 * second)
      .describe('A check that takes longer is ended and has failed.'),
    retryMs: whole(10, hour)
      .default(5 * second)
      .describe('Pause between two rounds of the required checks; they must pass in two rounds in a row.'),
    systemdUnits: z
      .array(
        z
          .string()
          .regex(/^[A-Za-z0-9:_.@\\][A-Za-z0-9:_.@\\-]{0,254}$/)
          .meta({ expected: 'a systemd unit name' }),
      )
      .max(64)
      .default([])
      .describe('Units that must be active (check systemd-units-active).'),
  })
  .prefault({});

const httpSchema = z
  .strictObject({
    connectTimeoutMs: whole(100, 10 * minute)
      .default(15 * second)
      .describe('Time to connect, TLS included.'),
    headersTimeoutMs: whole(100, 10 * minute)
      .default(30 * second)
      .describe('Time from the request to the end of the answer headers.'),
    idleTimeoutMs: whole(100, 10 * minute)
      .default(30 * second)
      .describe('The longest pause between two pieces of an answer.'),
    metadataTimeoutMs: whole(100, hour)
      .default(2 * minute)
      .describe('Time for one metadata file as a whole.'),
    bytesPerSecondMin: whole(0, 1_000_000_000)
      .default(256)
      .describe('A download slower than this over a minute is given up and resumed later.'),
    bytesPerSecondMax: whole(1024, 10_000_000_000)
      .nullable()
      .default(null)
      .describe('The most that all downloads together take of the line; null: as much as there is.'),
    downloadTimeoutMs: whole(second, 30 * day)
      .default(day)
      .describe(
        'Time that one attempt has to fetch all of an update, over all servers. It ends the attempt; the next one goes on there.',
      ),
    proxyUrl: urlSchema
      .nullable()
      .default(null)
      .describe('HTTP proxy; null: as the variables http_proxy, https_proxy and no_proxy say.'),
    noProxy: z
      .array(
        z
          .string()
          .max(256)
          .regex(/^[^\s,]+$/)
          .meta({ expected: 'a name, .name, address, network or *, perhaps with :port' }),
      )
      .max(64)
      .nullable()
      .default(null)
      .describe(
        'What is reached without the proxy, such as ".lan" or "10.0.0.0/8"; null: as the variable no_proxy says.',
      ),
    caFile: pathSchema
      .nullable()
      .default(null)
      .describe('PEM file of certificate authorities that are trusted instead of the built-in ones.'),
    clientCertFile: pathSchema
      .nullable()
      .default(null)
      .describe('PEM file of the certificate that this gateway shows to the servers; read again when it is renewed.'),
    clientKeyFile: pathSchema
      .nullable()
      .default(null)
      .describe('PEM file of its key, not encrypted, mode 0600 or 0640; read again when it is renewed.'),
  })
  .prefault({});

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
