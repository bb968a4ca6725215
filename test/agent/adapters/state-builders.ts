// A state, records and history as the core would keep them, for tests of what stores or shows them.

import type { Phase, Staged, State } from '../../../agent/core/state.ts';
import type { HistoryEntry, Release, SlotRecord, Verified, VerityParameters } from '../../../agent/core/types.ts';

const verity: VerityParameters = {
  algorithm: 'sha256',
  blockSizeBytes: 4096,
  saltHex: 'aa'.repeat(32),
  rootHex: 'bb'.repeat(32),
  hashOffsetBytes: 8192,
};

export const aRelease = (over: Partial<Release> = {}): Verified<Release> =>
  ({
    id: 'r-7',
    version: '1.1',
    sequence: 7,
    channel: 'stable',
    compatible: 'test-gateway',
    hardwareRevisions: ['a1'],
    agentVersionMin: null,
    notesUrl: 'https://example.org/notes',
    floorEpoch: 0,
    rollbackFloor: 3,
    waves: [{ startAtS: 1_700_000_000, percent: 12.5 }],
    artifacts: [
      { role: 'rootfs', path: 'images/root.squashfs', lengthBytes: 8000, sha256Hex: 'cc'.repeat(32), verity },
    ],
    health: { deadlineS: 60, checks: ['agent-fetched-metadata'] },
    dataSchema: { oldest: 0, own: 1 },
    from: [],
    publishedAtS: 1_700_000_000,
    ...over,
  }) as Release as Verified<Release>;

const ref = { id: 'r-7', version: '1.1', sequence: 7 };

export const aRecord = (over: Partial<SlotRecord> = {}): SlotRecord => ({
  status: 'verified',
  release: ref,
  compatible: 'test-gateway',
  imageLengthBytes: 8000,
  imageSha256Hex: 'cc'.repeat(32),
  verity,
  writtenBytes: 8192,
  prefixSha256Hex: 'dd'.repeat(32),
  reason: null,
  ...over,
});

export const aStaged = (over: Partial<Staged> = {}): Staged => ({
  slot: 'b',
  release: ref,
  verity,
  intent: 'update',
  isActivated: false,
  isForced: false,
  verifiedInBoot: 'boot-1',
  reboots: 0,
  trialBoots: 0,
  healthDeadlineMs: 60_000,
  healthChecks: [],
  baselineFailing: ['10-modem'],
  rollbackFloor: 3,
  floorEpoch: 0,
  notBeforeMs: 0,
  failureReason: null,
  ...over,
});

export const aState = (over: Partial<State> = {}): State => ({
  schema: 1,
  plan: 12,
  bootId: 'boot-1',
  booted: 'a',
  isBootedConfirmed: true,
  phase: { kind: 'idle' },
  records: { a: aRecord(), b: null },
  confirmed: ref,
  sequenceFloor: 3,
  floorEpoch: 0,
  staged: aStaged(),
  denylist: [{ release: ref, reason: 'did not boot', timeMs: 5 }],
  hold: { reason: 'fair week', sinceMs: 9 },
  failures: 2,
  installFailures: { releaseId: 'r-7', count: 1 },
  nextPollMs: 12_345.5,
  lastCheck: {
    timeMs: 1,
    release: ref,
    failure: { code: 'HTTP_STATUS', class: 'transient', message: 'asked to wait', retryAfterS: 30 },
    reasons: [{ code: 'wave', sentence: 'Not this wave.' }],
  },
  attention: { code: 'DISK_FULL', class: 'device', message: 'The disk is full.' },
  ...over,
});

/** One of each phase that comes back as it was stored. */
export const phases: readonly Phase[] = [
  { kind: 'idle' },
  { kind: 'checking', isForced: true, halted: null },
  { kind: 'staged' },
  { kind: 'activating', step: 'baseline' },
  { kind: 'rebooting', slot: 'b', sinceMs: 4 },
  { kind: 'assessing', sinceMs: 0 },
  { kind: 'confirming' },
  { kind: 'reverting', step: 'flip', sinceMs: 4, reason: 'health' },
  { kind: 'halted', failure: { code: 'HEALTH_FAILED', class: 'release', message: 'no' } },
];

/** Phases that carry a verified release. */
export const installPhases: readonly Phase[] = [
  { kind: 'fetching', step: 'write', slot: 'b', release: aRelease(), isForced: true },
  { kind: 'verifying', slot: 'b', release: aRelease(), isForced: true },
];

export const anEntry = (over: Partial<HistoryEntry> = {}): HistoryEntry => ({
  type: 'confirmed',
  timeMs: 1_700_000_000_000,
  isTimeSynced: true,
  version: '1.1',
  slot: 'b',
  reason: null,
  code: null,
  ...over,
});
