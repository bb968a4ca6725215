// The chunk index of an image that lies in the repository. An image that cannot be cut is published all the same: gateways
// fetch it whole, and the publisher is told why.

import { type FileHandle, open } from 'node:fs/promises';
import { OtadError } from '../../agent/core/errors.ts';
import type { ByteSource } from '../../delta/byte-source.ts';
import { makeIndex } from '../../delta/chunk-cut.ts';
import { decompressorOf } from './squashfs-codec.ts';

const sourceOf = async (file: FileHandle): Promise<ByteSource> => {
  const { size: lengthBytes } = await file.stat();
  return {
    lengthBytes,
    read: async (offsetBytes, wantedBytes) => {
      const bytes = Buffer.alloc(wantedBytes);
      for (let done = 0; done < wantedBytes; ) {
        const { bytesRead } = await file.read(bytes, done, wantedBytes - done, offsetBytes + done);
        if (bytesRead === 0) throw new OtadError('IMAGE_UNUSABLE', { problem: 'became shorter while it was read' });
        done += bytesRead;
      }
      return bytes;
    },
  };
};

/** The encoded index, or a sentence why there can be none. */
export const indexImage = async (path: string): Promise<Uint8Array | string> => {
  const file = await open(path);
  try {
    return await makeIndex(await sourceOf(file), ({ codec }) => decompressorOf(codec));
  } catch (error) {
    const isOurs = error instanceof OtadError && ['IMAGE_UNUSABLE', 'TOOL_MISSING'].includes(error.code);
    if (!isOurs) throw error;
    return error.message;
  } finally {
    await file.close();
  }
};
