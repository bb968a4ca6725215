import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { StatusBody } from '../../../agent/api/schema.ts';
import { statusBody } from '../../../agent/api/status.ts';
import { whyBody } from '../../../agent/api/why.ts';
import type { Snapshot } from '../../../agent/core/ports.ts';
import type { Phase, State } from '../../../agent/core/state.ts';
import type { BootStatus, HistoryEntry, Moment, Progress, Release, Verified } from '../../../agent/core/types.ts';
import { aBoot, aFailure, aMoment, aProgress, aRecord, aRelease, aStagedState, aState, rootOf } from './fake-agent.ts';

const automation = { isAutoInstall: true, isAutoReboot: true };
const context = {
  identity: { agentVersion: '0.1.0', compatible: 'acme-gw', channel: 'stable' },
  automation,
  slotPaths: { a: '/dev/a', b: '/dev/b' },
  configProblems: [],
};

interface World {
  readonly state?: Partial<State>;
  readonly boot?: Partial<BootStatus>;
  readonly moment?: Partial<Moment>;
  readonly progress?: Progress;
}

const aSnapshot = ({ state, boot, progress }: World): Snapshot => ({
  state: aState(state),
  boot: aBoot(boot),
  progress: progress ?? null,
});

const statusOf = (world: World = {}): StatusBody => statusBody(aSnapshot(world), aMoment(world.moment), context);

const slotOf = (status: StatusBody, name: 'a' | 'b') => {
  const slot = status.slots.find((each) => each.name === name);
  assert.ok(slot);
  return slot;
};

const release11 = { ...aRelease('1.1', 2) } as unknown as Verified<Release>;

test('the version that runs is the record of the booted slot when the kernel was started from its root', () => {
  const status = statusOf({ boot: { bootedRoot: rootOf('1.0').toUpperCase() } });
  assert.equal(status.version, '1.0');
  assert.equal(slotOf(status, 'a').verified, true);
});

test('no version is claimed when the kernel was started from another root than the record names', () => {
  const status = statusOf({ boot: { bootedRoot: 'f'.repeat(64) } });
  const slot = slotOf(status, 'a');
  assert.equal(status.version, null);
  assert.deepEqual([slot.version, slot.verified, slot.hashOffset], [null, false, null]);
  assert.equal(slot.verityRoot, 'f'.repeat(64));
  assert.match(slot.note, /another image/);
});

test('without a root on the kernel command line the record is believed', () => {
  assert.equal(statusOf({ boot: { bootedRoot: null } }).version, '1.0');
});

test('confirmed is what the bootloader says, not what the database says', () => {
  const slots = { a: { state: 'pending', triesLeft: 2 }, b: { state: 'good', triesLeft: null } } as const;
  const status = statusOf({ state: { isBootedConfirmed: true }, boot: { slots } });
  assert.equal(status.confirmed, false);
  assert.equal(slotOf(status, 'a').triesLeft, 2);
});

test('after a fallback the status names the system that booted, whatever was staged', () => {
  const record = aRecord(aRelease('1.1', 2), { status: 'activated' });
  const status = statusOf({ state: { ...aStagedState(), records: { a: aRecord(aRelease('1.0', 1)), b: record } } });
  assert.deepEqual([status.booted, status.version, slotOf(status, 'b').booted], ['a', '1.0', false]);
});

test('a slot that is being written is never called verified', () => {
  const record = aRecord(aRelease('1.1', 2), { status: 'writing', writtenBytes: 4096 });
  const slot = slotOf(statusOf({ state: { records: { a: null, b: record } } }), 'b');
  assert.deepEqual(
    [slot.verified, slot.recordStatus, slot.note],
    [false, 'writing', 'Partly written (50 %); not bootable.'],
  );
});

test('a denied slot says why', () => {
  const record = aRecord(aRelease('1.2', 3), { status: 'denied', reason: 'app-serves failed' });
  const slot = slotOf(statusOf({ state: { records: { a: null, b: record } } }), 'b');
  assert.deepEqual([slot.verified, slot.note], [false, 'Denied: app-serves failed.']);
});

test('percent never passes 100 and a length of nothing is 0', () => {
  assert.equal(statusOf({ progress: aProgress({ doneBytes: 5, totalBytes: 4 }) }).progress?.percent, 100);
  assert.equal(statusOf({ progress: aProgress({ doneBytes: 0, totalBytes: 0 }) }).progress?.percent, 0);
  assert.equal(statusOf({ progress: aProgress({ doneBytes: 1, totalBytes: 3 }) }).progress?.percent, 33.3);
});

