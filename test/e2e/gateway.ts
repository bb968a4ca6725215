// The virtual gateway: file-backed slots, a real redundant U-Boot environment, persistent data, a firmware that chooses
// and checks a slot as the boot script does, and the real daemon started from what the slot holds. What would be
// hardware is played here; nothing of otad is.

import { randomUUID } from 'node:crypto';
import { type FSWatcher, watch } from 'node:fs';
import { mkdir, open, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { StatusBody } from '../../agent/api/schema.ts';
import type { SlotName } from '../../agent/core/types.ts';
import { AgentProcess } from './agent-process.ts';
import { type AgentUnit, readAgentUnit } from './agent-unit.ts';
import { type ApiClient, createApiClient } from './api-client.ts';
import { type ProgramResult, runProgram } from './child-process.ts';
import { bootSlot, isOnTrial, type LayOut, type OpenedSlot } from './firmware.ts';
import { type GatewayPaths, gatewayPaths, placement } from './gateway-paths.ts';

/** Power-ons without a slot that opens, after which the board counts as dead. */
const attemptsMax = 12;
const reconnectMs = 50;
/** Starts of the daemon that may fail in a row. On trial few: they stand for the half hour of otad-deadman.timer. */
const failedStartsMax = { trial: 10, confirmed: 50 } as const;

export interface GatewayOptions {
  /** Absolute; is created. */
  readonly folder: string;
  readonly slotSizeBytes: number;
  /** Settings over those of the image, in the form of a drop-in. */
  readonly settings: Readonly<Record<string, unknown>>;
  /** The state folder gets a file system of its own of this size; it is lost with the daemon. */
  readonly stateDiskBytes?: number;
  /** Default: the slot's image is unpacked. Another one stands for images that hold no agent. */
  readonly layOut?: LayOut;
  /** Lines of the board's serial console. */
  readonly onConsole?: (line: string) => void;
}

export class Gateway {
  readonly paths: GatewayPaths;
  readonly api: ApiClient;
  readonly #options: GatewayOptions;
  #agent: AgentProcess | null = null;
  #watcher: FSWatcher | null = null;
  #boots = 0;
  readonly #consoleLines: string[] = [];
  /** Rises whenever the power goes: what an earlier power-on still does is void. */
  #powered = 0;
  #turn: Promise<void> = Promise.resolve();
  #dead: Error | null = null;

  /** Use {@link createGateway}. */
  constructor(options: GatewayOptions) {
    this.#options = options;
    this.paths = gatewayPaths(options.folder);
    this.api = createApiClient(this.paths.runDir);
  }

  /** Power-ons and reboots so far. */
  get boots(): number {
    return this.#boots;
  }

  get agentPid(): number | null {
    return this.#agent?.pid ?? null;
  }

  get agentRestarts(): number {
    return this.#agent?.restarts ?? 0;
  }

  /** Replaces the settings drop-in; the daemon reads it at its next start. */
  async configure(settings: Readonly<Record<string, unknown>>): Promise<void> {
    await mkdir(this.paths.configDir, { recursive: true });
    await writeFile(join(this.paths.configDir, '80-board.json'), JSON.stringify(placement(this.paths), null, 2));
    await writeFile(join(this.paths.configDir, '90-test.json'), JSON.stringify(settings, null, 2));
  }

  powerOn(): Promise<void> {
    this.#powered += 1;
    return this.#inTurn(() => this.#boot(this.#powered));
  }

  /** As a shutdown does: the daemon is told to end. */
  powerOff(): Promise<void> {
    this.#powered += 1;
    return this.#inTurn(() => this.#halt('graceful'));
  }

  /** Nothing gets to say goodbye. */
  cutPower(): Promise<void> {
    this.#powered += 1;
    return this.#inTurn(() => this.#halt('power-cut'));
  }

  /** SIGKILL; the service manager starts the daemon again. */
  async killAgent(): Promise<void> {
    await this.#agent?.kill();
  }

  /** Runs otactl of the running system. */
  otactl(...args: readonly string[]): Promise<ProgramResult> {
    return runProgram(process.execPath, [this.otactlPath, '--socket', this.paths.runDir, ...args]);
  }

  get otactlPath(): string {
    return join(this.paths.rootfs, 'usr/lib/otad/otactl.mjs');
  }

  /** Calls back for each status that the daemon sends, across restarts and reboots, until the signal fires. */
  async follow(onStatus: (status: StatusBody) => void, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      if (this.#dead !== null) throw this.#dead;
      await this.api.watch(onStatus, signal).catch(() => undefined);
      await delay(reconnectMs, undefined, { signal }).catch(() => undefined);
    }
  }

  /**
   * The first status from now on that `isReached` accepts. Throws with the last one seen when none was new for `timeoutMs`:
   * going round in circles is no progress.
   */
  async waitUntil(
    isReached: (status: StatusBody) => boolean,
    timeoutMs = 30_000,
    signal?: AbortSignal,
  ): Promise<StatusBody> {
    const over = new AbortController();
    const timer = setTimeout(() => over.abort(), timeoutMs);
    const seen = new Set<string>();
    const stopped = signal === undefined ? over.signal : AbortSignal.any([over.signal, signal]);
    let last: StatusBody | null = null;
    let reached: StatusBody | null = null;
    await this.follow((status) => {
      last = status;
      const standing = standingOf(status);
      if (!seen.has(standing)) timer.refresh();
      seen.add(standing);
      if (reached !== null || !isReached(status)) return;
      reached = status;
      over.abort();
    }, stopped).finally(() => clearTimeout(timer));
    if (reached !== null) return reached;
    signal?.throwIfAborted();
    throw new Error(`no progress for ${timeoutMs} ms; the last status was ${JSON.stringify(last)}`);
  }

  /** The daemon's log once it matches. Throws after `timeoutMs`. `meanwhile` is done before each look. */
  async waitForLog(pattern: RegExp, timeoutMs = 10_000, meanwhile?: () => Promise<void>): Promise<string> {
    const over = AbortSignal.timeout(timeoutMs);
    for (;;) {
      await meanwhile?.();
      const text = await readFile(this.paths.agentLog, 'utf8').catch(() => '');
      if (pattern.test(text)) return text;
      if (over.aborted) throw new Error(`${pattern} is not in the log: ${text}`);
      await delay(reconnectMs);
    }
  }

  /** What the board printed so far. */
  consoleText(): string {
    return this.#consoleLines.join('\n');
  }

  #console(line: string): void {
    this.#consoleLines.push(line);
    this.#options.onConsole?.(line);
  }

  /** One change of power at a time. */
  #inTurn(step: () => Promise<void>): Promise<void> {
    const result = this.#turn.then(step);
    this.#turn = result.catch(() => undefined);
    return result;
  }

  async #halt(how: 'graceful' | 'power-cut'): Promise<void> {
    this.#watcher?.close();
    this.#watcher = null;
    await this.#agent?.stop(how);
    this.#agent = null;
  }

  async #boot(powered: number): Promise<void> {
    const { paths } = this;
    this.#boots += 1;
    await rm(paths.runDir, { recursive: true, force: true });
    await mkdir(paths.runDir, { recursive: true });
    const opened = await this.#openSlot(powered);
    if (opened === null || powered !== this.#powered) return;
    await writeFile(paths.bootId, `${randomUUID()}\n`);
    await writeFile(paths.commandLine, `console=ttyS0 panic=10 ${opened.commandLine}\n`);
    this.#watcher = watch(paths.runDir, (_, name) => {
      if (name !== null && paths.rebootRequest.endsWith(`/${name}`)) this.#reboot(powered);
    });
    const unit = await readAgentUnit();
    this.#agent = new AgentProcess({
      // The daemon must not outlive the board, whatever ends this process.
      command: [...this.#ownStateDisk(), 'setpriv', '--pdeathsig', 'KILL', process.execPath, ...this.#agentArgs(unit)],
      environment: unit.environment,
      logPath: paths.agentLog,
      pidPath: paths.agentPid,
      fastFailuresMax: failedStartsMax[opened.commandLine.includes('otad.trial=1') ? 'trial' : 'confirmed'],
      onGivenUp: (exit) => {
        this.#inTurn(() => this.#endOrDie(powered, opened.slot, exit)).catch((error: unknown) => this.#die(error));
      },
    });
  }

  #agentArgs({ nodeFlags }: AgentUnit): readonly string[] {
    const { rootfs, configDir, bootId } = this.paths;
    return [
      ...nodeFlags,
      join(rootfs, 'usr/lib/otad/otad.mjs'),
      ...['--config-dir', join(rootfs, 'usr/lib/otad/config.d'), '--config-dir', configDir],
      ...['--trust-root', join(rootfs, 'usr/lib/otad/root.json')],
      ...['--os-release', join(rootfs, 'usr/lib/os-release'), '--boot-id', bootId],
    ];
  }

  /** Runs what follows with its own small file system for the state; needs no privilege where users may have namespaces. */
  #ownStateDisk(): readonly string[] {
    const { stateDiskBytes } = this.#options;
    if (stateDiskBytes === undefined) return [];
    const script = `mount -t tmpfs -o size=${stateDiskBytes} tmpfs "$0"; exec "$@"`;
    return ['unshare', '-Urm', 'sh', '-ec', script, this.paths.stateDir];
  }

  async #openSlot(powered: number): Promise<OpenedSlot | null> {
    for (let attempt = 0; attempt < attemptsMax && powered === this.#powered; attempt++) {
      const opened = await bootSlot(this.paths, (line) => this.#console(line), this.#options.layOut);
      if (opened !== null) return opened;
      this.#console('reset');
    }
    if (powered === this.#powered) this.#dead = new Error('no slot of the virtual gateway starts');
    return null;
  }

  /** No daemon comes up. A trial is ended by the dead man's timer, which needs none; on a confirmed system nothing is left. */
  async #endOrDie(powered: number, slot: SlotName, exit: string): Promise<void> {
    if (powered !== this.#powered) return;
    const what = `otad fails at each start, the last time with ${exit}; see ${this.paths.agentLog}`;
    if (await isOnTrial(this.paths, slot)) {
      this.#console(`${what}. The dead man's timer ends the trial.`);
      this.#reboot(powered);
      return;
    }
    this.#console(`${what}. It is not started again.`);
    this.#die(new Error(what));
  }

  #die(cause: unknown): void {
    this.#dead = cause instanceof Error ? cause : new Error(String(cause));
  }

  /** The system asked for it; answered at once, while its processes still run. */
  #reboot(powered: number): void {
    if (powered !== this.#powered) return;
    this.#powered += 1;
    const next = this.#powered;
    this.#console('reboot');
    this.#inTurn(async () => {
      await this.#halt('graceful');
      await this.#boot(next);
    }).catch((error: unknown) => this.#die(error));
  }
}

/** How far the gateway is, without what moves by itself. */
const standingOf = ({ phase, version, slots, progress, denylist }: StatusBody): string =>
  JSON.stringify([phase, version, slots.map(({ state }) => state), progress, denylist]);

const makeSparse = async (path: string, sizeBytes: number): Promise<void> => {
  const file = await open(path, 'w');
  await file.truncate(sizeBytes);
  await file.close();
};

/** A board as it leaves the assembly: empty slots, no environment yet. See factory.ts for what comes next. */
export const createGateway = async (options: GatewayOptions): Promise<Gateway> => {
  const gateway = new Gateway(options);
  const { paths } = gateway;
  await mkdir(paths.stateDir, { recursive: true });
  for (const folder of Object.values(paths.bootFolders)) await mkdir(folder);
  for (const slot of ['a', 'b'] satisfies SlotName[]) await makeSparse(paths.slots[slot], options.slotSizeBytes);
  await writeFile(paths.deviceId, `${randomUUID().replaceAll('-', '')}\n`);
  await gateway.configure(options.settings);
  return gateway;
};
