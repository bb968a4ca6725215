// Everything the core remembers. Plain JSON: it is stored as it stands, and every counter in it is bounded.

import type { Failure } from './errors.ts';
import type { OfferedFolder, Release, ReleaseRef, SlotName, SlotRecord, Verified, VerityParameters } from './types.ts';

/** Why an update starts here: by itself, or because a technician said so. */
export type Intent = 'update' | 'rollback';

export type Phase =
  | { readonly kind: 'idle' }
  /** `halted` is what the check interrupted, so that a check without news leaves it as it was. */
  | {
      readonly kind: 'checking';
      readonly isForced: boolean;
      readonly halted: Failure | null;
      readonly folder?: OfferedFolder;
    }
  | {
      readonly kind: 'fetching';
      readonly step: 'invalidate' | 'write';
      readonly slot: SlotName;
      readonly release: Verified<Release>;
      readonly isForced: boolean;
      readonly folder?: OfferedFolder;
    }
  | {
      readonly kind: 'verifying';
      readonly slot: SlotName;
      readonly release: Verified<Release>;
      readonly isForced: boolean;
      /** How the image came, for the history. */
      readonly brought?: string;
    }
  /** `state.staged` waits for its window. */
  | { readonly kind: 'staged' }
  | { readonly kind: 'activating'; readonly step: 'verify' | 'baseline' | 'flip' }
  | { readonly kind: 'rebooting'; readonly slot: SlotName; readonly sinceMs: number }
  /** `sinceMs` on the monotonic clock of this boot: a restarted agent does not get the whole deadline again. */
  | { readonly kind: 'assessing'; readonly sinceMs: number }
  | { readonly kind: 'confirming' }
  /** `verify` comes first when a technician asks for it, and is not the end of the trial yet; `sinceMs` is the trial's then. */
  | {
      readonly kind: 'reverting';
      readonly step: 'verify' | 'flip' | 'reboot';
      readonly sinceMs: number;
      readonly reason: string;
    }
  /** A technician marks a slot bad: the bootloader is being told. `revert` for the running slot, `retire` for the other one. */
  | {
      readonly kind: 'marking';
      readonly step: 'revert' | 'retire';
      readonly slot: SlotName;
      readonly reason: string;
      readonly wasConfirmed: boolean;
    }
  /** The running slot was marked bad by a technician: `state.staged` names it and why. The next reboot leaves it; never by itself. */
  | { readonly kind: 'leaving' }
  /** Needs attention; stays up, polls, and takes a newer release or a technician's command. */
  | { readonly kind: 'halted'; readonly failure: Failure };

export type PhaseKind = Phase['kind'];

/** A verified system in the other slot, on its way to become the running one. */
export interface Staged {
  readonly slot: SlotName;
  readonly release: ReleaseRef;
  readonly verity: VerityParameters;
  readonly intent: Intent;
  readonly isActivated: boolean;
  /** Set by a technician's `reboot` or `rollback`: windows and hold do not apply. */
  readonly isForced: boolean;
  /** The boot in which it was verified; verified again before the flip in any other. */
  readonly verifiedInBoot: string;
  /** Reboots asked for on behalf of this release. */
  readonly reboots: number;
  /** Boots of the trial seen so far. */
  readonly trialBoots: number;
  readonly healthDeadlineMs: number;
  readonly healthChecks: readonly string[];
  /** Required checks that failed on the old system as well, and so do not count against the new one. */
  readonly baselineFailing: readonly string[];
  readonly rollbackFloor: number;
  readonly floorEpoch: number;
  /** Not activated or rebooted before this point of the monotonic clock of this boot. */
  readonly notBeforeMs: number;
  /** What the technician said who asked for a rollback; null for an update. */
  readonly request: string | null;
  /** Set once it is known to have failed. */
  readonly failureReason: string | null;
}

/** What the release that is being installed has cost so far. An attempt that power, a restart or an order cut off is not in it. */
export interface InstallSpent {
  readonly releaseId: string;
  /** That were made over the network and came to an end, good or bad. */
  readonly attempts: number;
  readonly fetchedBytes: number;
}

export interface DenyEntry {
  readonly release: ReleaseRef;
  readonly reason: string;
  readonly timeMs: number;
}

/** One unmet condition, for `otactl why`. */
export interface Reason {
  readonly code:
    | 'up-to-date'
    | 'below-floor'
    | 'denied'
    | 'incompatible'
    | 'hardware'
    | 'agent-version'
    | 'wave'
    | 'stepping-stone'
    | 'slot-size'
    | 'boot-set'
    | 'health-deadline'
    | 'data-schema'
    | 'unconfirmed'
    | 'hold'
    | 'download-window'
    | 'reboot-window'
    | 'manual-install'
    | 'manual-reboot'
    | 'check-failed'
    | 'install-failed';
  readonly sentence: string;
}

export interface State {
  readonly schema: 1;
  /** Id of the newest plan; results of older ones are stale. */
  readonly plan: number;
  readonly bootId: string;
  readonly booted: SlotName;
  readonly isBootedConfirmed: boolean;
  readonly phase: Phase;
  readonly records: Readonly<Record<SlotName, SlotRecord | null>>;
  /** What runs, or ran last, as confirmed. */
  readonly confirmed: ReleaseRef | null;
  readonly sequenceFloor: number;
  readonly floorEpoch: number;
  readonly staged: Staged | null;
  readonly denylist: readonly DenyEntry[];
  readonly hold: { readonly reason: string | null; readonly sinceMs: number } | null;
  /** Failures in a row of check or install, for the backoff. */
  readonly failures: number;
  /** Failed installs of one release that were the release's own fault or the device's. */
  readonly installFailures: { readonly releaseId: string; readonly count: number } | null;
  /** null: nothing was fetched since a release was installed. */
  readonly installSpent: InstallSpent | null;
  /** When to ask the server next, on the monotonic clock of this boot. */
  readonly nextPollMs: number;
  readonly lastCheck: {
    readonly timeMs: number;
    readonly release: ReleaseRef | null;
    readonly failure: Failure | null;
    readonly reasons: readonly Reason[];
  } | null;
  /** What a person should look at. */
  readonly attention: Failure | null;
}
