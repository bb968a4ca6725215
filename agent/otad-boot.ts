#!/usr/bin/env node
// otad-boot, the boot helper's entry: the one process that may change what boots next. Started by systemd with the first
// request on its socket, without a network; it ends by itself when nobody asks. Wires; what it agrees to is boot-guard.ts.

import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { readCarriedRelease } from '../verity/carried-metadata.ts';
import { createSealing } from '../verity/sealing.ts';
import { openBootDevice } from './adapters/boot-control.ts';
import { createBootInspector } from './adapters/boot-inspection.ts';
import { createLedgerFile } from './adapters/boot-ledger-file.ts';
import { openBootPlaces } from './adapters/boot-place.ts';
import { fromWire, type WireMetadata } from './adapters/boot-protocol.ts';
import { type BootVerbs, createBootServer } from './adapters/boot-server.ts';
import { bootStageFolders } from './adapters/boot-stage.ts';
import { readOsRelease } from './adapters/identity.ts';
import { inheritedSockets } from './adapters/inherited-descriptors.ts';
import { createRebooter } from './adapters/rebooter.ts';
import { openStagedBootFiles } from './adapters/staged-boot-files.ts';
import { defaultConfigDirs, loadConfigTolerantly } from './config/config.ts';
import { type Config, slotPathsOf } from './config/schema.ts';
import { errorCodes, OtadError, toFailure } from './core/errors.ts';
import { createBootGuard, type ReadSigned } from './runtime/boot-guard.ts';
import { createHeldBootFiles } from './runtime/held-boot-files.ts';
import { agentVersion } from './version.ts';

const usage = `Usage: otad-boot [--config-dir DIR]... [--trust-root FILE] [--os-release FILE] [--state-dir DIR] [--run-dir DIR]
                 [--socket PATH] [--idle-ms N]

The boot helper. It is run by systemd (otad-boot.socket); only otad may connect.

  --config-dir DIR   drop-in settings (*.json), lowest precedence first; may be repeated
                     default: ${defaultConfigDirs.join(', ')}
  --trust-root FILE  root metadata that came with the image; default: /usr/lib/otad/root.json
  --os-release FILE  default: /etc/os-release, then /usr/lib/os-release
  --state-dir DIR    what it remembers; default: what systemd says, or /var/lib/otad-boot
  --run-dir DIR      what holds for this boot; default: what systemd says, or /run/otad-boot
  --socket PATH      listens there instead of on the socket that systemd hands over
  --idle-ms N        ends after so long without a request; default: 30000
  --version, --help
`;

