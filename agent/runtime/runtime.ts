// The loop: take an event, decide, commit, then act. Nothing is done before the commit that asks for it (effects are
// replayed after a cut, so each is idempotent), one effect runs at a time, and a new plan cancels the effect of an old one
// unless that changes what boots.

import { type Decision, decide } from '../core/decide.ts';
import type { Brought, Effect, EffectDone } from '../core/effects.ts';
import { errorCodes, OtadError, toFailure } from '../core/errors.ts';
import type { Command, DeviceFacts, Event, Reply } from '../core/events.ts';
import type { AgentControl, BootControl, Clock, Executors, RuntimeLog, Snapshot, Store } from '../core/ports.ts';
import { nextWake } from '../core/schedule.ts';
import type { State } from '../core/state.ts';
import type { BootStatus, Policy, Progress } from '../core/types.ts';

/** Events that may wait; further commands are refused. Timer and effect add one each at most, and are never refused. */
const queueMax = 256;
/** Deciding takes no time and a commit some flushes: an event that takes longer will not end, and a restart may help. */
const handlingMsMax = 120_000;
/** The longest a timer sleeps: a clock that jumped is noticed then. */
const sleepMsMax = 3_600_000;

export interface RuntimeOptions {
  readonly store: Store;
  readonly boot: BootControl;
  readonly clock: Clock;
  readonly executors: Executors;
  readonly policy: Policy;
  readonly log: RuntimeLog;
  /** A write has ended and no reading back follows: what it left open is not needed. Never throws. */
  readonly letGo: () => Promise<void>;
  /** The process must end: another agent holds the database. */
  readonly onFatal: (error: OtadError) => void;
}

export interface Runtime extends AgentControl {
  /** Loads the store, recovers from the facts and starts to work. */
  start(facts: DeviceFacts): Promise<void>;
  /** Stops after the current commit; effects under way are cancelled and replayed after the next start. */
  stop(): Promise<void>;
  /** True while the loop answers, or may still: for the service watchdog. */
  isAlive(): boolean;
}

interface Waiting {
  readonly event: Event;
  readonly answer: (reply: Reply) => void;
}

interface Running {
  readonly effect: Effect;
  readonly controller: AbortController;
}

/** Short, and never left half done for a newer plan: these change what boots. */
const bootChanging: ReadonlySet<Effect['kind']> = new Set(['invalidate', 'activate', 'confirm', 'revert', 'retire']);

const fetchedBytesOf = (progress: Progress | null): number => progress?.fetchedBytes ?? 0;

/** What a write that ended well tells of its way. */
const broughtBy = (kind: Effect['kind'], progress: Progress | null): { readonly brought?: Brought } => {
  if (kind !== 'write' || progress === null) return {};
  const { fetchedBytes, copiedBytes, rebuiltBytes, detour } = progress;
  return { brought: { fetchedBytes, copiedBytes, rebuiltBytes, detour } };
};

/** True for the end of a write that no reading back follows. */
const isUnread = (event: Event, { effects }: Decision): boolean =>
  event.kind === 'effect-done' && event.done.kind === 'write' && !effects.some(({ kind }) => kind === 'verify');

class Loop implements Runtime {
  readonly #options: RuntimeOptions;
  readonly #listeners = new Set<(snapshot: Snapshot) => void>();
  readonly #stopped = new AbortController();
  #state: State | null = null;
  #boot: BootStatus | null = null;
  #facts: DeviceFacts | null = null;
  #progress: Progress | null = null;
  #queue: Waiting[] = [];
  #effects: Effect[] = [];
  #running: Running | null = null;
  #timer: { cancel(): void } | null = null;
  #pumping: Promise<void> | null = null;
  /** On the monotonic clock; null while no event is under way. */
  #handlingSinceMs: number | null = null;
  #acting: Promise<void> = Promise.resolve();

  constructor(options: RuntimeOptions) {
    this.#options = options;
  }

  async start(facts: DeviceFacts): Promise<void> {
    this.#state = await this.#options.store.load();
    this.#boot = facts.boot;
    this.#facts = facts;
    await this.#send({ kind: 'started', facts });
  }

  async submit(command: Command): Promise<Reply> {
    if (this.#queue.length >= queueMax) {
      return { isAccepted: false, code: 'BUSY', message: errorCodes.BUSY.sentence };
    }
    return this.#send({ kind: 'command', command, ...(this.#boot === null ? {} : { boot: this.#boot }) });
  }

  snapshot(): Snapshot {
    if (this.#state === null || this.#boot === null) throw new OtadError('INTERNAL', { snapshot: 'before start' });
    return { state: this.#state, boot: this.#boot, progress: this.#progress };
  }

  subscribe(listener: (snapshot: Snapshot) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  isAlive(): boolean {
    const sinceMs = this.#handlingSinceMs;
    return sinceMs === null || this.#options.clock.now().monoMs - sinceMs < handlingMsMax;
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    this.#timer?.cancel();
    this.#running?.controller.abort();
    await this.#pumping;
    await this.#acting;
  }

  #send(event: Event): Promise<Reply> {
    const reply = new Promise<Reply>((answer) => {
      this.#queue.push({ event, answer });
    });
    this.#pumping ??= this.#pump();
    return reply;
  }

  async #pump(): Promise<void> {
    // First let the caller keep this promise: it may not be kept after it was cleared below.
    await null;
    for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
      if (this.#stopped.signal.aborted) {
        next.answer({ isAccepted: false, code: 'CANCELLED', message: 'otad is stopping.' });
        continue;
      }
      this.#handlingSinceMs = this.#options.clock.now().monoMs;
      const reply = await this.#handle(next.event);
      this.#handlingSinceMs = null;
      next.answer(reply);
    }
    // In the same step that found the queue empty: an event that came in between would wait for ever.
    this.#pumping = null;
  }

