// The words of the domain: slots, releases, boot facts, history. Types only; everything else imports from here.

import type { Failure } from './errors.ts';

export type SlotName = 'a' | 'b';
export const slotNames: readonly SlotName[] = ['a', 'b'];
export const otherSlot = (slot: SlotName): SlotName => (slot === 'a' ? 'b' : 'a');

/** good: confirmed. pending: activated but not confirmed. bad: must not be booted (failed, or being written). */
export type SlotState = 'good' | 'pending' | 'bad';

export interface SlotBoot {
  readonly state: SlotState;
  /** Boot attempts that the bootloader still grants; null where it does not count for this slot. */
  readonly triesLeft: number | null;
}

/** Who was there at the boot, and what it says of the slot that runs. */
export interface BootWitness {
  readonly name: 'kernel command line' | 'root device' | 'device tree';
  readonly says: string;
  /** null: it is silent about the slot. */
  readonly slot: SlotName | null;
}

/** What the bootloader and the running kernel testify. Never inferred from the database. */
export interface BootStatus {
  /** The slot that runs now, by lineage (kernel command line, root device), never by a flag of ours. */
  readonly booted: SlotName;
  /** The slot that the bootloader tries next. */
  readonly primary: SlotName;
  readonly slots: Readonly<Record<SlotName, SlotBoot>>;
  /** dm-verity root that the running kernel was started with (lower-case hex), or null when it carries none. */
  readonly bootedRoot: string | null;
  /**
   * The dm-verity root that the bootloader holds for each slot; null where the slot was invalidated and not activated since.
   * Tells a slot that failed from one that was never tried. Absent where the bootloader keeps none.
   */
  readonly roots?: Readonly<Record<SlotName, string | null>>;
  /** Who says which slot runs. Absent where nobody asked them one by one. */
  readonly witnesses?: readonly BootWitness[];
  /** Sentences for a technician: what was read, and from where. */
  readonly evidence: readonly string[];
}

/** A release by name: enough to speak about it and to keep it on a list. */
export interface ReleaseRef {
  readonly id: string;
  readonly version: string;
  readonly sequence: number;
}

export type ArtifactRole = 'rootfs' | 'boot' | 'uki' | 'app';

/** dm-verity parameters of an image. Digests and salt are lower-case hex; blocks are 4096 bytes, SHA-256, format 1. */
export interface VerityParameters {
  readonly algorithm: 'sha256';
  readonly blockSizeBytes: 4096;
  readonly saltHex: string;
  readonly rootHex: string;
  /** Where the superblock starts in the slot: the image length rounded up to a block. */
  readonly hashOffsetBytes: number;
}

/** A file that goes with an artifact, itself a signed target. */
export interface ArtifactFile {
  readonly path: string;
  readonly lengthBytes: number;
  readonly sha256Hex: string;
}

/** A file that makes the image from another one that a gateway may hold. */
export interface ArtifactPatch extends ArtifactFile {
  /** Its first bytes, which name the digests of all others: with them each part can be believed as it comes. */
  readonly headLengthBytes: number;
  readonly headSha256Hex: string;
  /** The image to start from, by SHA-256 and by dm-verity root. */
  readonly baseSha256Hex: string;
  readonly baseRootHex: string;
}

export interface Artifact {
  readonly role: ArtifactRole;
  /** TUF target path of the file. */
  readonly path: string;
  readonly lengthBytes: number;
  readonly sha256Hex: string;
  /** Set on role `rootfs`. */
  readonly verity: VerityParameters | null;
  /** The chunk index of the image; null where it has none: then it comes whole. */
  readonly index: ArtifactFile | null;
  /** On role `boot`, and there alone: the file's name in the slot's boot place (boot-set.ts). */
  readonly name?: string;
  /** Absent: no patches. */
  readonly patches?: readonly ArtifactPatch[] | undefined;
}

/** From `startAt` (Unix seconds) on, the first `percent` of all devices may install. */
export interface Wave {
  readonly startAtS: number;
  readonly percent: number;
}

/** A release as its signed document names it; `verity/release-document.ts` has the bounds of every field. */
export interface Release extends ReleaseRef {
  readonly channel: string;
  readonly compatible: string;
  /** Empty: every revision. */
  readonly hardwareRevisions: readonly string[];
  readonly agentVersionMin: string | null;
  readonly notesUrl: string | null;
  /** Raised under root signatures only: a newer epoch allows a lower sequence. */
  readonly floorEpoch: number;
  /** After this release is confirmed, sequences below are refused. */
  readonly rollbackFloor: number;
  readonly waves: readonly Wave[];
  readonly artifacts: readonly Artifact[];
  readonly health: { readonly deadlineS: number; readonly checks: readonly string[] };
  /** Data schemas that this release can read: [oldest, its own]. */
  readonly dataSchema: { readonly oldest: number; readonly own: number };
  /** Stepping stones: versions this release installs from; empty: any. */
  readonly from: readonly string[];
  readonly publishedAtS: number;
}

declare const verified: unique symbol;
/** A value that the verifier in `verity/` has checked against signed metadata. Only that folder makes one. */
export type Verified<T> = T & { readonly [verified]: true };

/** writing: bytes up to `writtenBytes` are durable. verified: read back whole. activated: handed to the bootloader. denied: failed here. */
export type SlotRecordStatus = 'writing' | 'verified' | 'activated' | 'denied';

