// An image file as the delta code reads it: by ranges, through one descriptor.

import { open } from 'node:fs/promises';
import { OtadError } from '../../agent/core/errors.ts';
import type { ByteSource } from '../../delta/byte-source.ts';
import { errorCodeOf } from '../durable-file.ts';

/** Hands the image to `use` and closes it afterwards. Throws IMAGE_UNUSABLE when it cannot be read. */
export const withImageSource = async <T>(path: string, use: (source: ByteSource) => Promise<T>): Promise<T> => {
  const file = await open(path).catch((cause: unknown) => {
    throw new OtadError('IMAGE_UNUSABLE', { path, problem: 'cannot be read', cause: errorCodeOf(cause) }, { cause });
  });
  try {
    const facts = await file.stat();
    if (!facts.isFile()) throw new OtadError('IMAGE_UNUSABLE', { path, problem: 'not a plain file' });
    const { size: lengthBytes } = facts;
    return await use({
      lengthBytes,
      read: async (offsetBytes, wantedBytes) => {
        const bytes = Buffer.alloc(wantedBytes);
        for (let done = 0; done < wantedBytes; ) {
          const { bytesRead } = await file.read(bytes, done, wantedBytes - done, offsetBytes + done);
          if (bytesRead === 0)
            throw new OtadError('IMAGE_UNUSABLE', { path, problem: 'became shorter while it was read' });
          done += bytesRead;
        }
        return bytes;
      },
    });
  } finally {
    await file.close();
  }
};

/** Names the image that `work` is about in what it finds wrong with it. */
export const blaming = async <T>(path: string, work: Promise<T>): Promise<T> => {
  try {
    return await work;
  } catch (error) {
    if (!(error instanceof OtadError) || !['IMAGE_UNUSABLE', 'IMAGE_NOT_INDEXABLE'].includes(error.code)) throw error;
    throw new OtadError(error.code, { path, ...error.details }, { cause: error });
  }
};
