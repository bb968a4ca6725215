// The chunk index of an image that lies in the repository. An image that cannot be cut is published all the same: gateways
// fetch it whole, and the publisher is told why.

import { OtadError } from '../../agent/core/errors.ts';
import { makeIndex } from '../../delta/chunk-cut.ts';
import { withImageSource } from './image-source.ts';
import { decompressorOf } from './squashfs-codec.ts';

/** The encoded index, or a sentence why there can be none. */
export const indexImage = async (path: string): Promise<Uint8Array | string> => {
  try {
    return await withImageSource(path, (source) => makeIndex(source, ({ codec }) => decompressorOf(codec)));
  } catch (error) {
    if (!(error instanceof OtadError)) throw error;
    // It lies in the repository: the sentences of these codes would say that it cannot, or the same once more.
    if (error.code === 'IMAGE_NOT_INDEXABLE' || error.code === 'IMAGE_UNUSABLE') return String(error.details.problem);
    if (error.code !== 'TOOL_MISSING') throw error;
    return error.message;
  }
};
