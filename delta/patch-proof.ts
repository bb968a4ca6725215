// Proves a patch: applies it with the code that gateways run and compares every byte with the image that it should make.

import { createHash } from 'node:crypto';
import { OtadError } from '../agent/core/errors.ts';
import type { ImageId } from '../agent/core/ports.ts';
import { type ByteSource, readRange } from './byte-source.ts';
import { applyPatch, checkPatch } from './patch-apply.ts';
import { headBytesOf, openPatch, readPatchHead } from './patch-format.ts';
import type { MakeOptions } from './unit-fates.ts';

const imagePieceBytes = 1024 * 1024;

/** Length and SHA-256 of an image. */
export const identify = async (source: ByteSource): Promise<ImageId> => {
  const hash = createHash('sha256');
  for (let at = 0; at < source.lengthBytes; at += imagePieceBytes) {
    hash.update(await readRange(source, at, Math.min(imagePieceBytes, source.lengthBytes - at), 'a piece'));
  }
  return { lengthBytes: source.lengthBytes, sha256Hex: hash.digest('hex') };
};

/** Every bound that gateways read a patch under, by the code that they read it with. Throws IMAGE_NOT_PATCHABLE. */
export const requireReadable = (patch: Uint8Array): void => {
  try {
    readPatchHead(headBytesOf(patch));
  } catch (cause) {
    if (!(cause instanceof OtadError) || cause.code !== 'PATCH_MALFORMED') throw cause;
    const problem = `gateways would refuse its patch: ${cause.details.reason}`;
    throw new OtadError('IMAGE_NOT_PATCHABLE', { problem }, { cause });
  }
};

/** Applies the patch as a gateway does and compares every byte. Throws PATCH_UNPROVEN, and what reading it throws. */
export const provePatch = async (
  patchBytes: ByteSource,
  base: ByteSource,
  image: ByteSource,
  { zstd, onProgress, signal }: Pick<MakeOptions, 'zstd' | 'onProgress' | 'signal'>,
): Promise<void> => {
  const patch = await openPatch(patchBytes);
  checkPatch(patch.head, { base: await identify(base), image: await identify(image) }, zstd);
  let at = 0;
  for await (const piece of applyPatch(patch, base, { zstd, signal })) {
    if (piece.kind !== 'bytes' || piece.offsetBytes !== at)
      throw new OtadError('PATCH_UNPROVEN', { problem: 'a block does not come out', offsetBytes: piece.offsetBytes });
    const expected = await readRange(image, at, piece.bytes.length, 'a piece');
    if (!expected.equals(piece.bytes))
      throw new OtadError('PATCH_UNPROVEN', { problem: 'other bytes', offsetBytes: at });
    at += piece.bytes.length;
    onProgress?.('prove', at, image.lengthBytes);
  }
  if (at !== image.lengthBytes)
    throw new OtadError('PATCH_UNPROVEN', { problem: 'it ends too early', offsetBytes: at });
};
