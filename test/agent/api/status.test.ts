import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { StatusBody } from '../../../agent/api/schema.ts';
import { statusBody } from '../../../agent/api/status.ts';
import { whyBody } from '../../../agent/api/why.ts';
import type { Snapshot } from '../../../agent/core/ports.ts';
import type { Phase, State } from '../../../agent/core/state.ts';
import type { BootStatus, HistoryEntry, Moment, Progress, Release, Verified } from '../../../agent/core/types.ts';
import { aBoot, aFailure, aMoment, aRecord, aRelease, aStagedState, aState, rootOf } from './fake-agent.ts';

const automation = { isAutoInstall: true, isAutoReboot: true };
const context = {
  identity: { agentVersion: '0.1.0', compatible: 'acme-gw', channel: 'stable' },
  automation,
  slotPaths: { a: '/dev/a', b: '/dev/b' },
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
  assert.deepEqual([slot.verified, slot.note], [false, 'Failed here: app-serves failed.']);
});

test('percent never passes 100 and a length of nothing is 0', () => {
  const progress = { slot: 'b', version: '1.1', step: 'fetching', fetchedBytes: 0 } as const;
  assert.equal(statusOf({ progress: { ...progress, doneBytes: 5, totalBytes: 4 } }).progress?.percent, 100);
  assert.equal(statusOf({ progress: { ...progress, doneBytes: 0, totalBytes: 0 } }).progress?.percent, 0);
  assert.equal(statusOf({ progress: { ...progress, doneBytes: 1, totalBytes: 3 } }).progress?.percent, 33.3);
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
  whyBody(aSnapshot(world), aMoment(world.moment), automation, history).reasons;

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
        denylist: [{ release: aRelease('1.2', 3), reason: 'app-serves failed.', timeMs: 8 }],
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
    '1.2 failed here and is never retried by itself: app-serves failed. To allow it: otactl undeny gw-1.2',
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
