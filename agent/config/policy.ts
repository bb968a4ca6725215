// The settings and the device's own facts as the core's Policy.

import type { Policy } from '../core/types.ts';
import type { Config } from './schema.ts';

/** What the settings cannot know. */
export type PolicyFacts = Pick<
  Policy,
  | 'compatible'
  | 'hardwareRevision'
  | 'agentVersion'
  | 'wavePercent'
  | 'slotSizeBytes'
  | 'footprintBytes'
  | 'hasBootPlaces'
>;

export const policyOf = (config: Config, facts: PolicyFacts): Policy => ({
  ...facts,
  dataSchema: config.dataSchema,
  pollIntervalMs: config.poll.intervalMs,
  pollJitter: config.poll.jitter,
  backoffMinMs: config.backoff.minMs,
  backoffMaxMs: config.backoff.maxMs,
  triesMax: config.triesMax,
  installAttemptsMax: config.installAttemptsMax,
  rebootAttemptsMax: config.rebootAttemptsMax,
  rebootTimeoutMs: config.rebootTimeoutMs,
  healthDeadlineMs: config.health.deadlineMs,
  healthDeadlineMaxMs: config.health.deadlineMaxMs,
  isAutoInstall: config.autoInstall,
  isAutoReboot: config.autoReboot,
  denylistMax: config.denylistMax,
});