const phases: readonly (readonly [Phase, RegExp, RegExp])[] = [
  [{ kind: 'idle' }, /^1\.0 runs in slot a, confirmed\.$/, /in 12 min/],
  [{ kind: 'checking', isForced: false, halted: null }, /asked for news/, /Installs/],
  [{ kind: 'fetching', step: 'invalidate', slot: 'b', release: release11, isForced: false }, /unbootable/, /streamed/],
  [{ kind: 'fetching', step: 'write', slot: 'b', release: release11, isForced: false }, /1\.1 is streamed/, /verified/],
  [{ kind: 'verifying', slot: 'b', release: release11, isForced: false }, /read back/, /Staged/],
  [{ kind: 'staged' }, /1\.1 is staged in slot b/, /when the window opens/],
  [{ kind: 'activating', step: 'verify' }, /verified once more/, /reboots into 1\.1/],
  [{ kind: 'activating', step: 'baseline' }, /Health checks/, /reboots into 1\.1/],
  [{ kind: 'activating', step: 'flip' }, /bootloader/, /reboots into 1\.1/],
  [{ kind: 'rebooting', slot: 'b', sinceMs: 0 }, /reboots into slot b/, /Health checks/],
  [{ kind: 'assessing', sinceMs: 0 }, /on trial/, /returns to 1\.1/],
  [{ kind: 'confirming' }, /passed/, /stays/],
  [{ kind: 'reverting', step: 'flip', sinceMs: 0, reason: 'app down.' }, /given up: app down\.$/, /reboots into 1\.1/],
  [
    { kind: 'halted', failure: aFailure('SLOT_IO', 'The slot fails.') },
    /Stopped: The slot fails\.$/,
    /needs attention/,
  ],
];

for (const [phase, now, next] of phases) {
  const step = 'step' in phase ? ` (${phase.step})` : '';
  test(`${phase.kind}${step} says what happens now and next`, () => {
    const status = statusOf({ state: { ...aStagedState(), phase } });
    assert.match(status.now, now);
    assert.match(status.next, next);
  });
}

test('a staged release says what it waits for: window, hold, technician or nothing', () => {
  const next = (world: World, isAutoReboot = true): string =>
    statusBody(aSnapshot({ ...world, state: { ...aStagedState(), ...world.state } }), aMoment(world.moment), {
      ...context,
      automation: { ...automation, isAutoReboot },
    }).next;
  const open = { windows: { download: true, reboot: true } };
  assert.match(next({}), /when the window opens/);
  assert.equal(next({ moment: open }), 'Reboots now.');
  assert.match(next({ state: { hold: { reason: null, sinceMs: 0 } }, moment: open }), /held/);
  assert.match(next({ moment: open }, false), /technician: otactl reboot/);
});

test('an idle gateway that could update says the condition that is not met', () => {
  const reasons = [{ code: 'wave', sentence: 'The rollout has reached 10 %.' }] as const;
  const status = statusOf({ state: { lastCheck: { timeMs: 1, release: aRelease('1.1', 2), failure: null, reasons } } });
  assert.match(status.next, /^1\.1: The rollout has reached 10 %\. Asks/);
});

const whyOf = (world: World, history: readonly HistoryEntry[] = []) =>
  whyBody(aSnapshot(world), aMoment(world.moment), automation, history, []).reasons;

const aCheck = (...reasons: NonNullable<State['lastCheck']>['reasons']): State['lastCheck'] => ({
  timeMs: 7,
  release: aRelease('1.1', 2),
  failure: null,
  reasons,
});

test('why says that nobody has asked yet, and how to ask', () => {
  assert.match(whyOf({})[0]?.sentence ?? '', /otactl check/);
});

test('why puts what needs a person first, then the hold, then the last check, then the denylist, then the rollback', () => {
  const rolledBack: HistoryEntry = {
    type: 'rolled-back',
    timeMs: 9,
    isTimeSynced: true,
    version: '1.2',
    slot: 'b',
    reason: 'app-serves failed',
    code: 'HEALTH_FAILED',
  };
  const reasons = whyOf(
    {
      state: {
        attention: aFailure('HEALTH_FAILED', '1.2 was rolled back'),
        hold: { reason: 'measuring', sinceMs: 3 },
        lastCheck: aCheck({ code: 'wave', sentence: 'not yet' }),
        denylist: [{ release: aRelease('1.3', 4), reason: 'the disk was slow.', timeMs: 8 }],
      },
    },
    [rolledBack],
  );
  assert.deepEqual(
    reasons.map((reason) => [reason.topic, reason.code]),
    [
      ['attention', 'HEALTH_FAILED'],
      ['hold', 'hold'],
      ['update', 'wave'],
      ['denylist', 'denied'],
      ['rollback', 'HEALTH_FAILED'],
    ],
  );
  assert.equal(
    reasons[3]?.sentence,
    '1.3 is denied here and not tried again by itself: the disk was slow. To allow it: otactl undeny 1.3',
  );
  assert.equal(reasons[4]?.sentence, 'Rolled back from 1.2: app-serves failed.');
});

test('why does not repeat a condition of the last check that no longer holds', () => {
  const lastCheck = aCheck(
    { code: 'hold', sentence: 'held' },
    { code: 'unconfirmed', sentence: 'not confirmed' },
    { code: 'download-window', sentence: 'closed' },
    { code: 'denied', sentence: 'denied' },
  );
  assert.deepEqual(whyOf({ state: { lastCheck } }), []);
  const windows = { download: false, reboot: false };
  assert.deepEqual(
    whyOf({ state: { lastCheck }, moment: { windows } }).map((reason) => reason.code),
    ['download-window'],
  );
});

