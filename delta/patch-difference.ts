// What tells new bytes from old ones, as five streams: which old stretches in which order, where they differ (gaps, and a mask
// of four bytes from the first that differs), by how much, and bytes that are new. Writer and reader side by side.

import { ByteReader, ByteWriter, refusePatch } from './number-stream.ts';

/** In the order in which a group holds them. */
export const differenceStreams = ['control', 'gaps', 'masks', 'changes', 'fresh'] as const;
export type DifferenceStream = (typeof differenceStreams)[number];
export type DifferenceBytes = Readonly<Record<DifferenceStream, Uint8Array>>;

const maskBytes = 4;
const lengthMax = 2 ** 31;

/** A stretch of new bytes: old ones from `oldAt` with changes, or bytes that are new. */
export type Part =
  | { readonly kind: 'old'; readonly oldAt: number; readonly old: Uint8Array; readonly bytes: Uint8Array }
  | { readonly kind: 'fresh'; readonly bytes: Uint8Array };

export class DifferenceWriter {
  readonly #streams: Readonly<Record<DifferenceStream, ByteWriter>> = {
    control: new ByteWriter(),
    gaps: new ByteWriter(),
    masks: new ByteWriter(),
    changes: new ByteWriter(),
    fresh: new ByteWriter(),
  };
  /** A stretch that the next part may continue. */
  #kind: 'none' | Part['kind'] = 'none';
  #length = 0;
  #oldEnd = 0;
  #seek = 0;
  #gap = 0;
  #mask = 0;
  #maskAt = 0;

  get lengthBytes(): number {
    return Object.values(this.#streams).reduce((sum, { lengthBytes }) => sum + lengthBytes, 0);
  }

  add(part: Part): void {
    const isSame =
      this.#kind === part.kind &&
      (part.kind === 'fresh' || part.oldAt === this.#oldEnd) &&
      this.#length < lengthMax / 2;
    if (!isSame) {
      this.#flush();
      this.#kind = part.kind;
      if (part.kind === 'old') this.#seek = part.oldAt - this.#oldEnd;
    }
    this.#length += part.bytes.length;
    if (part.kind === 'fresh') {
      this.#streams.fresh.bytes(part.bytes);
      return;
    }
    this.#oldEnd = part.oldAt + part.bytes.length;
    for (let at = 0; at < part.bytes.length; at += 1) {
      this.#change(((part.bytes[at] as number) - (part.old[at] as number)) & 0xff);
    }
  }

  /** Old and fresh stretches in turn, so that their kinds need not be told. */
  #flush(): void {
    const { control } = this.#streams;
    if (this.#kind === 'old') {
      control.number(this.#length * 2);
      control.signed(this.#seek);
    } else if (this.#kind === 'fresh') control.number(this.#length * 2 + 1);
    this.#length = 0;
  }

  #change(change: number): void {
    if (this.#maskAt === 0) {
      if (change === 0) {
        this.#gap += 1;
        return;
      }
      this.#streams.gaps.number(this.#gap);
      this.#gap = 0;
    }
    if (change !== 0) {
      this.#mask |= 1 << this.#maskAt;
      this.#streams.changes.byte(change);
    }
    this.#maskAt += 1;
    if (this.#maskAt === maskBytes) this.#flushMask();
  }

  #flushMask(): void {
    this.#streams.masks.byte(this.#mask);
    this.#mask = 0;
    this.#maskAt = 0;
  }

  finish(): DifferenceBytes {
    this.#flush();
    if (this.#maskAt > 0) this.#flushMask();
    const { control, gaps, masks, changes, fresh } = this.#streams;
    return {
      control: control.finish(),
      gaps: gaps.finish(),
      masks: masks.finish(),
      changes: changes.finish(),
      fresh: fresh.finish(),
    };
  }
}

/** Old bytes to be added to a piece: `lengthBytes` from `oldAt` on, at `at` of the piece. */
export interface Addend {
  readonly at: number;
  readonly oldAt: number;
  readonly lengthBytes: number;
}

/** New bytes as far as the patch knows them; they are whole when the addends are added, byte by byte modulo 256. */
export interface Piece {
  readonly bytes: Buffer;
  readonly addends: readonly Addend[];
}

export class DifferenceReader {
  readonly #control: ByteReader;
  readonly #gaps: ByteReader;
  readonly #masks: ByteReader;
  readonly #changes: ByteReader;
  readonly #fresh: ByteReader;
  readonly #oldLength: number;
  #left = 0;
  #isFresh = false;
  #oldAt = 0;
  #gap = -1;
  #mask = 0;
  #maskLeft = 0;

  /** `oldLength`: bytes of the old space; nothing outside of it is ever asked for. */
  constructor(streams: DifferenceBytes, oldLength: number) {
    this.#control = new ByteReader(streams.control);
    this.#gaps = new ByteReader(streams.gaps);
    this.#masks = new ByteReader(streams.masks);
    this.#changes = new ByteReader(streams.changes);
    this.#fresh = new ByteReader(streams.fresh);
    this.#oldLength = oldLength;
  }

  #next(): void {
    const word = this.#control.number(lengthMax * 2);
    this.#isFresh = word % 2 === 1;
    this.#left = Math.floor(word / 2);
    if (this.#left === 0) refusePatch('a stretch of no bytes');
    if (this.#isFresh) return;
    this.#oldAt += this.#control.signed(Number.MAX_SAFE_INTEGER / 4);
    if (this.#oldAt < 0 || this.#oldAt + this.#left > this.#oldLength)
      refusePatch('a stretch outside of the old blocks');
  }

  /** Writes the changes of the next bytes that come from old ones. */
  #fill(bytes: Buffer, from: number, to: number): void {
    let at = from;
    while (at < to) {
      if (this.#maskLeft > 0) {
        if ((this.#mask & 1) === 1) bytes[at] = this.#changes.byte();
        this.#mask >>= 1;
        this.#maskLeft -= 1;
        at += 1;
        continue;
      }
      if (this.#gap < 0)
        this.#gap = this.#gaps.leftBytes === 0 ? Number.POSITIVE_INFINITY : this.#gaps.number(lengthMax);
      const passed = Math.min(this.#gap, to - at);
      at += passed;
      this.#gap -= passed;
      if (this.#gap > 0) return;
      this.#gap = -1;
      this.#mask = this.#masks.byte();
      if ((this.#mask & 1) === 0 || this.#mask >= 1 << maskBytes) refusePatch('a mask that cannot be');
      this.#maskLeft = maskBytes;
    }
  }

  /** The next bytes of the new space. */
  take(lengthBytes: number): Piece {
    const bytes = Buffer.alloc(lengthBytes);
    const addends: Addend[] = [];
    for (let at = 0; at < lengthBytes; ) {
      if (this.#left === 0) this.#next();
      const part = Math.min(this.#left, lengthBytes - at);
      if (this.#isFresh) bytes.set(this.#fresh.bytes(part), at);
      else {
        addends.push({ at, oldAt: this.#oldAt, lengthBytes: part });
        this.#fill(bytes, at, at + part);
        this.#oldAt += part;
      }
      this.#left -= part;
      at += part;
    }
    return { bytes, addends };
  }

  /** All that was said was used. */
  end(): void {
    if (this.#left > 0) refusePatch('a stretch runs past its group');
    for (const stream of [this.#control, this.#gaps, this.#masks, this.#changes, this.#fresh]) stream.end();
  }
}
