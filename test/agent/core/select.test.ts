import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openWavePercent, unmetConditions } from '../../../agent/core/select.ts';
import type { State } from '../../../agent/core/state.ts';
import type { Artifact, Moment, Policy, Release } from '../../../agent/core/types.ts';
import { aMoment, aPolicy, aRecord, aRelease, aStaged, aState } from '../../support/builders.ts';

interface Case {
  readonly release?: Partial<Release>;
  readonly state?: Partial<State>;
  readonly moment?: Partial<Moment>;
  readonly policy?: Partial<Policy>;
  readonly isForced?: boolean;
}

const codes = ({ release, state, moment, policy, isForced }: Case): string[] =>
  unmetConditions(aRelease(release), aState(state), aMoment(moment), aPolicy(policy), isForced ?? false).map(
    (reason) => reason.code,
  );

const kernel: Artifact = {
  ...{ role: 'boot', path: 'images/boot/linux', lengthBytes: 9, sha256Hex: 'cd'.repeat(32) },
  ...{ verity: null, index: null, name: 'linux' },
};
const withKernel = { artifacts: [...aRelease().artifacts, kernel] };

const cases: Record<string, { given: Case; unmet: string[] }> = {
  'a newer release for this gateway is installed': { given: {}, unmet: [] },
  'the release that runs is not installed again': { given: { release: { sequence: 1 } }, unmet: ['up-to-date'] },
  'a staged release is not installed again': { given: { state: { staged: aStaged() } }, unmet: ['up-to-date'] },
  'an older release is refused': {
    given: { release: { sequence: 2 }, state: { records: { a: aRecord(3), b: null }, sequenceFloor: 3 } },
    unmet: ['below-floor'],
  },
  'the floor outlives a rollback': {
    given: { release: { sequence: 3 }, state: { sequenceFloor: 5 } },
    unmet: ['below-floor'],
  },
  'after a rollback the release at the floor may come again': {
    given: { release: { sequence: 5 }, state: { sequenceFloor: 5 } },
    unmet: [],
  },
  'a newer epoch allows a lower sequence': {
    given: { release: { sequence: 2, floorEpoch: 1 }, state: { sequenceFloor: 9 } },
    unmet: [],
  },
  'an older epoch is refused whatever the sequence': {
    given: { release: { sequence: 20 }, state: { floorEpoch: 1 } },
    unmet: ['below-floor'],
  },
  'a denied release is refused, forced or not': {
    given: {
      isForced: true,
      state: { denylist: [{ release: aRecord(2).release, reason: 'TEST', timeMs: 0 }] },
    },
    unmet: ['denied'],
  },
  'nothing is installed while the running system is unconfirmed': {
    given: { isForced: true, state: { isBootedConfirmed: false } },
    unmet: ['unconfirmed'],
  },
  'another product is refused': {
    given: { release: { compatible: 'other' }, isForced: true },
    unmet: ['incompatible'],
  },
  'another hardware revision is refused': {
    given: { release: { hardwareRevisions: ['r1'] }, isForced: true },
    unmet: ['hardware'],
  },
  'an unknown hardware revision matches no list': {
    given: { release: { hardwareRevisions: ['r1'] }, policy: { hardwareRevision: null } },
    unmet: ['hardware'],
  },
  'a release for a newer agent is refused': {
    given: { release: { agentVersionMin: '0.2.0' } },
    unmet: ['agent-version'],
  },
  'versions of the agent compare as versions': {
    given: { release: { agentVersionMin: '0.9.0' }, policy: { agentVersion: '0.10.0' } },
    unmet: [],
  },
  'a release that cannot read the data here is refused': {
    given: { release: { dataSchema: { oldest: 3, own: 4 } }, policy: { dataSchema: 2 } },
    unmet: ['data-schema'],
  },
  'a release larger than the slot is refused': {
    given: { policy: { slotSizeBytes: { a: 1 << 30, b: 1 << 20 } } },
    unmet: ['slot-size'],
  },
  'a kernel that has no place here is refused, whoever asks': {
    given: { release: withKernel, policy: { hasBootPlaces: false }, isForced: true },
    unmet: ['boot-set'],
  },
  'a kernel that has a place is no reason': { given: { release: withKernel }, unmet: [] },
  'a release without a kernel needs no place': { given: { policy: { hasBootPlaces: false } }, unmet: [] },
  'a release whose trial would outlast the dead man is refused, whoever asks': {
    given: { release: { health: { deadlineS: 1501, checks: [] } }, isForced: true },
    unmet: ['health-deadline'],
  },
  'the longest trial that the dead man leaves is allowed': {
    given: { release: { health: { deadlineS: 1500, checks: [] } } },
    unmet: [],
  },
  'a gateway whose dead man waits longer takes a longer trial': {
    given: { release: { health: { deadlineS: 7200, checks: [] } }, policy: { healthDeadlineMaxMs: 7_200_000 } },
    unmet: [],
  },
  'a stepping stone is waited for': { given: { release: { from: ['1.5'] } }, unmet: ['stepping-stone'] },
  'the running version is a stepping stone': { given: { release: { from: ['1.0'] } }, unmet: [] },
  'a wave that has not reached this gateway is waited for': {
    given: { release: { waves: [{ startAtS: 0, percent: 50 }] } },
    unmet: ['wave'],
  },
  'a wave that has reached this gateway is open': {
    given: { release: { waves: [{ startAtS: 0, percent: 51 }] } },
    unmet: [],
  },
  'hold, window, wave and manual setting are all named': {
    given: {
      release: { waves: [{ startAtS: 0, percent: 1 }] },
      state: { hold: { reason: 'harvest', sinceMs: 0 } },
      moment: { windows: { download: false, reboot: true } },
      policy: { isAutoInstall: false },
    },
    unmet: ['wave', 'hold', 'download-window', 'manual-install'],
  },
  'a technician passes over wave, hold, window and manual setting': {
    given: {
      isForced: true,
      release: { waves: [{ startAtS: 0, percent: 1 }] },
      state: { hold: { reason: null, sinceMs: 0 } },
      moment: { windows: { download: false, reboot: false } },
      policy: { isAutoInstall: false },
    },
    unmet: [],
  },
};

for (const [claim, { given, unmet }] of Object.entries(cases)) {
  test(claim, () => assert.deepEqual(codes(given), unmet));
}

test('the widest started wave counts', () => {
  const waves = [
    { startAtS: 100, percent: 10 },
    { startAtS: 200, percent: 60 },
    { startAtS: 300, percent: 100 },
  ];
  const at = (wallMs: number) => openWavePercent(aRelease({ waves }), aMoment({ wallMs }));
  assert.deepEqual([at(99_000), at(100_000), at(250_000), at(300_000)], [0, 10, 60, 100]);
});

test('a clock that was never set opens no later wave', () => {
  const waves = [
    { startAtS: 1000, percent: 10 },
    { startAtS: 5000, percent: 100 },
  ];
  const moment = aMoment({ isSynced: false, wallMs: 0 });
  assert.equal(openWavePercent(aRelease({ waves, publishedAtS: 1000 }), moment), 10);
});

test('a clock that no server has confirmed still opens waves, or they would never open there', () => {
  const waves = [{ startAtS: 5000, percent: 100 }];
  const moment = aMoment({ isSynced: false, wallMs: 6_000_000 });
  assert.equal(openWavePercent(aRelease({ waves, publishedAtS: 1000 }), moment), 100);
});
