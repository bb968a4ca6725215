import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { EffectKind } from '../../../agent/core/effects.ts';
import { OtadError } from '../../../agent/core/errors.ts';
import type { Clock, Executors, Store } from '../../../agent/core/ports.ts';
import type { State } from '../../../agent/core/state.ts';
import type { CheckOutcome, HistoryEntry } from '../../../agent/core/types.ts';
import { createRuntime, type Runtime } from '../../../agent/runtime/runtime.ts';
import { aBoot, aMoment, aPolicy, aRecord, aRelease, aStaged, aState, someFacts } from '../../support/builders.ts';

interface World {
  readonly runtime: Runtime;
  /** Commits and effects in the order in which they began. */
  readonly log: string[];
  readonly committed: State[];
  fireTimer(): void;
  passTime(ms: number): void;
  /** Settles the effect that waits. */
  finish(kind: EffectKind, value: unknown): Promise<void>;
  fail(kind: EffectKind, error: Error): Promise<void>;
  readonly aborted: EffectKind[];
}

interface Pending {
  readonly kind: EffectKind;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

const settle = () => new Promise<void>((resolve) => setImmediate(resolve));

const aWorld = (stored: State | null, commit?: () => Promise<void>): World => {
  const log: string[] = [];
  const committed: State[] = [];
  const aborted: EffectKind[] = [];
  const pending: Pending[] = [];
  let timer: (() => void) | null = null;
  let monoMs = 3_000_000;
  const store: Store = {
    load: async () => stored,
    commit: async (state: State, history: readonly HistoryEntry[]) => {
      log.push(`commit ${state.phase.kind}${history.map((entry) => ` +${entry.type}`).join('')}`);
      await commit?.();
      committed.push(state);
    },
    readHistory: async () => [],
  };
  const clock: Clock = {
    now: () => aMoment({ monoMs }),
    setTimer: (_delayMs, fire) => {
      timer = fire;
      return { cancel: () => (timer = null) };
    },
  };
  const kinds: EffectKind[] = [
    'check',
    'invalidate',
    'write',
    'verify',
    'assess',
    'activate',
    'reboot',
    'confirm',
    'revert',
    'retire',
  ];
  const executors = Object.fromEntries(
    kinds.map((kind) => [
      kind,
      (_effect: unknown, signal: AbortSignal) => {
        log.push(`effect ${kind}`);
        return new Promise((resolve, reject) => {
          pending.push({ kind, resolve, reject });
          signal.addEventListener('abort', () => {
            aborted.push(kind);
            reject(new OtadError('CANCELLED'));
          });
        });
      },
    ]),
  ) as unknown as Executors;
  const runtime = createRuntime({
    store,
    clock,
    executors,
    policy: aPolicy(),
    letGo: async () => void log.push('let go'),
    onFatal: (error) => log.push(`fatal ${error.code}`),
    log: { info: () => {}, warn: () => {}, history: () => {} },
    boot: { status: async () => aBoot() } as never,
  });
  const take = (kind: EffectKind): Pending => {
    const found = pending.findIndex((entry) => entry.kind === kind);
    const [entry] = pending.splice(found, 1);
    assert.ok(found >= 0 && entry, `no ${kind} is under way`);
    return entry;
  };
  return {
    runtime,
    log,
    committed,
    aborted,
    fireTimer: () => timer?.(),
    passTime: (ms) => {
      monoMs += ms;
    },
    finish: async (kind, value) => {
      take(kind).resolve(value);
      await settle();
    },
    fail: async (kind, error) => {
      take(kind).reject(error);
      await settle();
    },
  };
};

const checkOf = (sequence: number): CheckOutcome => ({ kind: 'release', release: aRelease({ sequence }) });

test('no effect begins before the commit that asks for it', async () => {
  const world = aWorld(aState());
  await world.runtime.start(someFacts());
  world.fireTimer();
  await settle();
  await world.finish('check', checkOf(2));
  await world.finish('invalidate', null);
  assert.deepEqual(world.log, [
    'commit idle',
    'commit checking',
    'effect check',
    'commit fetching +install-started',
    'effect invalidate',
    'commit fetching',
    'effect write',
  ]);
  await world.runtime.stop();
});

test('an effect waits until a commit that takes long is durable', async () => {
  let release = () => {};
  let hold = false;
  const world = aWorld(aState(), () =>
    hold ? new Promise((resolve) => (release = () => resolve())) : Promise.resolve(),
  );
  await world.runtime.start(someFacts());
  hold = true;
  world.fireTimer();
  await settle();
  assert.equal(world.log.at(-1), 'commit checking');
  hold = false;
  release();
  await settle();
  assert.equal(world.log.at(-1), 'effect check');
  await world.runtime.stop();
});

test('a store that fails does not stop the update', async () => {
  const world = aWorld(aState(), () => Promise.reject(new OtadError('DISK_FULL')));
  await world.runtime.start(someFacts());
  world.fireTimer();
  await settle();
  await world.finish('check', checkOf(2));
  assert.equal(world.runtime.snapshot().state.phase.kind, 'fetching');
  await world.runtime.stop();
});

test('a store that another agent holds ends the process', async () => {
  const world = aWorld(aState(), () => Promise.reject(new OtadError('STORE_BUSY')));
  await world.runtime.start(someFacts());
  assert.ok(world.log.includes('fatal STORE_BUSY'));
  await world.runtime.stop();
});

test('stopping cancels the effect under way and commits nothing more', async () => {
  const world = aWorld(aState());
  await world.runtime.start(someFacts());
  world.fireTimer();
  await settle();
  const commits = world.committed.length;
  await world.runtime.stop();
  assert.deepEqual(world.aborted, ['check']);
  assert.equal(world.committed.length, commits);
  const reply = await world.runtime.submit({ command: 'check' });
  assert.equal(reply.isAccepted, false);
});

test('a thrown value that is no error of ours becomes a failure that says so', async () => {
  const world = aWorld(aState());
  await world.runtime.start(someFacts());
  world.fireTimer();
  await settle();
  await world.fail('check', new TypeError('boom'));
  assert.equal(world.runtime.snapshot().state.lastCheck?.failure?.code, 'INTERNAL');
  await world.runtime.stop();
});

test('a command is answered, and a refused one changes nothing', async () => {
  const world = aWorld(aState());
  await world.runtime.start(someFacts());
  const before = world.committed.length;
  const reply = await world.runtime.submit({ command: 'confirm' });
  assert.deepEqual(reply.isAccepted ? null : reply.code, 'NOTHING_TO_DO');
  assert.equal(world.committed.length, before);
  await world.runtime.stop();
});

test('a command that follows at once upon the answer to another is answered too', async () => {
  const world = aWorld(aState());
  await world.runtime.start(someFacts());
  await world.runtime.submit({ command: 'hold', reason: null });
  let second: unknown = null;
  void world.runtime.submit({ command: 'release-hold' }).then((reply) => (second = reply));
  await settle();
  assert.deepEqual(second, { isAccepted: true, message: 'Updates go on.' });
  await world.runtime.stop();
});

test('commands beyond the queue are refused as busy, and the end of an effect never is', async () => {
  let release = () => {};
  let hold = false;
  const world = aWorld(aState(), () =>
    hold ? new Promise((resolve) => (release = () => resolve())) : Promise.resolve(),
  );
  await world.runtime.start(someFacts());
  world.fireTimer();
  await settle();
  hold = true;
  const replies = Promise.all(
    Array.from({ length: 300 }, () => world.runtime.submit({ command: 'hold', reason: null })),
  );
  await world.finish('check', checkOf(2));
  hold = false;
  release();
  const refused = (await replies).filter((reply) => !reply.isAccepted && reply.code === 'BUSY');
  assert.ok(refused.length > 0 && refused.length < 300);
  await settle();
  assert.equal(world.runtime.snapshot().state.phase.kind, 'idle');
  assert.equal(world.runtime.snapshot().state.lastCheck?.reasons[0]?.code, 'hold');
  await world.runtime.stop();
});

test('a commit that does not end shows to the watchdog', async () => {
  let hold = false;
  const world = aWorld(aState(), () => (hold ? new Promise(() => {}) : Promise.resolve()));
  await world.runtime.start(someFacts());
  world.passTime(3_600_000);
  assert.equal(world.runtime.isAlive(), true);
  hold = true;
  world.fireTimer();
  await settle();
  assert.equal(world.runtime.isAlive(), true);
  world.passTime(120_000);
  assert.equal(world.runtime.isAlive(), false);
});

test('listeners hear of every change until they leave', async () => {
  const world = aWorld(aState());
  const heard: string[] = [];
  const leave = world.runtime.subscribe((snapshot) => heard.push(snapshot.state.phase.kind));
  await world.runtime.start(someFacts());
  world.fireTimer();
  await settle();
  leave();
  await world.finish('check', checkOf(1));
  assert.deepEqual(heard, ['idle', 'checking']);
  await world.runtime.stop();
});

test('a new plan cancels no effect that changes what boots, and waits for its end', async () => {
  const stored = aState({
    phase: { kind: 'rebooting', slot: 'b', sinceMs: 0 },
    records: { a: aRecord(1), b: aRecord(2) },
  });
  const world = aWorld({ ...stored, staged: aStaged({ isActivated: true, reboots: 1 }) });
  await world.runtime.start(someFacts({ bootId: 'boot-2', records: { a: aRecord(1), b: aRecord(2) } }));
  assert.equal(world.log.at(-1), 'effect retire');
  await world.runtime.submit({ command: 'check' });
  await settle();
  assert.deepEqual([world.aborted, world.log.at(-1)], [[], 'commit checking']);
  await world.finish('retire', null);
  assert.equal(world.log.at(-1), 'effect check');
  await world.runtime.stop();
});

/** In the middle of a write. */
const aWriting = async (commit?: () => Promise<void>): Promise<World> => {
  const world = aWorld(aState(), commit);
  await world.runtime.start(someFacts());
  world.fireTimer();
  await settle();
  await world.finish('check', checkOf(2));
  await world.finish('invalidate', null);
  assert.equal(world.log.at(-1), 'effect write');
  return world;
};

test('what a write left open is let go when the plan changed before its end was heard', async () => {
  let hold: Promise<void> | null = null;
  let free = () => {};
  const world = await aWriting(() => hold ?? Promise.resolve());
  hold = new Promise((resolve) => {
    free = resolve;
  });
  const recovered = world.runtime.start(someFacts());
  await settle();
  await world.finish('write', aRecord(2));
  hold = null;
  free();
  await recovered;
  await settle();
  assert.ok(!world.log.includes('effect verify'));
  assert.equal(world.log.filter((line) => line === 'let go').length, 1);
  await world.runtime.stop();
});

test('what is read back next is not let go', async () => {
  const world = await aWriting();
  await world.finish('write', aRecord(2));
  assert.equal(world.log.at(-1), 'effect verify');
  assert.ok(!world.log.includes('let go'));
  await world.runtime.stop();
});
