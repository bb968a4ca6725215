// What can happen. Time and chance come in beside the event, as a Moment.

import type { EffectDone } from './effects.ts';
import type { ErrorCode, Failure } from './errors.ts';
import type { BootStatus, OfferedFolder, ReleaseRef, SlotName, SlotRecord } from './types.ts';

/** What the device itself shows at start, whatever the database says. */
export interface DeviceFacts {
  /** Differs after every boot of the kernel, equal after a restart of the service. */
  readonly bootId: string;
  readonly boot: BootStatus;
  readonly records: Readonly<Record<SlotName, SlotRecord | null>>;
  /** What the running image says of itself (os-release), for a slot that came without a record from the factory. */
  readonly bootedRelease: ReleaseRef | null;
  /** What is wrong here already, for a person: settings left out, a slot that is missing. */
  readonly problems: readonly Failure[];
}

export type Command =
  | { readonly command: 'check' }
  /** Check and install now, windows and hold notwithstanding; signatures, floor and denylist stand. `folder`: from there alone. */
  | { readonly command: 'install'; readonly folder?: OfferedFolder }
  /** Activate what is staged (if it is not yet) and reboot now. */
  | { readonly command: 'reboot' }
  | { readonly command: 'confirm' }
  | { readonly command: 'rollback'; readonly reason: string | null }
  /** Nobody boots this slot any more; null: the one that does not run. The running one is left at the next reboot, whoever asks for it. */
  | { readonly command: 'mark-bad'; readonly slot: SlotName | null; readonly reason: string | null }
  | { readonly command: 'hold'; readonly reason: string | null }
  | { readonly command: 'release-hold' }
  /** Takes a release off the denylist, so that it may be tried again. */
  | { readonly command: 'undeny'; readonly releaseId: string };

export type Event =
  | { readonly kind: 'started'; readonly facts: DeviceFacts }
  | { readonly kind: 'tick' }
  /** `boot`: as the bootloader was last read, so that what it would refuse is refused at once. */
  | { readonly kind: 'command'; readonly command: Command; readonly boot?: BootStatus }
  | { readonly kind: 'effect-done'; readonly done: EffectDone };

/** The answer to a command: what happens now, or the code that says why not. */
export type Reply =
  | { readonly isAccepted: true; readonly message: string }
  | { readonly isAccepted: false; readonly code: ErrorCode; readonly message: string };
