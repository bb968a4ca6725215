// What the runtime needs from the world. Adapters implement these; the simulator implements them on a fake world.
// Every call that waits takes a signal and throws OtadError. Byte arguments are only valid during the call.

import type { BootFile } from './boot-set.ts';
import type { Effect, EffectResult } from './effects.ts';
import type { Failure } from './errors.ts';
import type { Command, Reply } from './events.ts';
import type { State } from './state.ts';
import type {
  ArtifactFile,
  BootStatus,
  CheckOutcome,
  HealthReport,
  HistoryEntry,
  Moment,
  OfferedFolder,
  Progress,
  Release,
  SlotName,
  SlotRecord,
  Verified,
  VerityParameters,
} from './types.ts';

/** One interface for every bootloader. Each change is one durable write, read back and compared (BOOT_WRITE_LOST). */
export interface BootControl {
  status(signal: AbortSignal): Promise<BootStatus>;
  /** Makes `slot` unselectable. Refuses the booted slot (SLOT_RUNNING). Idempotent. */
  invalidate(slot: SlotName, signal: AbortSignal): Promise<void>;
  /** Makes `slot` primary and pending with `tries` attempts and hands the bootloader its verity root. Idempotent. */
  activate(slot: SlotName, tries: number, verity: VerityParameters, signal: AbortSignal): Promise<void>;
  /** Makes `slot` good and primary. `running`: the verity root of what runs in it, for a bootloader that has lost it. Idempotent. */
  markGood(slot: SlotName, signal: AbortSignal, running?: VerityParameters): Promise<void>;
  /** Makes `slot` bad and the other one primary. Refuses when the other is not good (NO_ROLLBACK_TARGET). Idempotent. */
  markBad(slot: SlotName, signal: AbortSignal): Promise<void>;
  /**
   * Called right before every reboot that otad asks for: afterwards the next boot takes the primary. Nothing to do where the
   * bootloader reads all that from its own state; one that goes by an argument of the reboot counts and leaves it here.
   */
  prepareReboot(signal: AbortSignal): Promise<void>;
}

/** An exclusively opened slot. All reads come from the medium, not from the page cache. */
export interface SlotHandle {
  readonly sizeBytes: number;
  /** Offset and length are multiples of 4096. */
  write(offsetBytes: number, bytes: Uint8Array, signal: AbortSignal): Promise<void>;
  /** Everything written before is durable when this returns. */
  flush(signal: AbortSignal): Promise<void>;
  /** Exactly `lengthBytes` bytes, valid until the next call on this handle; throws SLOT_IO on a short read. */
  read(offsetBytes: number, lengthBytes: number, signal: AbortSignal): Promise<Uint8Array>;
  /** Memory that this medium writes from without a copy, where that makes a difference. */
  allocate?(lengthBytes: number): Uint8Array;
  /** Throws SLOT_BUSY when the slot's path leads elsewhere than when it was opened. */
  requireSamePlace(): Promise<void>;
  close(): Promise<void>;
}

/** A slot opened for reading only, the running one too. All reads come from the medium, not from the page cache. */
export type SlotReader = Pick<SlotHandle, 'sizeBytes' | 'read' | 'close'>;

export interface SlotDevices {
  /** Opens the slot exclusively for writing; refuses the running slot (SLOT_RUNNING) and a mounted or held one (SLOT_BUSY). */
  open(slot: SlotName, signal: AbortSignal): Promise<SlotHandle>;
  /** The record that the slot carries, or null where there is none that is whole. Also for the running slot. */
  readRecord(slot: SlotName, signal: AbortSignal): Promise<SlotRecord | null>;
  /** Opens the slot for reading, beside whoever writes or runs it. */
  openForReading(slot: SlotName, signal: AbortSignal): Promise<SlotReader>;
}

/** Called for each piece of a stream, in order. A returned promise holds the stream back until it settles. */
export type ByteSink = (bytes: Uint8Array) => void | Promise<void>;

/** The same, told which server sent the bytes: a name to be handed back to {@link ReleaseSource.distrust}, and nothing else. */
export type ServedSink = (bytes: Uint8Array, server: string) => void | Promise<void>;

