// One life of a gateway: boots, processes, faults, and at the end the proof that it converges (I8). Everything happens in virtual
// time: when no promise can go on, the next timer fires.

import { setImmediate as drain } from 'node:timers/promises';
import { readFacts } from '../../agent/adapters/device-facts.ts';
import { ceilToBlock, recordAreaBytes } from '../../agent/core/slot-layout.ts';
import type { Policy } from '../../agent/core/types.ts';
import { createExecutors } from '../../agent/runtime/executors.ts';
import { createInstall } from '../../agent/runtime/install.ts';
import { createRuntime, type Runtime } from '../../agent/runtime/runtime.ts';
import { slotState } from '../../bootctl/model.ts';
import { createIndexing } from '../../delta/indexing.ts';
import { createPatching } from '../../delta/patching.ts';
import { createSealing } from '../../verity/sealing.ts';
import { noBootStage, noHeldBootFiles } from '../support/no-boot-stage.ts';
import { type Catalogue, compatible, type SealedRelease, slotSizeBytes } from './catalogue.ts';
import { type Checkers, createCheckers } from './checkers.ts';
import type { Life, PlannedFault } from './faults.ts';
import { LifeEnded, powerOn } from './firmware.ts';
import { createGate, type Gate, type Generation, type TracePoint } from './gate.ts';
import { contentOf, createGround, cutPower, type Ground, heal, loseDatabase } from './ground.ts';
import { createPorts, type SimPorts } from './ports.ts';
import { type Step, scriptOf } from './script.ts';
import { createTimeline, type Timeline } from './timeline.ts';
import { createVerdict, type Verdict, type Violation } from './verdict.ts';

export interface Outcome {
  readonly life: Life;
  readonly violation: Violation | null;
  readonly struck: readonly PlannedFault[];
  readonly points: readonly TracePoint[];
  /** From this point on no fault strikes. */
  readonly settledAt: number;
  readonly lines: readonly string[];
  readonly hash: number;
  /** The release that runs confirmed at the end. */
  readonly confirmed: string | null;
  readonly boots: number;
  /** The version that the first boot after the n-th call started. */
  bootedAfter(at: number): string | null;
}

const minute = 60_000;
const hour = 60 * minute;

/** What the service manager waits before it starts a process again. */
const restartMs = 5_000;
/** How long a step of the script may take before the next one begins. */
const stepMs = 6 * hour;
/** How long a gateway runs on after a step. */
const dwellMs = 2 * hour;
/** How long a healed world may take to converge: the longest pause of the agent is a day, a shutdown may be asked for thrice. */
const convergeMs = 60 * hour;

const treeBytes = (imageLengthBytes: number): number => createSealing().treeLengthBytes(imageLengthBytes);

const policy: Policy = {
  compatible,
  hardwareRevision: null,
  agentVersion: '1.0',
  wavePercent: () => 50,
  slotSizeBytes: { a: slotSizeBytes, b: slotSizeBytes },
  footprintBytes: (length) => ceilToBlock(length) + treeBytes(length) + recordAreaBytes,
  dataSchema: 1,
  hasBootPlaces: true,
  pollIntervalMs: hour,
  pollJitter: 0.5,
  backoffMinMs: minute,
  backoffMaxMs: hour,
  triesMax: 3,
  installAttemptsMax: 3,
  rebootAttemptsMax: 3,
  rebootTimeoutMs: 5 * minute,
  healthDeadlineMs: 10 * minute,
  healthDeadlineMaxMs: 25 * minute,
  isAutoInstall: true,
  isAutoReboot: true,
  denylistMax: 16,
};

class LifeRun {
  readonly #life: Life;
  readonly #catalogue: Catalogue;
  readonly #ground: Ground;
  readonly #timeline: Timeline = createTimeline();
  readonly #gate: Gate;
  readonly #verdict: Verdict;
  readonly #checkers: Checkers;
  readonly #booted: { readonly at: number; readonly version: string | null }[] = [];
  #settledAt = Number.POSITIVE_INFINITY;
  #generation: Generation | null = null;
  #runtime: Runtime | null = null;

