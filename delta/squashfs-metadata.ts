// Squashfs metadata blocks: a 16-bit header with length and 'stored as it is', then up to 8 KiB of table, compressed. Reads runs
// of them as one stretch of bytes. Every length is bounded before anything is decompressed.

import { OtadError } from '../agent/core/errors.ts';
import { type ByteSource, readRange } from './byte-source.ts';

export const metadataBlockBytes = 8192;
const headerBytes = 2;
const storedFlag = 0x8000;

/** Decompresses one block of the image's compressor to at most `bytesMax`. Throws on damage. */
export type Decompress = (bytes: Uint8Array, bytesMax: number) => Uint8Array | Promise<Uint8Array>;

export interface MetadataBlock {
  /** Bytes in the image, the header included. */
  readonly lengthBytes: number;
  readonly bytes: Buffer;
}

/** The block that starts at `offsetBytes` of the image. Throws IMAGE_UNUSABLE. */
export const readMetadataBlock = async (
  source: ByteSource,
  offsetBytes: number,
  decompress: Decompress,
): Promise<MetadataBlock> => {
  const header = (await readRange(source, offsetBytes, headerBytes, 'a metadata block')).readUInt16LE(0);
  const storedBytes = header & (storedFlag - 1);
  if (storedBytes === 0 || storedBytes > metadataBlockBytes) {
    throw new OtadError('IMAGE_UNUSABLE', {
      problem: 'a metadata block has a length that cannot be',
      offsetBytes,
      storedBytes,
    });
  }
  const stored = await readRange(source, offsetBytes + headerBytes, storedBytes, 'a metadata block');
  if ((header & storedFlag) !== 0) return { lengthBytes: headerBytes + storedBytes, bytes: stored };
  try {
    const bytes = await decompress(stored, metadataBlockBytes);
    if (bytes.length > metadataBlockBytes) throw new RangeError('it grows beyond 8 KiB');
    return { lengthBytes: headerBytes + storedBytes, bytes: Buffer.from(bytes) };
  } catch (cause) {
    if (cause instanceof OtadError) throw cause;
    const problem = `a metadata block does not decompress: ${(cause as Error).message}`;
    throw new OtadError('IMAGE_UNUSABLE', { problem, offsetBytes }, { cause });
  }
};

/**
 * All blocks from `from` up to `to` (offsets in the image), one after another. Holds at most `bytesMax` and one block more, in
 * blocks that are full but for the last: else every byte of the image could cost a buffer. Throws IMAGE_UNUSABLE.
 */
export const readMetadataRun = async (
  source: ByteSource,
  from: number,
  to: number,
  decompress: Decompress,
  bytesMax: number,
): Promise<Buffer> => {
  const pieces: Buffer[] = [];
  let lengthBytes = 0;
  let at = from;
  while (at < to) {
    const block = await readMetadataBlock(source, at, decompress);
    at += block.lengthBytes;
    lengthBytes += block.bytes.length;
    if (lengthBytes > bytesMax)
      throw new OtadError('IMAGE_UNUSABLE', { problem: 'a table unpacks to more than it can hold', bytesMax });
    if (at < to && block.bytes.length < metadataBlockBytes)
      throw new OtadError('IMAGE_UNUSABLE', { problem: 'a metadata block ends before its table', offsetBytes: at });
    pieces.push(block.bytes);
  }
  if (at !== to)
    throw new OtadError('IMAGE_UNUSABLE', { problem: 'a table does not end where the next begins', offsetBytes: at });
  return Buffer.concat(pieces);
};