test('why names the failure of the last check once', () => {
  const lastCheck = {
    timeMs: 7,
    release: null,
    failure: aFailure('METADATA_EXPIRED', 'A metadata file has expired.'),
    reasons: [{ code: 'check-failed', sentence: 'The check failed.' }],
  } as const;
  assert.deepEqual(
    whyOf({ state: { lastCheck } }).map((reason) => reason.sentence),
    ['The last check failed: A metadata file has expired.'],
  );
});

const failedBus: HistoryEntry = {
  type: 'rolled-back',
  timeMs: 9,
  isTimeSynced: true,
  version: '1.2',
  slot: 'b',
  reason: 'the bus is dead',
  code: null,
};
const deniedWorld: World = {
  state: {
    denylist: [{ release: aRelease('1.2', 3), reason: 'the bus is dead', timeMs: 8 }],
    records: {
      a: aRecord(aRelease('1.0', 1), { status: 'activated' }),
      b: aRecord(aRelease('1.2', 3), { status: 'denied', reason: 'the bus is dead' }),
    },
    lastCheck: {
      timeMs: 10,
      release: aRelease('1.2', 3),
      failure: null,
      reasons: [{ code: 'denied', sentence: '1.2 is on the denylist: the bus is dead' }],
    },
  },
};
const times = (text: string, words: string): number => text.split(words).length - 1;

test('why a release was denied stands once in why and once in the status, in its slot', () => {
  const why = whyBody(aSnapshot(deniedWorld), aMoment(), automation, [failedBus], []);
  assert.equal(times(JSON.stringify(why), 'the bus is dead'), 1);
  const status = statusOf(deniedWorld);
  assert.equal(times(JSON.stringify(status), 'the bus is dead'), 1);
  assert.equal(slotOf(status, 'b').note, 'Denied: the bus is dead.');
  assert.match(status.next, /^1\.2 is denied here and not tried again by itself\. Asks/);
});

test('two denied releases of one version are allowed again by id', () => {
  const deny = (id: string) => ({ release: { ...aRelease('1.2', 3), id }, reason: id, timeMs: 0 });
  const sentences = whyOf({ state: { denylist: [deny('x1'), deny('x2')], lastCheck: aCheck() } }).map(
    ({ sentence }) => sentence,
  );
  assert.match(sentences[0] ?? '', /otactl undeny x1$/);
  assert.match(sentences[1] ?? '', /otactl undeny x2$/);
});

test('the status says what a person should do, and null when nobody is needed', () => {
  assert.equal(statusOf().todo, null);
  assert.match(statusOf({ state: { hold: { reason: null, sinceMs: 0 } } }).todo ?? '', /otactl release$/);
  assert.match(statusOf(deniedWorld).todo ?? '', /otactl undeny 1\.2$/);
  const manual = aCheck({ code: 'manual-install', sentence: '1.1 is available.' });
  assert.match(statusOf({ state: { lastCheck: manual } }).todo ?? '', /otactl install$/);
  assert.match(statusOf({ state: { attention: aFailure('SLOT_IO', 'x') } }).todo ?? '', /otactl /);
});

test('a settings file that is left out needs attention even when the state has forgotten it', () => {
  const problem = {
    ...aFailure('CONFIG_INVALID', 'A setting is not valid. (file: 95.json)'),
    class: 'config',
  } as const;
  const status = statusBody(aSnapshot({}), aMoment(), { ...context, configProblems: [problem] });
  assert.deepEqual(status.attention, problem);
  assert.match(status.todo ?? '', /otad --check-config.*restart otad/);
  const [first] = whyBody(aSnapshot({}), aMoment(), automation, [], [problem]).reasons;
  assert.deepEqual([first?.topic, first?.code], ['attention', 'CONFIG_INVALID']);
});

test('a way back is promised only where the core would go', () => {
  const running = aRecord(aRelease('1.0', 1), { status: 'activated' });
  const wayBack = (world: World) => statusOf(world).wayBack;
  assert.equal(wayBack({}), null);
  assert.equal(wayBack(deniedWorld), null);
  assert.equal(wayBack({ state: aStagedState() }), null);
  const before = aRecord(aRelease('0.9', 0), { status: 'activated' });
  const records = { a: running, b: before };
  // Never handed to the bootloader.
  assert.equal(wayBack({ state: { records } }), null);
  const boot = aBoot({ slots: { a: { state: 'good', triesLeft: null }, b: { state: 'good', triesLeft: null } } });
  assert.equal(wayBack({ state: { records }, boot }), 'b');
  // Good to the bootloader, and denied all the same: after a technician went back from it.
  const denylist = [{ release: before.release, reason: 'x', timeMs: 0 }];
  const { slots, wayBack: promised } = statusOf({ state: { records, denylist }, boot });
  assert.equal(promised, null);
  assert.equal(slots[1]?.note, 'Verified, but denied: x.');
});
