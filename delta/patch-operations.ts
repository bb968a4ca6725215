// What a patch tells to do, in the order of the new image. Pure: bytes to operations and back, every length within bounds.

import { crc32 } from 'node:zlib';
import { type ByteReader, ByteWriter, refusePatch } from './number-stream.ts';
import { metadataBlockBytes } from './squashfs-metadata.ts';

/**
 * copy: bytes of the old image as they are. raw: bytes as the difference gives them. block: compressed. table and
 * stored-table: a metadata block, compressed or as it is, with its header of two bytes in front.
 */
export type OperationKind = 'copy' | 'raw' | 'block' | 'table' | 'stored-table';
const kinds: readonly OperationKind[] = ['copy', 'raw', 'block', 'table', 'stored-table'];

export interface Operation {
  readonly kind: OperationKind;
  /** Bytes of the new image that it makes. */
  readonly lengthBytes: number;
  /** Where in the old image; 0 but for copies. */
  readonly oldOffset: number;
  /** Bytes that it takes from the difference; 0 for copies. */
  readonly rawBytes: number;
  /** CRC-32 of what it makes: finds damage and accidents, gives no trust. */
  readonly checksum: number;
}

/** One piece of memory at a time, and as much is fetched when a checksum differs. */
export const copyBytesMax = 256 * 1024;
export const rawBytesMax = 1024 * 1024;
export const tableHeaderBytes = 2;
const storedFlag = 0x8000;

export const checksumOf = (bytes: Uint8Array): number => crc32(bytes) >>> 0;

/** The header that squashfs puts before a metadata block. */
export const tableHeader = (lengthBytes: number, isStored: boolean): Buffer => {
  const header = Buffer.alloc(tableHeaderBytes);
  header.writeUInt16LE(lengthBytes | (isStored ? storedFlag : 0), 0);
  return header;
};

/** A word for kind and length, then what the kind needs. Checksums are a stream of their own: nothing compresses them. */
export class OperationWriter {
  readonly #operations = new ByteWriter();
  readonly #checksums = new ByteWriter();
  #oldEnd = 0;

  get lengthBytes(): number {
    return this.#operations.lengthBytes + this.#checksums.lengthBytes;
  }

  add({ kind, lengthBytes, oldOffset, rawBytes, checksum }: Operation): void {
    this.#operations.byte(kinds.indexOf(kind));
    this.#operations.number(lengthBytes);
    if (kind === 'copy') {
      this.#operations.signed(oldOffset - this.#oldEnd);
      this.#oldEnd = oldOffset + lengthBytes;
    } else if (kind === 'block' || kind === 'table') this.#operations.number(rawBytes);
    this.#checksums.word(checksum);
  }

  finish(): { readonly operations: Uint8Array; readonly checksums: Uint8Array } {
    return { operations: this.#operations.finish(), checksums: this.#checksums.finish() };
  }
}

export interface OperationBounds {
  readonly blockBytes: number;
  readonly oldLengthBytes: number;
}

/** Bytes of the difference that an operation of the kind takes. */
const rawBytesOf = (
  kind: Exclude<OperationKind, 'copy'>,
  lengthBytes: number,
  operations: ByteReader,
  { blockBytes }: OperationBounds,
): number => {
  switch (kind) {
    case 'raw':
      return lengthBytes;
    case 'block':
      return operations.number(blockBytes);
    case 'table':
      return operations.number(metadataBlockBytes);
    case 'stored-table':
      return lengthBytes - tableHeaderBytes;
  }
};

const longest = (kind: OperationKind, { blockBytes }: OperationBounds): number => {
  switch (kind) {
    case 'copy':
      return copyBytesMax;
    case 'raw':
      return rawBytesMax;
    case 'block':
      return blockBytes;
    case 'table':
    case 'stored-table':
      return metadataBlockBytes + tableHeaderBytes;
  }
};

/** The operations of one group. Throws PATCH_MALFORMED. */
export function* readOperations(
  operations: ByteReader,
  checksums: ByteReader,
  bounds: OperationBounds,
): Generator<Operation> {
  let oldEnd = 0;
  while (operations.leftBytes > 0) {
    const kind = kinds[operations.byte()] ?? refusePatch('an operation that is not known');
    const lengthBytes = operations.number(longest(kind, bounds));
    if (lengthBytes === 0) return refusePatch('an operation that makes nothing');
    let oldOffset = 0;
    let rawBytes = 0;
    if (kind === 'copy') {
      oldOffset = oldEnd + operations.signed(Number.MAX_SAFE_INTEGER / 4);
      if (oldOffset < 0 || oldOffset + lengthBytes > bounds.oldLengthBytes)
        return refusePatch('a copy from outside of the old image');
      oldEnd = oldOffset + lengthBytes;
    } else {
      rawBytes = rawBytesOf(kind, lengthBytes, operations, bounds);
      if (rawBytes < 1) return refusePatch('an operation that is made of nothing');
    }
    yield { kind, lengthBytes, oldOffset, rawBytes, checksum: checksums.word() };
  }
  checksums.end();
}