const flags = {
  'config-dir': { type: 'string', multiple: true },
  'trust-root': { type: 'string' },
  'os-release': { type: 'string' },
  'state-dir': { type: 'string' },
  'run-dir': { type: 'string' },
  socket: { type: 'string' },
  'idle-ms': { type: 'string' },
  version: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const;

const idleMsDefault = 30_000;
const idleMsMax = 86_400_000;

/** Throws an error whose message is for whoever typed the words. */
const parseFlags = (args: readonly string[]) => {
  const { values } = parseArgs({ args: [...args], options: flags, strict: true });
  const { 'idle-ms': idle = String(idleMsDefault) } = values;
  const idleMs = Number(idle);
  if (!/^[0-9]{1,10}$/.test(idle) || idleMs < 1 || idleMs > idleMsMax)
    throw new RangeError(`--idle-ms takes a whole number from 1 to ${idleMsMax}, not '${idle}'`);
  return { ...values, idleMs };
};
type Flags = ReturnType<typeof parseFlags>;

/** While this file is there, what runs is confirmed: the health gate and the dead-man timer look for it. */
const confirmedName = 'confirmed';

/** A line for the journal; what came over the socket cannot begin another one. */
const tell = (priority: 3 | 4 | 6, line: string): void => {
  process.stderr.write(`<${priority}>${JSON.stringify(line).slice(1, -1)}\n`);
};

interface Places {
  readonly trustRoot: string;
  readonly osRelease: string | undefined;
  readonly stateDir: string;
  readonly runDir: string;
}

/** The release that the metadata of a request names for this very gateway. */
const signedReader =
  (config: Config, { trustRoot, osRelease }: Places) =>
  (metadata: WireMetadata): ReadSigned =>
  async (signal) => {
    const compatible =
      config.compatible ?? (await readOsRelease(osRelease === undefined ? undefined : [osRelease])).compatible;
    if (compatible === null) throw new OtadError('CONFIG_INVALID', { key: 'compatible', found: 'neither' });
    const root = await readFile(trustRoot).catch(() => null);
    return readCarriedRelease(fromWire(metadata), root, { channel: config.channel, compatible }, signal);
  };

/** What the verbs are about, once the bootloader was found. */
const openParts = async (config: Config, { stateDir, runDir }: Places) => {
  const slotPaths = slotPathsOf(config);
  const rebootCommand = config.reboot.command;
  const { bootloader } = config;
  const device = await openBootDevice({ bootloader, slotPaths, stateDir, runDir, rebootCommand, hasRebootUnit: true });
  const places = openBootPlaces(device.found.kind, bootloader);
  const guard = createBootGuard({
    boot: device.boot,
    slots: device.slots,
    sealing: createSealing(),
    bootSets: {
      places,
      staged: openStagedBootFiles(bootStageFolders(config)),
    },
    ledger: createLedgerFile({
      stateDir,
      runDir,
      onFailure: (error) => tell(4, error.message),
    }),
    onConfirmed: () => writeFile(join(runDir, confirmedName), ''),
  });
  const held = createHeldBootFiles(places, createSealing());
  return { guard, held, inspect: createBootInspector({ device, settings: bootloader, slotPaths }) };
};

type Parts = Awaited<ReturnType<typeof openParts>>;

/** Opened by the first request that succeeds: a board that is not set up right is told to each one, and is asked again. */
const openOnce = (open: () => Promise<Parts>): (() => Promise<Parts>) => {
  let opened: Promise<Parts> | null = null;
  return () => {
    opened ??= open().catch((error: unknown) => {
      opened = null;
      throw error;
    });
    return opened;
  };
};

const createVerbs = (config: Config, places: Places): BootVerbs => {
  const parts = openOnce(() => openParts(config, places));
  const rebooter = createRebooter({ command: config.reboot.command });
  const signedIn = signedReader(config, places);
  return {
    status: async (_, signal) => (await parts()).guard.status(signal),
    inspect: async (_, signal) => (await parts()).inspect(signal),
    invalidate: async ({ slot, metadata }, signal) => {
      await (await parts()).guard.invalidate(slot, signedIn(metadata), signal);
      return null;
    },
    activate: async ({ slot, tries, verity, metadata }, signal) => {
      await (await parts()).guard.activate(slot, tries, verity, signedIn(metadata), signal);
      tell(6, `slot ${slot} is activated, root ${verity.rootHex}`);
      return null;
    },
    markGood: async ({ slot }, signal) => {
      await (await parts()).guard.markGood(slot, signal);
      tell(6, `slot ${slot} is confirmed`);
      return null;
    },
    markBad: async ({ slot }, signal) => {
      await (await parts()).guard.markBad(slot, signal);
      tell(6, `slot ${slot} is marked bad`);
      return null;
    },
    prepareReboot: async (_, signal) => {
      await (await parts()).guard.prepareReboot(signal);
      return null;
    },
    reboot: async ({ slot }, signal) => {
      await (await parts()).guard.refuseReboot(signal);
      await rebooter.request(slot, signal);
      tell(6, 'a reboot was asked for');
      return null;
    },
    bootFile: async ({ slot, file, offsetBytes }, signal) => {
      const piece = await (await parts()).held.read(slot, file, offsetBytes, signal);
      return piece === null ? null : Buffer.from(piece).toString('base64');
    },
  };
};

const run = async (parsed: Flags): Promise<number> => {
  const { env, pid } = process;
  const { config, problems } = await loadConfigTolerantly(parsed['config-dir'] ?? defaultConfigDirs);
  for (const { message } of problems) tell(3, message);
  const places: Places = {
    trustRoot: parsed['trust-root'] ?? '/usr/lib/otad/root.json',
    osRelease: parsed['os-release'],
    stateDir: parsed['state-dir'] ?? env.STATE_DIRECTORY ?? '/var/lib/otad-boot',
    runDir: parsed['run-dir'] ?? env.RUNTIME_DIRECTORY ?? '/run/otad-boot',
  };
  const { server, ended, close } = createBootServer({
    verbs: createVerbs(config, places),
    idleMs: parsed.idleMs,
    onRefusal: (verb, error) =>
      tell(4, `${verb ?? 'a request'} was refused: ${toFailure(error).code}: ${toFailure(error).message}`),
  });
  for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, close);
  const inherited = inheritedSockets(env, pid).get('boot');
  if (parsed.socket === undefined && inherited === undefined) {
    throw new OtadError('SOCKET_UNUSABLE', {
      path: '(none)',
      problem: 'systemd handed no socket over, and --socket names none',
    });
  }
  server.listen(parsed.socket ?? { fd: inherited });
  await ended;
  return 0;
};

const main = async (args: readonly string[]): Promise<number> => {
  let parsed: Flags;
  try {
    parsed = parseFlags(args);
  } catch (error) {
    process.stderr.write(`otad-boot: ${error instanceof Error ? error.message : String(error)}\n\n${usage}`);
    return 64;
  }
  if (parsed.help) process.stdout.write(usage);
  else if (parsed.version) process.stdout.write(`otad-boot ${agentVersion}\n`);
  else {
    return run(parsed).catch((error: unknown) => {
      const failure = toFailure(error);
      tell(3, `${failure.code}: ${failure.message}`);
      return errorCodes[failure.code].exitCode;
    });
  }
  return 0;
};

process.exitCode = await main(process.argv.slice(2));
