// Wires the daemon together: every adapter, the runtime and the API, from settings to READY. Decides nothing.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createIndexing } from '../delta/indexing.ts';
import { createPatching } from '../delta/patching.ts';
import { treeLengthBytes } from '../verity/dm-verity.ts';
import { createSealing } from '../verity/sealing.ts';
import { readInitialRoot } from '../verity/trusted-root.ts';
import { createBootClient } from './adapters/boot-client.ts';
import { type BootDevice, openBootDevice, openHelpedDevice } from './adapters/boot-control.ts';
import { createBootInspector } from './adapters/boot-inspection.ts';
import { openBootPlaces } from './adapters/boot-place.ts';
import { bootStageFolders, createBootStage } from './adapters/boot-stage.ts';
import { createTimeBudget } from './adapters/deadline.ts';
import { readFacts } from './adapters/device-facts.ts';
import { createFolderOffers, type FolderOffers } from './adapters/folder-offers.ts';
import { createHealth } from './adapters/health.ts';
import { createHttpClient } from './adapters/http.ts';
import { readBootId, readDeviceId, readOsRelease, wavePercent } from './adapters/identity.ts';
import { inheritedSockets } from './adapters/inherited-descriptors.ts';
import { createMetadataWitness } from './adapters/metadata-witness.ts';
import { createNotify } from './adapters/notify.ts';
import { createRebooter } from './adapters/rebooter.ts';
import { createReleaseSource, type SignedSource } from './adapters/release-source.ts';
import { openStagedBootFiles } from './adapters/staged-boot-files.ts';
import { createStandbyStore } from './adapters/standby-store.ts';
import { SqliteStore } from './adapters/store.ts';
import { readGroupId } from './api/group.ts';
import type { ApiOptions } from './api/server.ts';
import { createApi } from './api/server.ts';
import type { TolerantConfig } from './config/config.ts';
import { policyOf } from './config/policy.ts';
import { type Config, slotPathsOf, socketPaths } from './config/schema.ts';
import { shownValue } from './config/shown-value.ts';
import { type ErrorCode, type Failure, OtadError, toFailure } from './core/errors.ts';
import type { Clock } from './core/ports.ts';
import { ceilToBlock, recordAreaBytes } from './core/slot-layout.ts';
import { otherSlot } from './core/types.ts';
import { httpSettingsOf } from './http-settings.ts';
import type { Log } from './log/log.ts';
import { withBootSets } from './runtime/boot-set-control.ts';
import { createExecutors } from './runtime/executors.ts';
import { createHeldBootFiles } from './runtime/held-boot-files.ts';
import { createInstall } from './runtime/install.ts';
import { withJournal } from './runtime/install-journal.ts';
import type { Runtime } from './runtime/runtime.ts';
import { createRuntime } from './runtime/runtime.ts';
import { agentVersion } from './version.ts';

/** A file that otad cannot do without: what the system said becomes the code that says what it was for. */
const readRequired = (path: string, code: ErrorCode): Promise<Buffer> =>
  readFile(path).catch((cause: NodeJS.ErrnoException) => {
    throw new OtadError(code, { file: path, errno: cause.code }, { cause });
  });

/** Files that are elsewhere on a virtual gateway; undefined: where Linux and the image have them. */
export interface Places {
  readonly trustRoot: string | undefined;
  readonly osRelease: string | undefined;
  readonly bootId: string | undefined;
}

/** What stands before anything is opened. */
export interface Ground {
  readonly places: Places;
  readonly loaded: TolerantConfig;
  readonly config: Config;
  readonly clock: Clock;
  readonly log: Log;
  readonly signal: AbortSignal;
  /** Ends the daemon with this error. */
  readonly onFatal: (error: OtadError) => void;
}

/** Bootloader and slots: what the facts are read from. What changes the bootloader is in this process, or behind the helper's socket. */
const openDevice = async ({ config, signal }: Ground, carry: SignedSource['carry']) => {
  const { bootloader } = config;
  const slotPaths = slotPathsOf(config);
  if (bootloader.helperSocket !== null) {
    const client = createBootClient({ socketPath: bootloader.helperSocket, carry });
    const device = await openHelpedDevice({ bootloader, slotPaths }, client, signal);
    const { inspect: inspectBoot, rebooter, heldBootFiles } = client;
    return { device, inspectBoot, rebooter, heldBootFiles };
  }
  const { stateDir, runDir } = config;
  const rebootCommand = config.reboot.command;
  const bare = await openBootDevice({ bootloader, slotPaths, stateDir, runDir, rebootCommand });
  const places = openBootPlaces(bare.found.kind, bootloader);
  const sealing = createSealing();
  const placing = { places, staged: openStagedBootFiles(bootStageFolders(config)), sealing };
  const device = { ...bare, boot: withBootSets(bare.boot, bare.slots, placing) };
  const inspectBoot = createBootInspector({ device, settings: bootloader, slotPaths });
  const rebooter = createRebooter({ command: rebootCommand });
  return { device, inspectBoot, rebooter, heldBootFiles: createHeldBootFiles(places, sealing) };
};

/** The slot that cannot be written as the settings have it; otad runs all the same, for status and for a person. */
const slotProblems = async ({
  slots,
  readLineage,
}: Pick<BootDevice, 'slots' | 'readLineage'>): Promise<readonly Failure[]> => {
  try {
    await slots.refuse(otherSlot((await readLineage()).slot));
    return [];
  } catch (error) {
    const failure = toFailure(error);
    return failure.code === 'SLOT_AMBIGUOUS' ? [failure] : [];
  }
};