/** Where releases come from: the servers of the settings, unless `from` says otherwise. */
export interface ReleaseSource {
  /** The same from a folder that a technician offers, under all the same checks. Absent where none can be offered. */
  from?(folder: OfferedFolder): ReleaseSource;
  /** Refreshes the signed metadata and reads the release document of this device's channel. Never throws for what a server can do. */
  check(signal: AbortSignal): Promise<CheckOutcome>;
  /**
   * Streams the artifact from `offsetBytes` to its signed end, one server going on where another one breaks off. Throws on anything else
   * than exactly these bytes. `onSkipped` is told of bytes before them that came all the same, from servers without ranges.
   */
  stream(
    file: ArtifactFile,
    offsetBytes: number,
    sink: ServedSink,
    signal: AbortSignal,
    onSkipped?: (lengthBytes: number) => void,
  ): Promise<void>;
  /**
   * Streams exactly the bytes of `range` of an artifact or of a file that goes with one; several at once are allowed. All of them are
   * one server's: where the sink hears of another one, they come from the first byte again. Throws HTTP_RANGE_MISMATCH where no
   * server gives just those. The bytes are as the server sent them: the caller checks them.
   */
  streamRange(file: ArtifactFile, range: ByteRange, sink: ServedSink, signal: AbortSignal): Promise<void>;
  /** Among how many servers wrong bytes may be had: whoever asks again does so no more often. */
  readonly serverCount: number;
  /** This server sent wrong bytes: from now on it is asked last. */
  distrust(server: string): void;
}

/** A stretch of a file. */
export interface ByteRange {
  readonly offsetBytes: number;
  readonly lengthBytes: number;
}

/** A chunk index: the pieces of an image in order, each with its digest. */
export interface ChunkTable {
  readonly imageLengthBytes: number;
  readonly imageSha256Hex: string;
  readonly count: number;
  /** Where the chunk begins in the image; for `count` the image's end. */
  offsetOf(chunk: number): number;
  digestOf(chunk: number): Uint8Array;
  /** True when these bytes are the chunk's. */
  isChunk(chunk: number, bytes: Uint8Array): boolean;
}

/** The part of `delta/` that the install pipeline finds chunks with. */
export interface Indexing {
  /** A longer index is not read. */
  readonly indexBytesMax: number;
  /** Throws INDEX_MALFORMED. Keeps the bytes. */
  decode(bytes: Uint8Array): ChunkTable;
  /** Bytes of the index that begins with this block; null where none begins there. */
  lengthOf(head: Uint8Array): number | null;
  /** For each chunk of `wanted` a chunk of `held` with the same bytes, or -1. */
  match(wanted: ChunkTable, held: ChunkTable): Int32Array;
}

/** Where the boot files of one release are kept until they lie in the slot's boot place. */
export interface BootStage {
  /**
   * Makes this the one set that is kept: what is there of it stays, everything else goes. Throws DISK_FULL before the first byte
   * of it is fetched.
   */
  begin(manifest: string, files: readonly BootFile[]): Promise<void>;
  /** Has `fetch` bring what is missing of the file. Throws TARGET_DIGEST_MISMATCH, and then nothing of the file stays. */
  fill(file: BootFile, fetch: (offsetBytes: number, sink: ByteSink) => Promise<void>): Promise<void>;
  /**
   * Has `bring` hand over the whole file from its first byte, from somewhere that costs nothing. What was fetched of it stays as it
   * is until all of it is here. 'other': that were not the bytes of the file, and nothing of them stays.
   */
  copy(file: BootFile, bring: (sink: ByteSink) => Promise<void>): Promise<'kept' | 'copied' | 'other'>;
  /** Throws BOOT_SET_INCOMPLETE unless every file of the manifest with this digest is there, byte for byte. */
  check(bootSetSha256Hex: string, signal: AbortSignal): Promise<void>;
  /** Never throws: the next set takes its place. */
  drop(): Promise<void>;
}

/** What the boot places of the slots hold already. Whoever asks knows the digest of a file, and learns nothing of any other. */
export interface HeldBootFiles {
  /**
   * Bytes of the file from `offsetBytes` on, as many as come at once. Null where this slot's place has no file of that name, length and
   * digest. May be out of date when the next ones come: the caller checks the whole.
   */
  read(slot: SlotName, file: BootFile, offsetBytes: number, signal: AbortSignal): Promise<Uint8Array | null>;
}