/** What a slot says of itself: kept in the slot's own last blocks, so it outlives the database. */
export interface SlotRecord {
  readonly status: SlotRecordStatus;
  readonly release: ReleaseRef;
  readonly compatible: string;
  readonly imageLengthBytes: number;
  readonly imageSha256Hex: string;
  readonly verity: VerityParameters;
  readonly writtenBytes: number;
  /** SHA-256 of the first `writtenBytes` of the slot, hex: proves a resumed prefix. */
  readonly prefixSha256Hex: string;
  /** SHA-256 of the manifest of the release's boot set (boot-set.ts). Absent: it has none. */
  readonly bootSetSha256Hex?: string;
  /** What was brought was not this image, and nobody could say by whose fault: it comes whole, each attempt from one server. Only while it is being written. */
  readonly isFullOnly?: true;
  /** Why it is denied, for status `denied`. */
  readonly reason: string | null;
}

/** Time and chance, as they come in with every event. */
export interface Moment {
  /** Milliseconds since some point of this boot; never jumps. */
  readonly monoMs: number;
  /** Milliseconds since 1970, as the local clock says. */
  readonly wallMs: number;
  /** True when the clock is known to be synchronised. */
  readonly isSynced: boolean;
  /** Uniform in [0, 1), fresh for every event. */
  readonly random: number;
  /** Which maintenance windows are open now. */
  readonly windows: { readonly download: boolean; readonly reboot: boolean };
}

/** Settings and identity that decisions depend on. */
export interface Policy {
  readonly compatible: string;
  readonly hardwareRevision: string | null;
  readonly agentVersion: string;
  /** Uniform in [0, 100): the place of this device in a rollout, from its id and the release id. */
  readonly wavePercent: (releaseId: string) => number;
  readonly slotSizeBytes: Readonly<Record<SlotName, number>>;
  /** Bytes that an image of this length takes in a slot: image, verity tree and slot record. */
  readonly footprintBytes: (imageLengthBytes: number) => number;
  readonly dataSchema: number;
  /** There are settings that say where the slots' boot files lie. */
  readonly hasBootPlaces: boolean;
  readonly pollIntervalMs: number;
  /** Share of the interval by which polls are spread, 0 to 1. */
  readonly pollJitter: number;
  readonly backoffMinMs: number;
  readonly backoffMaxMs: number;
  readonly triesMax: number;
  readonly installAttemptsMax: number;
  readonly rebootAttemptsMax: number;
  readonly rebootTimeoutMs: number;
  readonly healthDeadlineMs: number;
  /** A trial that lasts longer is ended by otad-deadman.timer, however healthy it is. */
  readonly healthDeadlineMaxMs: number;
  readonly isAutoInstall: boolean;
  readonly isAutoReboot: boolean;
  readonly denylistMax: number;
}

/** A folder that a technician offers as the source of one install; `id` means it for as long as the offer stands. */
export interface OfferedFolder {
  readonly id: string;
  /** As the technician named it, for people. It is never opened here. */
  readonly path: string;
}

export type HistoryType =
  | 'started'
  | 'store-rebuilt'
  | 'check-failed'
  | 'install-started'
  | 'install-failed'
  | 'installed'
  | 'activated'
  | 'activate-failed'
  | 'reboot-requested'
  | 'trial-started'
  | 'health-failed'
  | 'confirmed'
  | 'rolled-back'
  | 'rollback-requested'
  | 'rollback-failed'
  | 'mark-bad-requested'
  | 'marked-bad'
  | 'mark-bad-failed'
  | 'denied'
  | 'undenied'
  | 'held'
  | 'released'
  | 'halted';

export interface HistoryEntry {
  readonly type: HistoryType;
  /** Milliseconds since 1970 by the local clock; see `isTimeSynced`. */
  readonly timeMs: number;
  readonly isTimeSynced: boolean;
  readonly version: string | null;
  readonly slot: SlotName | null;
  /** A sentence; null where the type says it all. */
  readonly reason: string | null;
  readonly code: string | null;
}

export interface CheckResult {
  readonly name: string;
  readonly isRequired: boolean;
  readonly isPassed: boolean;
  /** Why it failed: exit status, signal, time-out, last line of output. */
  readonly reason: string | null;
  readonly durationMs: number;
}

export interface HealthReport {
  readonly results: readonly CheckResult[];
}

export interface Progress {
  readonly slot: SlotName;
  readonly version: string;
  readonly step: 'reading' | 'fetching' | 'verifying';
  readonly doneBytes: number;
  readonly totalBytes: number;
  /** Bytes that came over the network, or from the offered folder, in this attempt. */
  readonly fetchedBytes: number;
  /** Bytes of image and boot files that this gateway's own slots and their boot places gave in this attempt. */
  readonly copiedBytes: number;
  /** Bytes of the image that were rebuilt from a patch in this attempt. */
  readonly rebuiltBytes: number;
  /** What the network was spared so far in this attempt: bytes copied and rebuilt, less the index or patch they took. */
  readonly savedBytes: number;
  /** Of this step, over the last seconds: of the network while fetching, of the medium otherwise. Null: not known yet. */
  readonly bytesPerS: number | null;
  /** Of this step. Null: not known yet. */
  readonly secondsLeft: number | null;
  /** Why a way that costs less was left in this attempt; null: none was. */
  readonly detour: string | null;
}

/** Outcome of asking the server: a release (which may be the one that runs), or why there is none. */
export type CheckOutcome =
  | { readonly kind: 'release'; readonly release: Verified<Release> }
  | { readonly kind: 'failed'; readonly failure: Failure };