const openStore = ({ config, log }: Ground) => {
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

const identify = async ({ config, places }: Ground) => {
  const osRelease = await readOsRelease(places.osRelease === undefined ? undefined : [places.osRelease]);
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
    bootId: await readBootId(places.bootId),
    buildTimeS: osRelease.buildTimeS,
    bootedRelease: osRelease.release,
  };
};

/** The image's root and what is wrong with it. Without one otad runs all the same, for status and rollback, and installs nothing. */
const readTrustRoot = async ({ places }: Ground) => {
  try {
    const initialRoot = await readRequired(places.trustRoot ?? '/usr/lib/otad/root.json', 'TRUST_ROOT_MISSING');
    readInitialRoot(initialRoot);
    return { initialRoot, rootProblems: [] };
  } catch (error) {
    return { initialRoot: null, rootProblems: [toFailure(error)] };
  }
};

/** Takes the ways to close what was opened; the last one taken is called first. */
type OnStop = (close: () => unknown) => void;
type Identified = Awaited<ReturnType<typeof identify>>;

/** The signed releases of this gateway, and whether this process has seen any. */
const openSource = (
  ground: Ground,
  identity: Identified,
  { initialRoot, folders }: { readonly initialRoot: Uint8Array | null; readonly folders: FolderOffers },
  onStop: OnStop,
) => {
  const { config, clock, log } = ground;
  const http = createHttpClient(httpSettingsOf(config, process.env));
  onStop(() => http.close());
  const source = createReleaseSource({
    http,
    baseUrls: config.baseUrls,
    openFolder: (folder) => folders.open(folder),
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
  });
  return { ...createMetadataWitness(source), carry: source.carry };
};

const openApi = async (
  ground: Ground,
  identity: Identified,
  parts: Pick<ApiOptions, 'control' | 'store' | 'slotPaths' | 'inspectBoot' | 'parkFolder'>,
) => {
  const { config, loaded, clock, log } = ground;
  const sockets = socketPaths(config);
  return createApi({
    ...parts,
    log,
    clock,
    statusSocket: sockets.status,
    controlSocket: sockets.control,
    controlGid: config.api.controlGroup === null ? null : await readGroupId(config.api.controlGroup),
    http: config.api.tcp === null ? null : { host: '127.0.0.1', port: config.api.tcp.port },
    hostNames: [],
    identity: { agentVersion, compatible: identity.compatible, channel: config.channel },
    automation: { isAutoInstall: config.autoInstall, isAutoReboot: config.autoReboot },
    config: Object.entries(loaded.origin).map(([key, origin]) => ({ key, value: shownValue(config, key), origin })),
    configProblems: loaded.problems,
  });
};

/** READY, what goes on, and the watchdog's pings. */
const tellSystemd = (runtime: Runtime, onStop: OnStop): void => {
  const { env, pid } = process;
  const descriptor = inheritedSockets(env, pid).get('notify') ?? null;
  const notify = createNotify({ descriptor, env, pid, isAlive: () => runtime.isAlive() });
  onStop(() => notify.close());
  onStop(runtime.subscribe(({ state }) => notify.status(state.phase.kind)));
  onStop(() => notify.stopping());
  notify.ready(runtime.snapshot().state.phase.kind);
};

/** Builds everything and starts it. Throws what keeps it from starting; what was opened until then is with `onStop`. */
export const startDaemon = async (ground: Ground, onStop: OnStop): Promise<void> => {
  const { config, clock, log, signal, onFatal } = ground;
  const identity = await identify(ground);
  const { initialRoot, rootProblems } = await readTrustRoot(ground);
  const folders = createFolderOffers();
  onStop(() => folders.close());
  const { source, hasFetched, fetch, carry } = openSource(ground, identity, { initialRoot, folders }, onStop);
  const { device, inspectBoot, rebooter, heldBootFiles } = await openDevice(ground, carry);
  const { boot, slots } = device;
  const { bootId, bootedRelease } = identity;
  const problems = [...ground.loaded.problems, ...rootProblems, ...(await slotProblems(device))];
  const facts = await readFacts({ boot, slots, bootId, bootedRelease, problems }, signal);
  const fetchMetadata = config.baseUrls.length === 0 ? null : fetch;
  const health = createHealth({ ...config.health, clock, hasFetchedMetadata: hasFetched, fetchMetadata });
  const policy = policyOf(config, {
    compatible: identity.compatible,
    hardwareRevision: identity.hardwareRevision,
    agentVersion,
    wavePercent: (releaseId) => wavePercent(identity.deviceId, releaseId),
    slotSizeBytes: facts.slotSizeBytes,
    hasBootPlaces: openBootPlaces(device.found.kind, config.bootloader) !== null,
    footprintBytes: (length) => ceilToBlock(length) + treeLengthBytes(length) + recordAreaBytes,
  });
  const install = createInstall({
    slots,
    source,
    sealing: createSealing(),
    indexing: createIndexing(),
    bootStage: createBootStage(bootStageFolders(config)),
    heldBootFiles,
    patching: createPatching(),
    monoMs: () => performance.now(),
    openBudget: () => createTimeBudget(config.http.downloadTimeoutMs, () => performance.now()),
    log,
  });
  const executors = createExecutors({
    ...{ boot, source, health, rebooter },
    install: withJournal(install, { monoMs: () => performance.now(), log }),
  });
  const { store, close: closeStore } = openStore(ground);
  onStop(closeStore);
  const runtime = createRuntime({ store, boot, clock, executors, policy, log, letGo: install.letGo, onFatal });
  onStop(() => runtime.stop());
  await runtime.start(facts);
  const api = await openApi(ground, identity, {
    control: runtime,
    store,
    slotPaths: slotPathsOf(config),
    inspectBoot,
    parkFolder: (id, socket) => folders.park(id, socket),
  });
  onStop(() => api.close());
  tellSystemd(runtime, onStop);
};