  async #handle(event: Event): Promise<Reply> {
    const { clock, policy, store, log, onFatal } = this.#options;
    const decision = decide(this.#state, event, clock.now(), policy);
    if (decision.state !== this.#state || decision.history.length > 0) {
      try {
        await store.commit(decision.state, decision.history);
      } catch (error) {
        // Another agent works on this device: two would undo each other's work.
        if (error instanceof OtadError && error.code === 'STORE_BUSY') onFatal(error);
        // The database is history and cache: without it the device still updates, from what the bootloader and the slots say (I9).
        log.warn('The state could not be stored; going on without it.', { ...toFailure(error) });
      }
    }
    this.#state = decision.state;
    this.#report(event, decision);
    // The plan changed before the end was heard: the slot must not stay locked until the next install.
    if (isUnread(event, decision)) await this.#options.letGo();
    this.#take(decision.effects);
    this.#notify();
    this.#sleep();
    return decision.reply ?? { isAccepted: true, message: '' };
  }

  #report(event: Event, { history }: Decision): void {
    for (const entry of history) this.#options.log.history(entry);
    if (event.kind === 'effect-done' && !event.done.ok && event.done.failure.class === 'bug') {
      this.#options.log.warn(event.done.failure.message, { effect: event.done.kind, ...event.done.failure });
    }
  }

  #take(effects: readonly Effect[]): void {
    const plan = this.#state?.plan;
    const running = this.#running;
    if (running !== null && running.effect.plan !== plan && !bootChanging.has(running.effect.kind))
      running.controller.abort();
    this.#effects.push(...effects);
    if (this.#running === null) this.#next();
  }

  #next(): void {
    const effect = this.#effects.shift();
    if (effect === undefined || this.#stopped.signal.aborted) return;
    this.#running = { effect, controller: new AbortController() };
    this.#acting = this.#act(effect, this.#running.controller.signal);
  }

  async #act(effect: Effect, signal: AbortSignal): Promise<void> {
    const done = await this.#execute(effect, signal);
    const fresh = bootChanging.has(effect.kind) ? await this.#readBoot() : null;
    this.#running = null;
    this.#progress = null;
    if (!this.#stopped.signal.aborted) void this.#send(this.#forgotten(fresh) ?? { kind: 'effect-done', done });
    this.#next();
  }

  /**
   * A bootloader that lost its environment no longer holds the running slot as good. Then there is no way back from a trial:
   * what runs is assessed and confirmed anew, as after a start, before anything else is done (I4, I8).
   */
  #forgotten(boot: BootStatus | null): Event | null {
    const [state, facts] = [this.#state, this.#facts];
    if (state === null || boot === null || facts === null) return null;
    if (!state.isBootedConfirmed || boot.slots[boot.booted].state === 'good') return null;
    return { kind: 'started', facts: { ...facts, boot, records: state.records } };
  }

  async #execute(effect: Effect, signal: AbortSignal): Promise<EffectDone> {
    const { kind, plan } = effect;
    let last: Progress | null = null;
    const onProgress = (progress: Progress): void => {
      last = progress;
      this.#progress = progress;
      this.#notify();
    };
    // The mapped type of the executors pairs each kind with its own effect and value; the compiler cannot follow it here.
    const run = this.#options.executors[kind] as (
      effect: Effect,
      signal: AbortSignal,
      onProgress: (progress: Progress) => void,
    ) => Promise<unknown>;
    try {
      const value = await run(effect, signal, onProgress);
      return { kind, plan, ok: true, value, ...broughtBy(kind, last) } as EffectDone;
    } catch (error) {
      return { kind, plan, ok: false, failure: toFailure(error), fetchedBytes: fetchedBytesOf(last) };
    }
  }

  /** null where it cannot be read: what was known before is no evidence of anything new. */
  async #readBoot(): Promise<BootStatus | null> {
    try {
      this.#boot = await this.#options.boot.status(this.#stopped.signal);
      return this.#boot;
    } catch (error) {
      this.#options.log.warn('The boot state could not be read.', { ...toFailure(error) });
      return null;
    }
  }

  #notify(): void {
    const snapshot = this.snapshot();
    for (const listener of this.#listeners) listener(snapshot);
  }

  #sleep(): void {
    this.#timer?.cancel();
    this.#timer = null;
    if (this.#state === null || this.#stopped.signal.aborted) return;
    const { clock, policy } = this.#options;
    const moment = clock.now();
    const wakeMs = nextWake(this.#state, moment, policy);
    if (wakeMs === null) return;
    const delayMs = Math.min(Math.max(0, wakeMs - moment.monoMs), sleepMsMax);
    this.#timer = clock.setTimer(delayMs, () => void this.#send({ kind: 'tick' }));
  }
}

export const createRuntime = (options: RuntimeOptions): Runtime => new Loop(options);
