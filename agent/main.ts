#!/usr/bin/env node
// otad, the daemon's entry: flags, settings, log; starts the daemon, waits for its end, closes what was opened.

import { parseArgs } from 'node:util';
import { unusableParts } from './adapters/boot-control.ts';
import { createClock } from './adapters/clock.ts';
import { inheritedSockets } from './adapters/inherited-descriptors.ts';
import { defaultConfigDirs, loadConfig, loadConfigTolerantly } from './config/config.ts';
import type { Config } from './config/schema.ts';
import { errorCodes, type OtadError, toFailure } from './core/errors.ts';
import { startDaemon } from './daemon.ts';
import { createLog, lineStyleOf } from './log/log.ts';
import { agentVersion } from './version.ts';

const usage = `Usage: otad [--config-dir DIR]... [--trust-root FILE] [--os-release FILE] [--boot-id FILE]
       otad --check-config [--config-dir DIR]...

The update agent. It is run by systemd (otad.service); technicians use otactl.

  --config-dir DIR   drop-in settings (*.json), lowest precedence first; may be repeated
                     default: ${defaultConfigDirs.join(', ')}
  --trust-root FILE  root metadata that came with the image; default: /usr/lib/otad/root.json
  --os-release FILE  default: /etc/os-release, then /usr/lib/os-release
  --boot-id FILE     default: /proc/sys/kernel/random/boot_id
  --check-config     say whether the settings are well formed and fit this machine, and exit
  --version, --help
`;

const flags = {
  'config-dir': { type: 'string', multiple: true },
  'trust-root': { type: 'string' },
  'os-release': { type: 'string' },
  'boot-id': { type: 'string' },
  'check-config': { type: 'boolean' },
  version: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const;

const parseFlags = (args: readonly string[]) => parseArgs({ args: [...args], options: flags, strict: true }).values;
type Flags = ReturnType<typeof parseFlags>;

const printProblem = (error: unknown): number => {
  const failure = toFailure(error);
  process.stderr.write(`otad: ${failure.code}: ${failure.message}\n`);
  if (failure.code === 'INTERNAL' && error instanceof Error) process.stderr.write(`${error.stack}\n`);
  return errorCodes[failure.code].exitCode;
};

const unusableHere = (config: Config): Promise<readonly string[]> =>
  unusableParts(config.bootloader, config.reboot.command).catch((error) => [toFailure(error).message]);

const run = async (parsed: Flags): Promise<number> => {
  const dirs = parsed['config-dir'] ?? defaultConfigDirs;
  if (parsed['check-config']) {
    const { config } = await loadConfig(dirs);
    // They may be judged on another machine than the one that they are for: said, and no error.
    const unusable = await unusableHere(config);
    const where = unusable.length === 0 ? '' : ', but this machine does not fit them';
    process.stdout.write(`The settings are well formed${where}.\n`);
    for (const line of unusable) process.stdout.write(`Not usable on this machine: ${line}\n`);
    return 0;
  }
  const loaded = await loadConfigTolerantly(dirs);
  const { config, problems } = loaded;
  const log = createLog({
    level: config.log.level,
    journalDescriptor: inheritedSockets(process.env, process.pid).get('journal') ?? null,
    stream: process.stdout,
    lineStyle: lineStyleOf(process.env, process.stdout.isTTY),
  });
  for (const { message, code } of problems) log.error(message, { code });
  const clock = createClock({
    syncMarkerPath: config.timeSync.markerPath,
    windows: config.windows,
    timeZone: config.windows.timeZone,
  });
  const ending = new AbortController();
  const end = new Promise<void>((resolve) => ending.signal.addEventListener('abort', () => resolve(), { once: true }));
  for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => ending.abort());
  const closers: (() => unknown)[] = [];
  const fatal: OtadError[] = [];
  const onFatal = (error: OtadError): void => {
    fatal.push(error);
    ending.abort();
  };
  try {
    const places = { trustRoot: parsed['trust-root'], osRelease: parsed['os-release'], bootId: parsed['boot-id'] };
    const ground = { places, loaded, config, clock, log, signal: ending.signal, onFatal };
    await startDaemon(ground, (close) => closers.unshift(close));
    await end;
    if (fatal[0] !== undefined) throw fatal[0];
    return 0;
  } finally {
    // After a failed start as well: a half-built daemon would hold database and slots, and heed no signal any more.
    for (const close of closers) {
      try {
        await close();
      } catch (error) {
        log.warn('A part of otad could not be closed.', { ...toFailure(error) });
      }
    }
    await log.flush();
  }
};

const main = async (args: readonly string[]): Promise<number> => {
  let parsed: Flags;
  try {
    parsed = parseFlags(args);
  } catch (error) {
    process.stderr.write(`otad: ${error instanceof Error ? error.message : String(error)}\n\n${usage}`);
    return 64;
  }
  if (parsed.help) process.stdout.write(usage);
  else if (parsed.version) process.stdout.write(`otad ${agentVersion}\n`);
  else return run(parsed).catch(printProblem);
  return 0;
};

process.exitCode = await main(process.argv.slice(2));