  constructor(life: Life, catalogue: Catalogue, isTraced: boolean) {
    this.#life = life;
    this.#catalogue = catalogue;
    this.#ground = createGround(catalogue);
    this.#gate = createGate(life, this.#timeline, isTraced);
    this.#verdict = createVerdict((text) => this.#gate.note(text));
    this.#checkers = createCheckers({
      ground: this.#ground,
      plan: this.#gate.plan,
      timeline: this.#timeline,
      policy,
      verdict: this.#verdict,
    });
  }

  async run(): Promise<Outcome> {
    try {
      this.#powerOn();
      for (const step of scriptOf(this.#life)) await this.#play(step);
      await this.#settle();
    } catch (error) {
      if (error instanceof RangeError) this.#verdict.violate('I10', error.message);
      else if (error instanceof LifeEnded) this.#gate.note(error.message);
      else throw error;
    }
    if (this.#generation !== null) this.#generation.ending = { kind: 'kill', isDatabaseLost: false };
    return {
      life: this.#life,
      violation: this.#verdict.first(),
      struck: this.#gate.plan.struck(),
      points: this.#gate.points(),
      settledAt: this.#settledAt,
      lines: this.#gate.lines(),
      hash: this.#gate.hash(),
      confirmed: this.#confirmed()?.release.version ?? null,
      boots: this.#ground.bootCount,
      bootedAfter: (at) => this.#booted.find((boot) => boot.at > at)?.version ?? null,
    };
  }

  /** The release that runs, when bootloader and agent agree that it is confirmed and nothing is under way. */
  #confirmed(): SealedRelease | null {
    const { env, running } = this.#ground;
    if (env === null || slotState(env, running) !== 'good' || this.#runtime === null) return null;
    const { state } = this.#runtime.snapshot();
    return state.isBootedConfirmed && state.phase.kind === 'idle' ? contentOf(this.#ground, running) : null;
  }

  #isDenied(release: SealedRelease): boolean {
    const state = this.#runtime?.snapshot().state;
    return state?.denylist.some((entry) => entry.release.id === release.release.id) ?? false;
  }

  #powerOn(): void {
    powerOn({
      ground: this.#ground,
      gate: this.#gate,
      timeline: this.#timeline,
      checkers: this.#checkers,
      verdict: this.#verdict,
    });
    const version = contentOf(this.#ground, this.#ground.running)?.release.version ?? null;
    this.#booted.push({ at: this.#gate.points().length, version });
  }

  #createRuntime(generation: Generation, ports: SimPorts, slotSizeBytes: Policy['slotSizeBytes']): Runtime {
    const install = createInstall({
      slots: ports.slots,
      source: ports.source,
      sealing: this.#catalogue.sealing,
      indexing: createIndexing(),
      bootStage: noBootStage,
      heldBootFiles: noHeldBootFiles,
      patching: createPatching(),
      monoMs: () => this.#timeline.nowMs(),
      openBudget: () => (signal, work) => work(signal),
      log: {
        info: (message, fields) =>
          this.#gate.note(`install: ${message} ${String(fields.reason ?? fields.fetchedBytes)}`),
        warn: (message) => this.#gate.note(`install: ${message}`),
      },
    });
    return createRuntime({
      onFatal: (error) => {
        throw error;
      },
      store: ports.store,
      boot: ports.boot,
      clock: ports.clock,
      executors: createExecutors({
        boot: ports.boot,
        install,
        source: ports.source,
        health: ports.health,
        rebooter: ports.rebooter,
      }),
      policy: { ...policy, slotSizeBytes },
      letGo: install.letGo,
      log: {
        info: (message) => this.#gate.note(`log: ${message}`),
        history: (entry) => this.#gate.note(`history: ${entry.type} ${entry.version ?? ''} ${entry.reason ?? ''}`),
        warn: (message, fields) => {
          this.#gate.note(`warn: ${message} ${String(fields.code ?? '')}`);
          if (generation.ending === null) this.#checkers.onLog(fields);
        },
      },
    });
  }

  /** Starts a process of otad; what main.ts does, over the fake world. */
  #start(): void {
    const generation = this.#gate.open(this.#ground.running);
    const ports = createPorts({
      ground: this.#ground,
      gate: this.#gate,
      timeline: this.#timeline,
      checkers: this.#checkers,
      generation,
    });
    this.#generation = generation;
    this.#runtime = null;
    const { signal } = new AbortController();
    const begin = async (): Promise<void> => {
      const bootId = `boot-${this.#ground.bootCount}`;
      const facts = await readFacts(
        { boot: ports.boot, slots: ports.slots, bootId, bootedRelease: null, problems: [] },
        signal,
      );
      const runtime = this.#createRuntime(generation, ports, facts.slotSizeBytes);
      await runtime.start(facts);
      if (generation.ending !== null) return;
      this.#runtime = runtime;
      generation.submit = (command) => {
        this.#checkers.onCommand(command);
        void runtime.submit(command).then((reply) => this.#checkers.onReply(command, reply));
      };
      for (const command of generation.typed) generation.submit(command);
    };
    begin().catch((error: unknown) => {
      // A process that cannot start ends; the service manager starts it again.
      this.#gate.note(`start failed: ${error}`);
      generation.ending ??= { kind: 'kill', isDatabaseLost: false };
    });
  }

  /** The process is gone: lets the rest of the world follow. */
  #bury(generation: Generation): void {
    const { ending } = generation;
    if (ending === null) return;
    this.#timeline.clear();
    this.#generation = null;
    this.#runtime = null;
    this.#gate.note(`process ends: ${ending.kind}`);
    if (ending.kind !== 'reboot' && ending.isDatabaseLost) loseDatabase(this.#ground);
    if (ending.kind === 'kill') {
      this.#timeline.advance(restartMs);
      return;
    }
    const style = ending.kind === 'cut' ? ending.style : 'all-persists';
    const { env, running } = this.#ground;
    const isTrial = env === null || slotState(env, running) !== 'good';
    if (ending.kind === 'cut' && isTrial) this.#ground.spoiltTrialBoots += 1;
    cutPower(this.#ground, style, this.#gate.chance(this.#gate.points().length));
    this.#powerOn();
  }

  /** Runs until `isDone` holds at rest, or until the time is over. */
  async #runUntil(isDone: () => boolean, deadlineMs: number): Promise<boolean> {
    while (this.#verdict.first() === null) {
      if (this.#generation === null) this.#start();
      await drain();
      const generation = this.#generation;
      if (generation?.ending) {
        this.#bury(generation);
        continue;
      }
      if (isDone()) return true;
      const dueMs = this.#timeline.nextDueMs();
      if (dueMs === null || dueMs > deadlineMs) {
        this.#timeline.advance(Math.max(0, deadlineMs - this.#timeline.nowMs()));
        return false;
      }
      this.#timeline.fireNext();
    }
    return false;
  }

  async #play({ sequence, isHealthy }: Step): Promise<void> {
    const release = this.#catalogue.get(sequence, isHealthy);
    this.#ground.offered = release;
    this.#gate.note(`published: ${release.release.version}`);
    const isDone = (): boolean => {
      const confirmed = this.#confirmed();
      return confirmed === release || (confirmed !== null && this.#isDenied(release));
    };
    await this.#runUntil(isDone, this.#timeline.nowMs() + stepMs);
    // Life goes on: a poll or two without news.
    await this.#runUntil(() => false, this.#timeline.nowMs() + dwellMs);
  }

  /** The faults stop. The gateway must come to run the newest good release, confirmed, within a bounded time. */
  async #settle(): Promise<void> {
    const { plan } = this.#gate;
    plan.stop();
    this.#settledAt = this.#gate.points().length;
    heal(this.#ground);
    this.#gate.note('faults stop');
    this.#generation?.submit?.({ command: 'release-hold' });
    // Who marks the running slot bad comes back to reboot it.
    if (this.#runtime?.snapshot().state.phase.kind === 'leaving') this.#generation?.submit?.({ command: 'reboot' });
    const offered = this.#ground.offered;
    const isRefused =
      !offered.isHealthy || plan.hasStruck('mayDeny') || this.#ground.spoiltTrialBoots >= policy.triesMax;
    const isThere = await this.#converge(offered, isRefused ? stepMs : convergeMs);
    if (isThere || this.#verdict.first() !== null) return;
    if (!isRefused) {
      const { version } = offered.release;
      this.#verdict.violate('I8', `${version} is good, nothing excuses its refusal, and it is not confirmed`);
      return;
    }
    const next = this.#catalogue.get(offered.release.sequence + 1, true);
    // Where decay took the last good slot from under a trial that fails, what runs is all there is: a person must decide.
    const isStranded =
      this.#ground.broken.size > 0 && contentOf(this.#ground, this.#ground.running)?.isHealthy !== true;
    if (!(await this.#converge(next, convergeMs)) && this.#verdict.first() === null && !isStranded) {
      this.#verdict.violate('I8', `${next.release.version} is not confirmed although the faults stopped`);
    }
  }

  #converge(release: SealedRelease, withinMs: number): Promise<boolean> {
    this.#ground.offered = release;
    this.#gate.note(`published: ${release.release.version}`);
    return this.#runUntil(() => this.#confirmed() === release, this.#timeline.nowMs() + withinMs);
  }
}

/** Lives a life to its end. Deterministic: equal lives give equal outcomes. */
export const live = (life: Life, catalogue: Catalogue, isTraced = false): Promise<Outcome> =>
  new LifeRun(life, catalogue, isTraced).run();
