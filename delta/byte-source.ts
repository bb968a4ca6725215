// Where delta code reads from: an image in memory, a file, a slot. It asks for ranges and never for names.

import { OtadError } from '../agent/core/errors.ts';

export interface ByteSource {
  readonly lengthBytes: number;
  /** Exactly these bytes. Throws what the place throws. */
  read(offsetBytes: number, lengthBytes: number): Promise<Uint8Array>;
}

export const bytesSource = (bytes: Uint8Array): ByteSource => ({
  lengthBytes: bytes.length,
  read: async (offsetBytes, lengthBytes) => bytes.subarray(offsetBytes, offsetBytes + lengthBytes),
});

/** A range that lies within the source, or IMAGE_UNUSABLE: what points outside is damage, or somebody's intent. */
export const readRange = async (
  source: ByteSource,
  offsetBytes: number,
  lengthBytes: number,
  what: string,
): Promise<Buffer> => {
  const isInside =
    Number.isSafeInteger(offsetBytes) &&
    offsetBytes >= 0 &&
    lengthBytes >= 0 &&
    offsetBytes + lengthBytes <= source.lengthBytes;
  if (!isInside) {
    throw new OtadError('IMAGE_UNUSABLE', { problem: `${what} lies outside of the image`, offsetBytes, lengthBytes });
  }
  const bytes = await source.read(offsetBytes, lengthBytes);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
};
