// What the core can ask the world to do. Every effect is idempotent, because a cut between commit and effect replays it,
// and gives exactly one event that carries its plan id.

import type { Failure } from './errors.ts';
import type {
  CheckOutcome,
  HealthReport,
  OfferedFolder,
  Progress,
  Release,
  SlotName,
  SlotRecord,
  Verified,
  VerityParameters,
} from './types.ts';

export type Effect =
  /** `folder`: of that, instead of the servers. */
  | { readonly kind: 'check'; readonly plan: number; readonly folder?: OfferedFolder }
  /** Boot control first, durably; then the first byte may be written (I3). */
  | { readonly kind: 'invalidate'; readonly plan: number; readonly slot: SlotName }
  | {
      readonly kind: 'write';
      readonly plan: number;
      readonly slot: SlotName;
      readonly release: Verified<Release>;
      readonly folder?: OfferedFolder;
    }
  /**
   * Reads the whole slot back past the page cache and compares its verity root with the record's. With `isLookOnly` nothing is
   * written, whatever is found: what a way back holds must already be verified, and while the running system is on trial
   * that slot is the last confirmed one (I2).
   */
  | {
      readonly kind: 'verify';
      readonly plan: number;
      readonly slot: SlotName;
      readonly rootHex: string;
      readonly isLookOnly: boolean;
    }
  | {
      readonly kind: 'assess';
      readonly plan: number;
      readonly purpose: 'baseline' | 'trial';
      readonly deadlineMs: number;
      readonly extraChecks: readonly string[];
    }
  | {
      readonly kind: 'activate';
      readonly plan: number;
      readonly slot: SlotName;
      readonly tries: number;
      readonly verity: VerityParameters;
    }
  | { readonly kind: 'reboot'; readonly plan: number; readonly slot: SlotName }
  | { readonly kind: 'confirm'; readonly plan: number; readonly slot: SlotName }
  /** The running slot becomes bad, the other one primary. */
  | { readonly kind: 'revert'; readonly plan: number; readonly slot: SlotName }
  /** The other slot failed: unselectable, and its record says why. */
  | { readonly kind: 'retire'; readonly plan: number; readonly slot: SlotName; readonly reason: string };

export type EffectKind = Effect['kind'];

/** The value that each kind of effect gives when it succeeds. */
export type EffectResult =
  | { readonly kind: 'check'; readonly value: CheckOutcome }
  | { readonly kind: 'invalidate'; readonly value: null }
  | { readonly kind: 'write'; readonly value: SlotRecord }
  | { readonly kind: 'verify'; readonly value: SlotRecord }
  | { readonly kind: 'assess'; readonly value: HealthReport }
  | { readonly kind: 'activate'; readonly value: null }
  | { readonly kind: 'reboot'; readonly value: null }
  | { readonly kind: 'confirm'; readonly value: null }
  | { readonly kind: 'revert'; readonly value: null }
  | { readonly kind: 'retire'; readonly value: null };

/** How the image came in the attempt that ended well. */
export type Brought = Pick<Progress, 'fetchedBytes' | 'copiedBytes' | 'rebuiltBytes' | 'detour'>;

/** An effect's end, as an event. */
export type EffectDone =
  /** `brought`: of a write that told how it went. */
  | (EffectResult & { readonly ok: true; readonly plan: number; readonly brought?: Brought })
  | {
      readonly kind: EffectKind;
      readonly ok: false;
      readonly plan: number;
      readonly failure: Failure;
      /** Bytes that came over the network before it failed: an attempt that got somewhere is soon tried again. */
      readonly fetchedBytes: number;
    };