/** The same as whoever places them sees them: nothing about them is believed. No link is followed. */
export interface StagedBootFiles {
  /** null: none that can be read. */
  readManifest(): Promise<Uint8Array | null>;
  /** Length of what is there under the digest of the file; null: nothing. */
  lengthOf(file: BootFile): Promise<number | null>;
  /** What is there, at most `lengthBytes` of it, whatever its digest. */
  visit(file: BootFile, sink: ByteSink, signal: AbortSignal): Promise<void>;
}

/** The folder that the bootloader takes a slot's kernel from. Every change is durable when it returns. Throws BOOT_PLACE_UNUSABLE. */
export interface BootPlace {
  /** Everything in it that is not kept whatever the set, by its name in a manifest. */
  list(): Promise<readonly { readonly name: string; readonly lengthBytes: number }[]>;
  /** Boot control writes this file itself: no set may bring it. */
  isReserved(name: string): boolean;
  /** A file takes whole units. */
  room(): Promise<{ readonly freeBytes: number; readonly unitBytes: number }>;
  /** null: none. */
  readManifest(): Promise<Uint8Array | null>;
  writeManifest(text: string): Promise<void>;
  remove(name: string): Promise<void>;
  /** Makes the file, which is not there, of what `bring` hands to the sink. */
  create(name: string, bring: (sink: ByteSink) => Promise<void>): Promise<void>;
  /** Null: there is no such file. */
  lengthOf(name: string): Promise<number | null>;
  /** A stretch of the file, shorter at its end. Null: there is none. */
  read(name: string, offsetBytes: number, lengthBytes: number): Promise<Uint8Array | null>;
  /** The file as the medium has it, past the page cache where the file system allows that. False: there is none. */
  visit(name: string, sink: ByteSink, signal: AbortSignal): Promise<boolean>;
}

/** An image by what it is. */
export interface ImageId {
  readonly lengthBytes: number;
  readonly sha256Hex: string;
}

/** A piece of the image that a patch makes. */
export type PatchedPiece =
  | {
      readonly kind: 'bytes';
      /** In the new image. */
      readonly offsetBytes: number;
      /** Valid until the next piece is asked for, and not to be changed. */
      readonly bytes: Uint8Array;
      /** old: copied from the old image. made: by the patch. fetched: as it is, by whoever takes the pieces. */
      readonly origin: 'old' | 'made' | 'fetched';
    }
  | {
      /** missing: it does not come out as the patch says. left: to fetch it as it is takes less than to make it. */
      readonly kind: 'missing' | 'left';
      readonly offsetBytes: number;
      readonly lengthBytes: number;
      /** Whether these bytes are what the patch says should be there; absent where it says nothing of just these. */
      readonly isRight?: (bytes: Uint8Array) => boolean;
    };

/** What a patch is applied with. */
export interface PatchSupply {
  /** The old image, and whatever lies behind it. Exactly these bytes, and the caller's own; throws where there are none. */
  readonly base: { readonly lengthBytes: number; read(offsetBytes: number, lengthBytes: number): Promise<Uint8Array> };
  /** A part of the patch for which `isRight` holds; the next one is asked for when all pieces of the one before were taken. */
  readonly fetch: (range: ByteRange, isRight: (bytes: Uint8Array) => boolean) => Promise<Uint8Array>;
  readonly signal: AbortSignal;
}

/** A patch whose head is there and right. */
export interface OpenedPatch {
  /** Bytes of it that are fetched to make the image from this byte on. */
  leftBytes(fromBytes: number): number;
  /** The image from this byte on, without a gap. Throws PATCH_MALFORMED, CANCELLED and what `fetch` throws. */
  pieces(fromBytes: number, supply: PatchSupply): AsyncIterable<PatchedPiece>;
}

