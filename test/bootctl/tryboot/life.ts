// The real decision core and the real executors over a Pi: what otad does with tryboot from boot to boot. Slots, server and
// health are stand-ins; the reboot is systemd's, with the argument that was left for it.

import { decide } from '../../../agent/core/decide.ts';
import type { Effect, EffectDone } from '../../../agent/core/effects.ts';
import { toFailure } from '../../../agent/core/errors.ts';
import type { Event } from '../../../agent/core/events.ts';
import type { BootControl, Executors } from '../../../agent/core/ports.ts';
import type { State } from '../../../agent/core/state.ts';
import type { HistoryEntry, Moment, Policy, SlotName, SlotRecord } from '../../../agent/core/types.ts';
import { createExecutors } from '../../../agent/runtime/executors.ts';
import { aMoment, aPolicy, aRecord, aRelease } from '../../support/builders.ts';
import { streamOnly } from '../../support/slot-bench.ts';
import { createTrybootMachine, type Pi } from './machine.ts';

/** How a system behaves once the firmware has started its kernel. */
export type Temper = 'well' | 'unhealthy' | 'panics' | 'hangs later';

export interface Life {
  readonly pi: Pi;
  readonly history: readonly HistoryEntry[];
  /** Reboots that otad asked for. */
  readonly requests: readonly SlotName[];
  state(): State | null;
  /** What the server offers, and how that system will behave. */
  offer(sequence: number, temper: Temper): void;
  loseDatabase(): void;
  /** One process of otad from start until nothing is left to do; ends early before the effect named `until`. */
  run(until?: Effect['kind']): Promise<'quiet' | 'reboots' | 'cut'>;
  /** Boots and runs until nothing is left to do. At most `bootsMax` boots. */
  settle(bootsMax?: number): Promise<void>;
  close(): Promise<void>;
}

/** More steps than any process here takes. */
const stepsMax = 200;

interface World {
  readonly pi: Pi;
  readonly records: Record<SlotName, SlotRecord | null>;
  readonly requests: SlotName[];
  readonly temper: (slot: SlotName) => Temper;
  readonly offered: () => number;
}

const createPorts = ({ pi, records, requests, temper, offered }: World): Executors => {
  const boot: BootControl = pi.control;
  const mark = (slot: SlotName, change: Partial<SlotRecord>): SlotRecord | null => {
    const record = records[slot];
    records[slot] = record === null ? null : { ...record, ...change };
    return records[slot];
  };
  const written = (slot: SlotName, change: Partial<SlotRecord>): SlotRecord => {
    const record = { ...aRecord(offered()), ...change };
    records[slot] = record;
    return record;
  };
  return createExecutors({
    boot,
    install: {
      write: async ({ slot }) => written(slot, { status: 'writing' }),
      verify: async ({ slot }) => written(slot, { status: 'verified' }),
      dropBootSet: async () => undefined,
      letGo: async () => undefined,
      markActivated: async (slot) => mark(slot, { status: 'activated' }),
      retire: async (slot, reason) => mark(slot, { status: 'denied', reason }),
    },
    source: {
      check: async () => ({ kind: 'release', release: aRelease({ sequence: offered() }) }),
      ...streamOnly,
      stream: async () => {},
    },
    health: {
      assess: async ({ purpose }) => {
        const isPassed = purpose === 'baseline' || temper(pi.booted()) !== 'unhealthy';
        const reason = isPassed ? null : 'no answer';
        return { results: [{ name: 'network', isRequired: true, isPassed, reason, durationMs: 1 }] };
      },
    },
    rebooter: {
      request: async (slot) => {
        requests.push(slot);
      },
    },
  });
};

export const createLife = async (policy: Partial<Policy> = {}): Promise<Life> => {
  const pi = await createTrybootMachine();
  const rules = aPolicy(policy);
  const records: Record<SlotName, SlotRecord | null> = { a: aRecord(1), b: null };
  const tempers = new Map<number, Temper>();
  const history: HistoryEntry[] = [];
  const requests: SlotName[] = [];
  let offered = 1;
  let state: State | null = null;
  let boots = 1;
  let monoMs = 1_000_000;
  const temper = (slot: SlotName): Temper => tempers.get(records[slot]?.release.sequence ?? 0) ?? 'well';
  const executors = createPorts({ pi, records, requests, temper, offered: () => offered });
  const { signal } = new AbortController();
  const moment = (): Moment => aMoment({ monoMs });

  const perform = async (effect: Effect): Promise<EffectDone> => {
    const executor = executors[effect.kind] as (given: Effect, cancel: AbortSignal, progress: () => void) => unknown;
    try {
      const value = await executor(effect, signal, () => {});
      return { kind: effect.kind, ok: true, plan: effect.plan, value } as EffectDone;
    } catch (error) {
      return { kind: effect.kind, ok: false, plan: effect.plan, failure: toFailure(error), fetchedBytes: 0 };
    }
  };

  const run: Life['run'] = async (until) => {
    const facts = {
      bootId: `boot-${boots}`,
      boot: await pi.control.status(signal),
      records: { ...records },
      bootedRelease: null,
      problems: [],
    };
    const events: Event[] = [{ kind: 'started', facts }, { kind: 'tick' }];
    for (let step = 0; step < stepsMax; step += 1) {
      const event = events.shift();
      if (event === undefined) return 'quiet';
      if (event.kind === 'tick') monoMs += rules.pollIntervalMs * 2;
      const decision = decide(state, event, moment(), rules);
      state = decision.state;
      history.push(...decision.history);
      for (const effect of decision.effects) {
        if (effect.kind === until) return 'cut';
        const done = await perform(effect);
        if (effect.kind === 'reboot' && done.ok) return 'reboots';
        events.unshift({ kind: 'effect-done', done });
      }
    }
    throw new RangeError(`not quiet after ${stepsMax} steps`);
  };

  const settle: Life['settle'] = async (bootsMax = 12) => {
    for (let count = 0; count < bootsMax; count += 1) {
      if ((await run()) === 'quiet') return;
      boots += 1;
      await pi.reboot();
      // A panicking kernel resets by itself (panic=10), and that reset carries no argument.
      if (temper(pi.booted()) === 'panics') await pi.start({ kind: 'panic' });
      if (temper(pi.booted()) === 'hangs later') {
        // otad comes up and looks; then the watchdog bites.
        await pi.control.status(signal);
        boots += 1;
        await pi.start({ kind: 'watchdog' });
      }
    }
    throw new RangeError(`not settled after ${bootsMax} boots`);
  };

  return {
    pi,
    history,
    requests,
    state: () => state,
    offer: (sequence, how) => {
      offered = sequence;
      tempers.set(sequence, how);
    },
    loseDatabase: () => {
      state = null;
    },
    run: async (until) => {
      const end = await run(until);
      // Whatever ended it: the next process is one of another boot.
      boots += 1;
      return end;
    },
    settle,
    close: pi.close,
  };
};
