// Turns a stream of any pieces into whole, large writes of one slot, hashing and building the dm-verity tree on the way.
// Memory: two transfer buffers and at most one run of the tree, whatever the size of the image. Reports a position only
// for bytes that the medium has taken; never decides whether they are the right ones. What is written is marked by its amount,
// and what comes over a slow link by time as well.

import { OtadError } from '../core/errors.ts';
import type { Hasher, Sealing, SlotHandle, TreeBuilder } from '../core/ports.ts';
import { ceilToBlock, floorToBlock } from '../core/slot-layout.ts';
import type { InstallTarget } from './install-target.ts';
import { createMarkPace, type MarkPace } from './mark-pace.ts';
import { isOnMedium, type Run, transferBytes } from './slot-medium.ts';

export interface Mark {
  readonly writtenBytes: number;
  readonly prefixSha256Hex: string;
}

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
  readonly #marks: MarkPace;
  #inFlight: Promise<void> = Promise.resolve();
  #isWriting = false;
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
    this.#marks = createMarkPace(ports.monoMs);
  }

  /** Bytes of the image given to the medium (or found on it) so far. */
  get positionBytes(): number {
    return this.#positionBytes;
  }

  /** The position, and what waits in memory to be written. */
  get arrivedBytes(): number {
    return this.#positionBytes + this.#fill;
  }

  /** Of what came over the network, the bytes that no mark covers. */
  get unmarkedBytes(): number {
    return this.#marks.unmarkedBytes;
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
    this.#markedBytes = 0;
    this.#marks.renew();
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
    this.#markedBytes = this.#positionBytes;
    this.#marks.renew();
  }

  /** The sink of the stream. Holds it back only while both buffers are in use. */
  push = (bytes: Uint8Array): void | Promise<void> => this.#take(bytes, false);

  /** The same for bytes that no network brought: a cut costs nothing of the link, so they are marked by their amount alone. */
  pushOwn(bytes: Uint8Array): void | Promise<void> {
    return this.#take(bytes, true);
  }

  /**
   * Marks what has arrived over a slow link if that is due before `comingBytes` more are here: for who brings chunks, which are
   * lost until they are whole.
   */
  async markIfDue(comingBytes: number): Promise<void> {
    if (this.#marks.isDue(comingBytes)) await this.writeOut(true);
  }

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

  #take(bytes: Uint8Array, isOwn: boolean): void | Promise<void> {
    const { lengthBytes, path } = this.#target.artifact;
    if (this.#isDraining || this.#isEnded) {
      this.#fault ??= new OtadError('INTERNAL', { step: 'write', reason: 'the stream was not held back' });
    } else if (this.arrivedBytes + bytes.length > lengthBytes) {
      this.#fault ??= new OtadError('FILE_TOO_LARGE', { path, lengthBytes });
    }
    const isFitting = this.#fill + bytes.length < transferBytes && !this.#isMarkNow(isOwn ? 0 : bytes.length);
    if (this.#fault === null && isFitting) {
      this.#arrive(bytes, isOwn);
      return undefined;
    }
    const held = this.#fault === null ? this.#drain(bytes, isOwn) : Promise.reject(this.#fault);
    held.catch(() => {}); // a stream that ends meanwhile does not look; the fault is kept
    return held;
  }

  /** A stream is not held back for a mark: while the medium is at work, what comes next asks again. */
  #isMarkNow(comingBytes: number): boolean {
    return !this.#isWriting && this.#marks.isDue(comingBytes);
  }

  #copy(bytes: Uint8Array): void {
    this.#buffers[this.#current].set(bytes, this.#fill);
    this.#fill += bytes.length;
  }

  #arrive(bytes: Uint8Array, isOwn: boolean): void {
    this.#copy(bytes);
    if (!isOwn) this.#marks.came(bytes.length);
  }

  async #drain(bytes: Uint8Array, isOwn: boolean): Promise<void> {
    this.#isDraining = true;
    try {
      for (let rest = bytes; rest.length > 0; ) {
        const room = transferBytes - this.#fill;
        this.#arrive(rest.subarray(0, room), isOwn);
        rest = rest.subarray(room);
        const isMarked = this.#isMarkNow(0);
        if (this.#fill < transferBytes && !isMarked) break;
        const isHeldUp = this.#isWriting;
        await this.#inFlight; // frees the other buffer
        if (isHeldUp) this.#marks.heldUp();
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
      if (isDue) {
        this.#markedBytes = this.#positionBytes;
        this.#marks.begin();
      }
      const finish = async (): Promise<void> => {
        await written;
        for (const run of runs) await handle.write(run.offsetBytes, run.bytes, this.#steady);
        if (mark !== null) await this.#marks.timed(() => this.#ports.checkpoint(mark));
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
