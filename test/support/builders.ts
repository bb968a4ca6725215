// Values for tests, whole and plausible unless a test says otherwise: `aRelease({ sequence: 7 })`.

import type { DeviceFacts } from '../../agent/core/events.ts';
import type { Staged, State } from '../../agent/core/state.ts';
import type {
  BootStatus,
  Moment,
  Policy,
  Release,
  SlotName,
  SlotRecord,
  Verified,
  VerityParameters,
} from '../../agent/core/types.ts';

export const aVerity = (fill: string): VerityParameters => ({
  algorithm: 'sha256',
  blockSizeBytes: 4096,
  saltHex: '5a'.repeat(32),
  rootHex: fill.repeat(64).slice(0, 64),
  hashOffsetBytes: 1 << 20,
});

/** A release as a verifier would hand it out; tests of the core need no signatures. */
export const aRelease = (over: Partial<Release> = {}): Verified<Release> => {
  const sequence = over.sequence ?? 2;
  const release: Release = {
    id: `gateway-${sequence}`,
    version: `1.${sequence - 1}`,
    sequence,
    channel: 'stable',
    compatible: 'acme-gateway',
    hardwareRevisions: [],
    agentVersionMin: null,
    notesUrl: null,
    floorEpoch: 0,
    rollbackFloor: 0,
    waves: [],
    artifacts: [
      {
        role: 'rootfs',
        path: `gateway-${sequence}.squashfs`,
        lengthBytes: 1 << 20,
        sha256Hex: 'ab'.repeat(32),
        verity: aVerity(String(sequence)),
        index: null,
      },
    ],
    health: { deadlineS: 60, checks: [] },
    dataSchema: { oldest: 1, own: 1 },
    from: [],
    publishedAtS: 1_790_000_000,
    ...over,
  };
  return release as Verified<Release>;
};

export const aRecord = (sequence: number, over: Partial<SlotRecord> = {}): SlotRecord => {
  const release = aRelease({ sequence });
  return {
    status: 'activated',
    release: { id: release.id, version: release.version, sequence },
    compatible: release.compatible,
    imageLengthBytes: 1 << 20,
    imageSha256Hex: 'ab'.repeat(32),
    verity: aVerity(String(sequence)),
    writtenBytes: 1 << 20,
    prefixSha256Hex: 'ab'.repeat(32),
    reason: null,
    ...over,
  };
};

export const aMoment = (over: Partial<Moment> = {}): Moment => ({
  monoMs: 1_000_000,
  wallMs: 1_800_000_000_000,
  isSynced: true,
  random: 0.5,
  windows: { download: true, reboot: true },
  ...over,
});

export const aPolicy = (over: Partial<Policy> = {}): Policy => ({
  compatible: 'acme-gateway',
  hardwareRevision: 'r2',
  agentVersion: '0.1.0',
  wavePercent: () => 50,
  slotSizeBytes: { a: 64 << 20, b: 64 << 20 },
  footprintBytes: (lengthBytes) => lengthBytes + (1 << 16),
  dataSchema: 1,
  hasBootPlaces: true,
  pollIntervalMs: 3_600_000,
  pollJitter: 0.2,
  backoffMinMs: 30_000,
  backoffMaxMs: 3_600_000,
  triesMax: 3,
  installAttemptsMax: 3,
  rebootAttemptsMax: 3,
  rebootTimeoutMs: 120_000,
  healthDeadlineMs: 60_000,
  healthDeadlineMaxMs: 1_500_000,
  isAutoInstall: true,
  isAutoReboot: true,
  denylistMax: 16,
  ...over,
});

export const aBoot = (over: Partial<BootStatus> = {}): BootStatus => ({
  booted: 'a',
  primary: 'a',
  slots: { a: { state: 'good', triesLeft: null }, b: { state: 'bad', triesLeft: 0 } },
  bootedRoot: null,
  evidence: [],
  ...over,
});

/** The boot status in which slot b is on trial: running, or about to. */
export const aTrialBoot = (booted: SlotName, triesLeft = 2): BootStatus =>
  aBoot({
    booted,
    primary: 'b',
    slots: { a: { state: 'good', triesLeft: null }, b: { state: 'pending', triesLeft } },
  });

export const someFacts = (over: Partial<DeviceFacts> = {}): DeviceFacts => ({
  bootId: 'boot-1',
  boot: aBoot(),
  records: { a: aRecord(1), b: null },
  bootedRelease: null,
  problems: [],
  ...over,
});

/** Release 1 runs in slot a, confirmed; nothing is under way. */
export const aState = (over: Partial<State> = {}): State => ({
  schema: 1,
  plan: 10,
  bootId: 'boot-1',
  booted: 'a',
  isBootedConfirmed: true,
  phase: { kind: 'idle' },
  records: { a: aRecord(1), b: null },
  confirmed: aRecord(1).release,
  sequenceFloor: 1,
  floorEpoch: 0,
  staged: null,
  denylist: [],
  hold: null,
  failures: 0,
  installFailures: null,
  installSpent: null,
  nextPollMs: 2_000_000,
  lastCheck: null,
  attention: null,
  ...over,
});

/** Release 2 in slot b, verified in this boot. */
export const aStaged = (over: Partial<Staged> = {}): Staged => ({
  slot: 'b',
  release: aRecord(2).release,
  verity: aVerity('2'),
  intent: 'update',
  isActivated: false,
  isForced: false,
  verifiedInBoot: 'boot-1',
  reboots: 0,
  trialBoots: 0,
  healthDeadlineMs: 60_000,
  healthChecks: [],
  baselineFailing: [],
  rollbackFloor: 0,
  floorEpoch: 0,
  notBeforeMs: 0,
  request: null,
  failureReason: null,
  ...over,
});
