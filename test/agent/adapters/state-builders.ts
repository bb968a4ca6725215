// A state, records and history as the core would keep them, for tests of what stores or shows them.

import type { Phase, State } from '../../../agent/core/state.ts';
import type { HistoryEntry } from '../../../agent/core/types.ts';
import { aRecord, aRelease, aStaged } from '../../support/builders.ts';

const release = aRelease({ waves: [{ startAtS: 1_700_000_000, percent: 12.5 }], hardwareRevisions: ['a1'] });
const { id, version, sequence } = release;
const ref = { id, version, sequence };

export const aState = (over: Partial<State> = {}): State => ({
  schema: 1,
  plan: 12,
  bootId: 'boot-1',
  booted: 'a',
  isBootedConfirmed: true,
  phase: { kind: 'idle' },
  records: { a: aRecord(2), b: null },
  confirmed: ref,
  sequenceFloor: 3,
  floorEpoch: 0,
  staged: aStaged({ baselineFailing: ['10-modem'], rollbackFloor: 3 }),
  denylist: [{ release: ref, reason: 'did not boot', timeMs: 5 }],
  hold: { reason: 'fair week', sinceMs: 9 },
  failures: 2,
  installFailures: { releaseId: 'r-7', count: 1 },
  installSpent: { releaseId: 'r-7', attempts: 2, fetchedBytes: 1_234_567 },
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
  { kind: 'fetching', step: 'write', slot: 'b', release, isForced: true },
  { kind: 'verifying', slot: 'b', release, isForced: true },
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
