// Whether a release is for this device now. Answers with every unmet condition, not with the first: `otactl why` shows them all.

import { bootArtifactsOf } from './boot-set.ts';
import type { Reason, State } from './state.ts';
import { type Moment, otherSlot, type Policy, type Release, type ReleaseRef } from './types.ts';
import { compareVersions } from './version.ts';

const because = (code: Reason['code'], sentence: string): Reason => ({ code, sentence });

export const refOf = (release: ReleaseRef): ReleaseRef => ({
  id: release.id,
  version: release.version,
  sequence: release.sequence,
});

/** The release that runs, or ran last: from what the booted slot says of itself, else what was confirmed last. */
const runningRef = (state: State): ReleaseRef | null => state.records[state.booted]?.release ?? state.confirmed;

/** Conditions of the release itself, which no command overrides. */
const fitReasons = (release: Release, state: State, policy: Policy): Reason[] => {
  const reasons: Reason[] = [];
  if (release.compatible !== policy.compatible) {
    reasons.push(
      because('incompatible', `${release.version} is for ${release.compatible}; this gateway is ${policy.compatible}.`),
    );
  }
  const { hardwareRevisions } = release;
  if (hardwareRevisions.length > 0 && !hardwareRevisions.includes(policy.hardwareRevision ?? '')) {
    reasons.push(
      because(
        'hardware',
        `${release.version} is for hardware ${hardwareRevisions.join(', ')}; this is ${policy.hardwareRevision ?? 'unknown'}.`,
      ),
    );
  }
  if (release.agentVersionMin !== null && compareVersions(policy.agentVersion, release.agentVersionMin) < 0) {
    reasons.push(
      because(
        'agent-version',
        `${release.version} needs otad ${release.agentVersionMin}; this is ${policy.agentVersion}.`,
      ),
    );
  }
  if (release.dataSchema.oldest > policy.dataSchema) {
    reasons.push(
      because(
        'data-schema',
        `${release.version} reads data from schema ${release.dataSchema.oldest} on; the data here is ${policy.dataSchema}.`,
      ),
    );
  }
  const rootfs = release.artifacts.find((artifact) => artifact.role === 'rootfs');
  const slotBytes = policy.slotSizeBytes[otherSlot(state.booted)];
  if (rootfs !== undefined && policy.footprintBytes(rootfs.lengthBytes) > slotBytes) {
    reasons.push(
      because(
        'slot-size',
        `${release.version} takes ${policy.footprintBytes(rootfs.lengthBytes)} bytes; slot ${otherSlot(state.booted)} has ${slotBytes}.`,
      ),
    );
  }
  if (!policy.hasBootPlaces && bootArtifactsOf(release).length > 0) {
    reasons.push(
      because(
        'boot-set',
        `${release.version} brings a kernel of its own, and nothing says where the slots' boot files lie here: set bootFolders of the bootloader.`,
      ),
    );
  }
  if (release.health.deadlineS * 1000 > policy.healthDeadlineMaxMs) {
    reasons.push(
      because(
        'health-deadline',
        `${release.version} asks for ${release.health.deadlineS} s to become healthy; a trial has at most ${policy.healthDeadlineMaxMs / 1000} s here: lengthen otad-deadman.timer and health.deadlineMaxMs.`,
      ),
    );
  }
  return reasons;
};

const orderReasons = (release: Release, state: State): Reason[] => {
  const running = runningRef(state);
  const isNewEpoch = release.floorEpoch > state.floorEpoch;
  if (release.floorEpoch < state.floorEpoch || (!isNewEpoch && release.sequence < state.sequenceFloor)) {
    return [
      because(
        'below-floor',
        `${release.version} (sequence ${release.sequence}) is older than the floor ${state.sequenceFloor}.`,
      ),
    ];
  }
  if (!isNewEpoch && running !== null && release.sequence <= running.sequence) {
    return [because('below-floor', `${release.version} is not newer than ${running.version}, which runs.`)];
  }
  if (release.from.length > 0 && !release.from.includes(running?.version ?? '')) {
    return [
      because(
        'stepping-stone',
        `${release.version} installs from ${release.from.join(', ')}; this runs ${running?.version ?? 'an unknown version'}.`,
      ),
    ];
  }
  return [];
};

/**
 * The share of devices that may install now, in percent. A clock that is not synchronised counts from the publication on, or a
 * gateway without a time server would wait for ever.
 */
export const openWavePercent = (release: Release, moment: Moment): number => {
  if (release.waves.length === 0) return 100;
  const wallS = moment.wallMs / 1000;
  const nowS = moment.isSynced ? wallS : Math.max(wallS, release.publishedAtS);
  return Math.max(0, ...release.waves.filter((wave) => wave.startAtS <= nowS).map((wave) => wave.percent));
};

const timingReasons = (release: Release, state: State, moment: Moment, policy: Policy): Reason[] => {
  const reasons: Reason[] = [];
  const percent = openWavePercent(release, moment);
  if (policy.wavePercent(release.id) >= percent) {
    reasons.push(
      because('wave', `${release.version} is released to ${percent} % of gateways so far; this one comes later.`),
    );
  }
  if (state.hold !== null) {
    reasons.push(
      because('hold', `An operator holds updates${state.hold.reason === null ? '' : `: ${state.hold.reason}`}.`),
    );
  }
  if (!moment.windows.download) {
    reasons.push(because('download-window', `${release.version} is downloaded when the download window opens.`));
  }
  if (!policy.isAutoInstall) {
    reasons.push(because('manual-install', `${release.version} is available; install it with: otactl install`));
  }
  return reasons;
};

/**
 * Every reason why `release` is not installed now; empty means install.
 * `isForced` (a technician's `install`) passes over wave, hold, window and the manual setting, over nothing else.
 */
export const unmetConditions = (
  release: Release,
  state: State,
  moment: Moment,
  policy: Policy,
  isForced: boolean,
): readonly Reason[] => {
  if (state.isBootedConfirmed && runningRef(state)?.id === release.id) {
    return [because('up-to-date', `${release.version} runs already.`)];
  }
  if (state.staged?.release.id === release.id) {
    return [because('up-to-date', `${release.version} is installed already and waits to be started.`)];
  }
  const denied = state.denylist.find((entry) => entry.release.id === release.id);
  return [
    ...(denied === undefined ? [] : [because('denied', `${release.version} is on the denylist: ${denied.reason}`)]),
    ...(state.isBootedConfirmed
      ? []
      : [because('unconfirmed', 'The running system is not confirmed yet; the other slot is the only way back.')]),
    ...fitReasons(release, state, policy),
    ...orderReasons(release, state),
    ...(isForced ? [] : timingReasons(release, state, moment, policy)),
  ];
};
