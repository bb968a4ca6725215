#!/usr/bin/env node
// otad: loads the settings, builds the adapters, starts the runtime and the API. The only place that wires things up.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { parseFwEnvConfig } from '../bootctl/fw-env-config.ts';
import { parseKernelCommandLine } from '../bootctl/kernel-command-line.ts';
import type { BootEvidence } from '../bootctl/model.ts';
import { createUbootControl } from '../bootctl/uboot.ts';
import { treeLengthBytes } from '../verity/dm-verity.ts';
import { createSealing } from '../verity/sealing.ts';
import { readInitialRoot } from '../verity/trusted-root.ts';
import { createClock } from './adapters/clock.ts';
import { readFacts } from './adapters/device-facts.ts';
import { createHealth } from './adapters/health.ts';
import { createHttpClient, defaultHttpSettings, type HttpClient } from './adapters/http.ts';
import { proxyFromEnvironment } from './adapters/http-dispatcher.ts';
import { readBootId, readDeviceId, readOsRelease, wavePercent } from './adapters/identity.ts';
import { inheritedSockets } from './adapters/inherited-descriptors.ts';
import { createMetadataWitness } from './adapters/metadata-witness.ts';
import { createNotify } from './adapters/notify.ts';
import { createRebooter } from './adapters/rebooter.ts';
import { createReleaseSource } from './adapters/release-source.ts';
import { createSlotDevices } from './adapters/slot-device.ts';
import { createStandbyStore } from './adapters/standby-store.ts';
import { SqliteStore } from './adapters/store.ts';
import { readGroupId } from './api/group.ts';
import { createApi } from './api/server.ts';
import { defaultConfigDirs, loadConfig, loadConfigTolerantly, type TolerantConfig } from './config/config.ts';
import { policyOf } from './config/policy.ts';
import { type Config, socketPaths } from './config/schema.ts';
import { shownValue } from './config/shown-value.ts';
import { errorCodes, type Failure, OtadError, toFailure } from './core/errors.ts';
import type { Clock } from './core/ports.ts';
import { ceilToBlock, recordAreaBytes } from './core/slot-layout.ts';
import { createLog, type Log, lineStyleOf } from './log/log.ts';
import { createExecutors } from './runtime/executors.ts';
import { createInstall } from './runtime/install.ts';
import { createRuntime } from './runtime/runtime.ts';
import { agentVersion } from './version.ts';