/** The part of `delta/` that the install pipeline applies patches with. */
export interface Patching {
  /**
   * `head`: the first bytes of a patch of `lengthBytes`, as signed. Starts the compression library; its memory goes with what is
   * opened. Throws PATCH_MALFORMED, PATCH_BASE_MISMATCH or PATCH_CODEC_MISMATCH.
   */
  open(
    head: Uint8Array,
    expected: { readonly lengthBytes: number; readonly base: ImageId; readonly image: ImageId },
  ): Promise<OpenedPatch>;
}

/** Running SHA-256. `digestHex` may be asked for in the middle and does not end it. */
export interface Hasher {
  update(bytes: Uint8Array): void;
  digestHex(): string;
}

/** Builds the dm-verity tree from the image's 4096-byte blocks in order. */
export interface TreeBuilder {
  /** Length is a multiple of 4096. */
  update(bytes: Uint8Array): void;
  /** Superblock and tree as they stand at `hashOffsetBytes`, without what went to a {@link TreeSink}, and the root. */
  finish(): { readonly rootHex: string; readonly bytes: Uint8Array };
}

/**
 * Takes whole blocks of the tree's lowest level while the image still streams, so that memory does not grow with the
 * image. `offsetBytes` counts from `hashOffsetBytes`; the bytes belong to the callee.
 */
export type TreeSink = (offsetBytes: number, bytes: Uint8Array) => void;

/** The pure parts of `verity/` that the install pipeline is built from. */
export interface Sealing {
  createHasher(): Hasher;
  /** `uuid` of the superblock is derived from the root by the implementation's caller: all zero here. */
  createTreeBuilder(verity: VerityParameters, imageLengthBytes: number, sink?: TreeSink): TreeBuilder;
  /** Bytes of superblock and tree for an image of this length. */
  treeLengthBytes(imageLengthBytes: number): number;
  /** One block: the record as its two copies are written in turn to the slot's last two blocks (slot-layout.ts). */
  encodeRecord(record: SlotRecord, serial: number): Uint8Array;
  /** The newest whole record of the last two blocks and its serial, or null. */
  decodeRecord(lastTwoBlocks: Uint8Array): { readonly record: SlotRecord; readonly serial: number } | null;
}

export interface Health {
  /**
   * A trial runs all checks, again until the required ones pass or the deadline is over. A baseline runs them once, each
   * with its whole time: what it finds failing excuses the new system, so it must be neither out of date nor hasty.
   */
  assess(
    request: Pick<Extract<Effect, { kind: 'assess' }>, 'purpose' | 'deadlineMs' | 'extraChecks'>,
    signal: AbortSignal,
  ): Promise<HealthReport>;
}

export interface Rebooter {
  /** Asks the system to reboot; returns when the request is accepted. `slot` is the one meant to be tried. */
  request(slot: SlotName, signal: AbortSignal): Promise<void>;
}

/** State and history. Losing it never changes what boots (I9). */
export interface Store {
  /** The stored state, or null when there is none that can be believed (new, lost, corrupt). */
  load(): Promise<State | null>;
  /** One durable transaction. */
  commit(state: State, history: readonly HistoryEntry[]): Promise<void>;
  /** The newest `limit` entries, newest first. */
  readHistory(limit: number): Promise<readonly HistoryEntry[]>;
}

/** What the daemon shows of itself. */
export interface Snapshot {
  readonly state: State;
  /** As read from the bootloader after the newest change of it. */
  readonly boot: BootStatus;
  readonly progress: Progress | null;
}

/** What the REST API is built on; the runtime implements it. */
export interface AgentControl {
  submit(command: Command): Promise<Reply>;
  snapshot(): Snapshot;
  /** Called after every change of state or progress. Returns the way to stop. */
  subscribe(listener: (snapshot: Snapshot) => void): () => void;
}

export interface Clock {
  now(): Moment;
  /** Calls `fire` once, `delayMs` from now, unless cancelled. */
  setTimer(delayMs: number, fire: () => void): { cancel(): void };
}

export interface RuntimeLog {
  /** What was decided and done; one line each. */
  info(message: string, fields: Readonly<Record<string, unknown>>): void;
  warn(message: string, fields: Readonly<Record<string, unknown>>): void;
  /** An entry of the history, after its commit. */
  history(entry: HistoryEntry): void;
}

