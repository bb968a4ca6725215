// Whole numbers as bytes: 7 bits a byte, low ones first. The reader refuses what is longer than it must be, runs past the end, or is not used up.

import { OtadError } from '../agent/core/errors.ts';

export const refusePatch = (reason: string): never => {
  throw new OtadError('PATCH_MALFORMED', { reason });
};

const growthBytes = 4096;

export class ByteWriter {
  #bytes = Buffer.alloc(growthBytes);
  #length = 0;

  #reserve(lengthBytes: number): void {
    if (this.#length + lengthBytes <= this.#bytes.length) return;
    const larger = Buffer.alloc(Math.max(this.#bytes.length * 2, this.#length + lengthBytes));
    this.#bytes.copy(larger, 0, 0, this.#length);
    this.#bytes = larger;
  }

  get lengthBytes(): number {
    return this.#length;
  }

  byte(value: number): void {
    this.#reserve(1);
    this.#bytes[this.#length] = value;
    this.#length += 1;
  }

  word(value: number): void {
    this.#reserve(4);
    this.#length = this.#bytes.writeUInt32LE(value >>> 0, this.#length);
  }

  number(value: number): void {
    let left = value;
    for (; left > 127; left = Math.floor(left / 128)) this.byte((left % 128) + 128);
    this.byte(left);
  }

  /** Small ones of either sign stay short. */
  signed(value: number): void {
    this.number(value < 0 ? -value * 2 - 1 : value * 2);
  }

  bytes(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  finish(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }
}

export class ByteReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get leftBytes(): number {
    return this.#bytes.length - this.#at;
  }

  byte(): number {
    const value = this.#bytes[this.#at];
    if (value === undefined) return refusePatch('a stream ends too early');
    this.#at += 1;
    return value;
  }

  word(): number {
    return this.bytes(4).readUInt32LE(0);
  }

  number(max: number): number {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = this.byte();
      value += (byte % 128) * scale;
      if (value > max || (byte === 0 && scale > 1)) return refusePatch('a number is out of its range');
      if (byte < 128) return value;
    }
  }

  signed(max: number): number {
    const value = this.number(max * 2);
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }

  bytes(lengthBytes: number): Buffer {
    if (lengthBytes > this.leftBytes) return refusePatch('a stream ends too early');
    this.#at += lengthBytes;
    return this.#bytes.subarray(this.#at - lengthBytes, this.#at);
  }

  end(): void {
    if (this.leftBytes > 0) refusePatch('a stream holds more than is used');
  }
}