const usage = `Usage: otad [--config-dir DIR]... [--trust-root FILE] [--os-release FILE] [--boot-id FILE]
       otad --check-config [--config-dir DIR]...

The update agent. It is run by systemd (otad.service); technicians use otactl.

  --config-dir DIR   drop-in settings (*.json), lowest precedence first; may be repeated
                     default: ${defaultConfigDirs.join(', ')}
  --trust-root FILE  root metadata that came with the image; default: /usr/lib/otad/root.json
  --os-release FILE  default: /etc/os-release, then /usr/lib/os-release
  --boot-id FILE     default: /proc/sys/kernel/random/boot_id
  --check-config     say whether the settings are right, and exit
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

const readOptional = async (path: string): Promise<Buffer | null> =>
  readFile(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw error;
  });

const readEvidence = async (path: string): Promise<BootEvidence> =>
  parseKernelCommandLine(await readFile(path, 'utf8'));

const createHttp = ({ http }: Config): HttpClient =>
  createHttpClient({
    ...defaultHttpSettings,
    userAgent: `otad/${agentVersion}`,
    connectTimeoutMs: http.connectTimeoutMs,
    headersTimeoutMs: http.headersTimeoutMs,
    idleTimeoutMs: http.idleTimeoutMs,
    fetchDeadlineMs: http.metadataTimeoutMs,
    minRateBytesPerS: http.bytesPerSecondMin,
    proxy:
      http.proxyUrl === null
        ? proxyFromEnvironment(process.env)
        : { http: http.proxyUrl, https: http.proxyUrl, except: process.env.no_proxy ?? '' },
    caFile: http.caFile,
  });

interface Device {
  readonly config: Config;
  readonly clock: Clock;
  readonly log: Log;
  readonly signal: AbortSignal;
  /** Ends the daemon with this error. */
  readonly onFatal: (error: OtadError) => void;
}

/** Bootloader and slots: what the facts are read from. */
const openDevice = async ({ config }: Device) => {
  const { fwEnvConfigPath, commandLinePath } = config.bootloader;
  const evidence = () => readEvidence(commandLinePath);
  const boot = createUbootControl({
    config: parseFwEnvConfig(await readFile(fwEnvConfigPath, 'utf8'), fwEnvConfigPath),
    evidence,
  });
  const paths = { a: config.slots.a.path, b: config.slots.b.path };
  const slots = createSlotDevices({ paths, bootedSlot: async () => (await evidence()).slot });
  return { boot, slots, paths };
};

const openStore = ({ config, log }: Device) => {
  const disk = new SqliteStore({
    path: join(config.stateDir, 'state.db'),
    scratchDir: config.runDir,
    onDamage: (error) => log.warn(error.message, { ...toFailure(error) }),
  });
  const store = createStandbyStore(disk, {
    onChange: (failure) =>
      failure === null ? log.info('The state database works again.', {}) : log.warn(failure.message, { ...failure }),
  });
  return { store, close: () => disk.close() };
};

const identify = async ({ config }: Device, parsed: Flags) => {
  const osReleasePath = parsed['os-release'];
  const osRelease = await readOsRelease(osReleasePath === undefined ? undefined : [osReleasePath]);
  const compatible = config.compatible ?? osRelease.compatible;
  if (compatible === null) {
    throw new OtadError('CONFIG_INVALID', {
      key: 'compatible',
      expected: 'a name, or OTAD_COMPATIBLE in os-release',
      found: 'neither',
    });
  }
  return {
    compatible,
    hardwareRevision: config.hardwareRevision ?? osRelease.hardwareRevision,
    deviceId: await readDeviceId(config.deviceIdPath),
    bootId: await readBootId(parsed['boot-id']),
    buildTimeS: osRelease.buildTimeS,
    bootedRelease: osRelease.release,
  };
};

/** The image's root and what is wrong with it. Without one otad runs all the same, for status and rollback, and installs nothing. */
const readTrustRoot = async (parsed: Flags) => {
  const initialRoot = await readOptional(parsed['trust-root'] ?? '/usr/lib/otad/root.json');
  const rootProblems: Failure[] = [];
  try {
    readInitialRoot(initialRoot);
  } catch (error) {
    rootProblems.push(toFailure(error));
  }
  return { initialRoot, rootProblems };
};

/** Takes the ways to close what was opened; the last one taken is called first. */
type OnStop = (close: () => unknown) => void;

/** Builds everything and starts it. */
const startDaemon = async (parsed: Flags, loaded: TolerantConfig, device: Device, onStop: OnStop): Promise<void> => {
  const { config, clock, log, signal } = device;
  const identity = await identify(device, parsed);
  const { boot, slots, paths } = await openDevice(device);
  const { bootId, bootedRelease } = identity;
  const { initialRoot, rootProblems } = await readTrustRoot(parsed);
  const problems = [...loaded.problems, ...rootProblems];
  const facts = await readFacts({ boot, slots, bootId, bootedRelease, problems }, signal);
  const http = createHttp(config);
  onStop(() => http.close());
  const witness = createMetadataWitness(
    createReleaseSource({
      http,
      baseUrls: config.baseUrls,
      channel: config.channel,
      compatible: identity.compatible,
      metadataFolder: join(config.stateDir, 'metadata'),
      onDiskChange: (failure) =>
        failure === null
          ? log.info('The trusted metadata that was kept in memory is on the disk now.', {})
          : log.warn(`Trusted metadata is kept in memory until the disk takes it. ${failure.message}`, { ...failure }),
      initialRoot,
      buildTimeS: identity.buildTimeS,
      syncedTimeS: () => (clock.now().isSynced ? clock.now().wallMs / 1000 : null),
    }),
  );
  const health = createHealth({
    ...config.health,
    clock,
    hasFetchedMetadata: witness.hasFetched,
    fetchMetadata: witness.fetch,
  });
  const policy = policyOf(config, {
    compatible: identity.compatible,
    hardwareRevision: identity.hardwareRevision,
    agentVersion,
    wavePercent: (releaseId) => wavePercent(identity.deviceId, releaseId),
    slotSizeBytes: facts.slotSizeBytes,
    footprintBytes: (length) => ceilToBlock(length) + treeLengthBytes(length) + recordAreaBytes,
  });
  const { source } = witness;
  const install = createInstall({ slots, source, sealing: createSealing() });
  const rebooter = createRebooter({ command: config.reboot.command });
  const executors = createExecutors({ boot, install, source, health, rebooter });
  const { store, close: closeStore } = openStore(device);
  onStop(closeStore);
  const runtime = createRuntime({ store, boot, clock, executors, policy, log, onFatal: device.onFatal });
  onStop(() => runtime.stop());
  await runtime.start(facts);

  const sockets = socketPaths(config);
  const api = await createApi({
    log,
    statusSocket: sockets.status,
    controlSocket: sockets.control,
    controlGid: config.api.controlGroup === null ? null : await readGroupId(config.api.controlGroup),
    http: config.api.tcp === null ? null : { host: '127.0.0.1', port: config.api.tcp.port },
    hostNames: [],
    control: runtime,
    store,
    clock,
    identity: { agentVersion, compatible: identity.compatible, channel: config.channel },
    automation: policy,
    slotPaths: paths,
    config: Object.entries(loaded.origin).map(([key, origin]) => ({ key, value: shownValue(config, key), origin })),
    configProblems: loaded.problems,
  });
  onStop(() => api.close());
  const { env, pid } = process;
  const descriptor = inheritedSockets(env, pid).get('notify') ?? null;
  const notify = createNotify({ descriptor, env, pid, isAlive: () => runtime.isAlive() });
  onStop(() => notify.close());
  onStop(runtime.subscribe(({ state }) => notify.status(state.phase.kind)));
  onStop(() => notify.stopping());
  notify.ready(runtime.snapshot().state.phase.kind);
};

const printProblem = (error: unknown): number => {
  const failure = toFailure(error);
  process.stderr.write(`otad: ${failure.code}: ${failure.message}\n`);
  if (failure.code === 'INTERNAL' && error instanceof Error) process.stderr.write(`${error.stack}\n`);
  return errorCodes[failure.code].exitCode;
};

const run = async (parsed: Flags): Promise<number> => {
  const dirs = parsed['config-dir'] ?? defaultConfigDirs;
  if (parsed['check-config']) {
    await loadConfig(dirs);
    process.stdout.write('The settings are right.\n');
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
    const device = { config, clock, log, signal: ending.signal, onFatal };
    await startDaemon(parsed, loaded, device, (close) => closers.unshift(close));
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