/** What the journal says of an install beside its history: how it goes on, and what an attempt brought that ended early. */
export type TransferNote = 'install-progress' | 'attempt-failed';

export interface TransferLog {
  /** One line with the MESSAGE_ID of its kind. */
  transfer(note: TransferNote, message: string, fields: Readonly<Record<string, unknown>>): void;
}

/** Runs one kind of effect to its result. Throws OtadError; the runtime turns that into a failed result. */
export type Executors = {
  readonly [K in Effect['kind']]: (
    effect: Extract<Effect, { kind: K }>,
    signal: AbortSignal,
    onProgress: (progress: Progress) => void,
  ) => Promise<Extract<EffectResult, { kind: K }>['value']>;
};

/** The install pipeline as the executors use it; `agent/runtime/install.ts` builds it over {@link InstallPorts}. */
export interface Installer {
  /**
   * Writes image and verity tree, resuming what the slot already holds of the same image. The record stays `writing`. With
   * `isReadBackNext` the slot stays open for `verify`, which then reads through the descriptor that wrote.
   */
  write(
    request: {
      readonly slot: SlotName;
      readonly release: Verified<Release>;
      readonly folder?: OfferedFolder;
      readonly isReadBackNext?: boolean;
    },
    signal: AbortSignal,
    onProgress: (progress: Progress) => void,
  ): Promise<SlotRecord>;
  /** Reads the whole slot back from the medium; only this makes a record `verified`. With `isLookOnly` it leaves the record as it is. */
  verify(
    request: { readonly slot: SlotName; readonly rootHex: string; readonly isLookOnly?: boolean },
    signal: AbortSignal,
    onProgress: (progress: Progress) => void,
  ): Promise<SlotRecord>;
  /** Nobody will read back what a write left open: it is closed. Never throws. */
  letGo(): Promise<void>;
  /** The slot is about to be handed to the bootloader. */
  markActivated(slot: SlotName, signal: AbortSignal): Promise<SlotRecord | null>;
  /** The boot files that were fetched for it are not needed any more. Never throws. */
  dropBootSet(): Promise<void>;
  /** The slot's release failed here, and why. */
  retire(slot: SlotName, reason: string, signal: AbortSignal): Promise<SlotRecord | null>;
}

/** What the install pipeline needs. */
export interface InstallPorts {
  readonly slots: SlotDevices;
  readonly source: ReleaseSource;
  readonly sealing: Sealing;
  readonly indexing: Indexing;
  readonly bootStage: BootStage;
  readonly heldBootFiles: HeldBootFiles;
  readonly patching: Patching;
  /** For rates, and for how long ago something failed; never goes back. */
  readonly monoMs: () => number;
  /** The time that one attempt has for all that it fetches. */
  readonly openBudget: () => TimeBudget;
  readonly log: Pick<RuntimeLog, 'info' | 'warn'>;
}

/** Ends `work` with HTTP_TIMEOUT when the time is used up that all work under this budget has together. */
export type TimeBudget = <T>(signal: AbortSignal, work: (bounded: AbortSignal) => Promise<T>) => Promise<T>;

/** Where a slot of the settings really is. */
export interface SlotPlace {
  /** `/dev/mmcblk0p2`; null for a regular file, or where there is nothing. */
  readonly device: string | null;
  readonly disk: string | null;
  /** GPT label and uuid of the partition. */
  readonly label: string | null;
  readonly uuid: string | null;
  /** 0 where there is nothing. */
  readonly sizeBytes: number;
}

/** What a technician wants to see of boot control, as it stands on the device at this moment. */
export interface BootInspection {
  readonly bootloader: 'uboot' | 'systemd-boot' | 'tryboot';
  /** What shows that it is this one. */
  readonly foundBy: string;
  /** null where it cannot be read now; `problems` says why. */
  readonly status: BootStatus | null;
  readonly slots: Readonly<Record<SlotName, SlotPlace>>;
  readonly problems: readonly Failure[];
  /** The bootloader's own variables, entries or files, by name, for support. */
  readonly records: readonly { readonly name: string; readonly value: string }[];
}

export type InspectBoot = (signal: AbortSignal) => Promise<BootInspection>;
