// Turns a stream of any pieces into whole, large writes of one slot, hashing and building the dm-verity tree on the way.
// Memory: two transfer buffers and at most one run of the tree, whatever the size of the image. Reports a position only
// for bytes that the medium has taken; never decides whether they are the right ones. What comes over a slow link is marked
// every second, so that a cut costs no more than the link brings in one; what comes fast, by its amount alone.

import { OtadError } from '../core/errors.ts';
import type { Hasher, Sealing, SlotHandle, TreeBuilder } from '../core/ports.ts';
import { ceilToBlock, floorToBlock } from '../core/slot-layout.ts';
import type { InstallTarget } from './install-target.ts';
import { isOnMedium, type Run, transferBytes } from './slot-medium.ts';

export interface Mark {
  readonly writtenBytes: number;
  readonly prefixSha256Hex: string;
}

/** A mark is 4 KiB and two flushes: however slow the link, less than a chunk is not worth one. */
export const markBytesMin = 128 * 1024;
/** So long what arrives may wait for its mark, where the medium takes it as fast as it comes. */
export const markEveryMs = 1000;

export interface SlotWriterPorts {
  readonly handle: SlotHandle;
  readonly sealing: Sealing;
  readonly monoMs: () => number;
  /** Marked after so many bytes, however fast they come. */
  readonly checkpointBytes: number;
  /** Makes a mark durable. */
  readonly checkpoint: (mark: Mark) => Promise<void>;
}

export class SlotWriter {
  readonly #ports: SlotWriterPorts;
  readonly #target: InstallTarget;
  readonly #buffers: readonly [Uint8Array, Uint8Array];
  /**
   * Writes under way are finished, not dropped, when the step is cancelled: the stream obeys the caller's signal, and what
   * is here is bounded by one transfer and one checkpoint.
   */
  readonly #steady = new AbortController().signal;
  #hasher: Hasher;
  #tree: TreeBuilder;
  #runs: Run[] = [];
  #current: 0 | 1 = 0;
  #fill = 0;
  #positionBytes = 0;
  #markedBytes = 0;
  #markedAtMs: number;
  #inFlight: Promise<void> = Promise.resolve();
  #isWriting = false;
  /** Since the last mark the stream has waited for the medium: then the link is not what is slow, and marks would slow it further. */
  #isHeldUp = false;
  #isDraining = false;
  #isEnded = false;
  #fault: unknown = null;

  constructor(ports: SlotWriterPorts, target: InstallTarget) {
    this.#ports = ports;
    this.#target = target;
    const memory = ports.handle.allocate?.(2 * transferBytes) ?? new Uint8Array(2 * transferBytes);
    this.#buffers = [memory.subarray(0, transferBytes), memory.subarray(transferBytes)];
    this.#hasher = ports.sealing.createHasher();
    this.#tree = this.#createTree();
    this.#markedAtMs = ports.monoMs();
  }

  /** Bytes of the image given to the medium (or found on it) so far. */
  get positionBytes(): number {
    return this.#positionBytes;
  }

  /** The position, and what waits in memory to be written. */
  get arrivedBytes(): number {
    return this.#positionBytes + this.#fill;
  }

  /** The slot's own failure, or one of the stream against the signed length; nothing more can be written after it. */
  get fault(): unknown {
    return this.#fault;
  }

  mark(): Mark {
    return { writtenBytes: this.#positionBytes, prefixSha256Hex: this.#hasher.digestHex() };
  }

  /** Forgets everything: the next byte is the image's first. */
  restart(): void {
    this.#fill = 0;
    this.#isEnded = false;
    this.#hasher = this.#ports.sealing.createHasher();
    this.#tree = this.#createTree();
    this.#runs = [];
    this.#positionBytes = 0;
    this.#noteMark();
  }

  /**
   * Takes `lengthBytes` bytes that stand on the medium already, padded to blocks, into hash and tree. The part of the tree
   * that they complete is compared with what stands there and only written where it differs.
   */
  async adopt(padded: Uint8Array, lengthBytes: number): Promise<void> {
    const { handle } = this.#ports;
    if (lengthBytes === padded.length) {
      this.#digest(padded, lengthBytes);
    } else {
      // The image's digest does not cover its padding, the tree does: never believe what stands there.
      const whole = new Uint8Array(padded.length);
      whole.set(padded.subarray(0, lengthBytes));
      const offsetBytes = this.#positionBytes;
      this.#digest(whole, lengthBytes);
      await handle.write(offsetBytes, whole, this.#steady);
    }
    for (const run of this.#takeRuns()) {
      if (await isOnMedium(handle, run, this.#steady)) continue;
      await handle.write(run.offsetBytes, run.bytes, this.#steady);
    }
    this.#noteMark();
  }

  /**
   * True when what has arrived over a slow link should be marked before `comingBytes` more are here: for who brings chunks,
   * which are lost until they are whole.
   */
  isMarkDue(comingBytes: number): boolean {
    if (this.#isHeldUp || this.arrivedBytes + comingBytes - this.#markedBytes < markBytesMin) return false;
    return this.#ports.monoMs() - this.#markedAtMs >= markEveryMs;
  }

  /** The sink of the stream. Holds it back only while both buffers are in use. */
  push = (bytes: Uint8Array): void | Promise<void> => {
    const { lengthBytes, path } = this.#target.artifact;
    if (this.#isDraining || this.#isEnded) {
      this.#fault ??= new OtadError('INTERNAL', { step: 'write', reason: 'the stream was not held back' });
    } else if (this.arrivedBytes + bytes.length > lengthBytes) {
      this.#fault ??= new OtadError('FILE_TOO_LARGE', { path, lengthBytes });
    }
    if (this.#fault === null && this.#fill + bytes.length < transferBytes && !this.isMarkDue(bytes.length)) {
      this.#copy(bytes);
      return undefined;
    }
    const held = this.#fault === null ? this.#drain(bytes) : Promise.reject(this.#fault);
    held.catch(() => {}); // a stream that ends meanwhile does not look; the fault is kept
    return held;
  };

  /**
   * Gives the medium all whole blocks that have arrived and waits until it has taken them, so that a process that dies loses
   * less than a block. `isMarked` also makes the mark durable. Not while a push is held back.
   */
  async writeOut(isMarked: boolean): Promise<void> {
    await this.#inFlight;
    if (this.#isEnded) return; // `settle` writes it
    this.#commit(floorToBlock(this.#fill), isMarked);
    await this.#inFlight;
  }

  /** After the stream: writes all whole blocks that have arrived, and at the end of the image the padded last one. */
  async settle(): Promise<void> {
    this.#isEnded = true;
    await this.#inFlight;
    const isComplete = this.arrivedBytes === this.#target.artifact.lengthBytes;
    this.#commit(isComplete ? this.#fill : floorToBlock(this.#fill));
    await this.#inFlight;
  }

  /** Completes the tree, gives its root, and the way to write what of it is not on the medium yet. */
  sealTree(): { readonly rootHex: string; readonly write: () => Promise<void> } {
    const { rootHex, bytes } = this.#tree.finish();
    const write = async (): Promise<void> => {
      for (const run of this.#takeRuns()) await this.#ports.handle.write(run.offsetBytes, run.bytes, this.#steady);
      await this.#ports.handle.write(this.#target.verity.hashOffsetBytes, bytes, this.#steady);
    };
    return { rootHex, write };
  }

  #createTree(): TreeBuilder {
    const { verity, artifact } = this.#target;
    return this.#ports.sealing.createTreeBuilder(verity, artifact.lengthBytes, (offsetBytes, bytes) =>
      this.#runs.push({ offsetBytes: verity.hashOffsetBytes + offsetBytes, bytes }),
    );
  }

  #takeRuns(): readonly Run[] {
    return this.#runs.splice(0);
  }

  #copy(bytes: Uint8Array): void {
    this.#buffers[this.#current].set(bytes, this.#fill);
    this.#fill += bytes.length;
  }

  async #drain(bytes: Uint8Array): Promise<void> {
    this.#isDraining = true;
    try {
      for (let rest = bytes; rest.length > 0; ) {
        const room = transferBytes - this.#fill;
        this.#copy(rest.subarray(0, room));
        rest = rest.subarray(room);
        const isMarked = this.isMarkDue(0);
        if (this.#fill < transferBytes && !isMarked) break;
        if (this.#isWriting) this.#isHeldUp = true;
        await this.#inFlight; // frees the other buffer
        if (this.#isEnded) break; // the stream broke meanwhile: `settle` writes what is in the buffer
        this.#commit(floorToBlock(this.#fill), isMarked);
      }
    } finally {
      this.#isDraining = false;
    }
  }

  #digest(padded: Uint8Array, lengthBytes: number): void {
    this.#hasher.update(padded.subarray(0, lengthBytes));
    this.#tree.update(padded);
    this.#positionBytes += lengthBytes;
  }

  #noteMark(): void {
    this.#markedBytes = this.#positionBytes;
    this.#markedAtMs = this.#ports.monoMs();
    this.#isHeldUp = false;
  }

  /** Starts to write the first `lengthBytes` of the current buffer, hashes meanwhile, and turns to the other buffer. */
  #commit(lengthBytes: number, isMarked = false): void {
    const buffer = this.#buffers[this.#current];
    const rest = this.#fill - lengthBytes;
    if (lengthBytes > 0 || (isMarked && this.#positionBytes > this.#markedBytes)) {
      const { handle } = this.#ports;
      const padded = buffer.subarray(0, ceilToBlock(lengthBytes)).fill(0, lengthBytes);
      const written = padded.length > 0 ? handle.write(this.#positionBytes, padded, this.#steady) : null;
      this.#digest(padded, lengthBytes);
      const runs = this.#takeRuns();
      const isDue = isMarked || this.#positionBytes - this.#markedBytes >= this.#ports.checkpointBytes;
      const mark = isDue ? this.mark() : null;
      if (isDue) this.#noteMark();
      const finish = async (): Promise<void> => {
        await written;
        for (const run of runs) await handle.write(run.offsetBytes, run.bytes, this.#steady);
        if (mark !== null) await this.#ports.checkpoint(mark);
        this.#isWriting = false;
      };
      this.#isWriting = true;
      this.#inFlight = finish();
      // Whoever waits next gets the failure; the stream may end before anyone does.
      this.#inFlight.catch((error: unknown) => {
        this.#fault ??= error;
      });
      this.#current = this.#current === 0 ? 1 : 0;
    }
    this.#fill = 0;
    if (rest > 0) this.#copy(buffer.subarray(lengthBytes, lengthBytes + rest));
  }
}
