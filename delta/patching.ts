// The port through which the install pipeline applies patches: part by part, as they come, with one instance of the compression
// library for as long as one patch is applied. Lets other work in between blocks, which take their time to compress.

import { setImmediate } from 'node:timers/promises';
import { OtadError } from '../agent/core/errors.ts';
import type { OpenedPatch, Patching } from '../agent/core/ports.ts';
import { refusePatch } from './number-stream.ts';
import { applyPatch, checkPatch } from './patch-apply.ts';
import { readPatchHead } from './patch-format.ts';
import type { PatchHead } from './patch-head.ts';
import type { Zstd } from './zstd.ts';
import { loadZstd } from './zstd-module.ts';

/**
 * The library, and proof that it is the patch's. An installation without the module, or a machine without memory for it, is one
 * whose library differs.
 */
const start = async (load: () => Promise<Zstd>, check: (zstd: Zstd) => void): Promise<Zstd> => {
  try {
    const zstd = await load();
    check(zstd);
    return zstd;
  } catch (cause) {
    if (cause instanceof OtadError && cause.code !== 'INTERNAL') throw cause;
    throw new OtadError('PATCH_CODEC_MISMATCH', { reason: 'the compression library does not start' }, { cause });
  }
};

/** What is left of a part is fetched as it is up to this length, where that costs no more than the part. */
const remainderBytesMax = 256 * 1024;

/** From here on parts are applied: the end of the one that `fromBytes` lies in, or `fromBytes` itself. */
const startOf = ({ groups }: PatchHead, fromBytes: number): number => {
  let end = 0;
  for (const { newBytes, packedBytes } of groups) {
    end += newBytes;
    if (end <= fromBytes) continue;
    const isBegun = end - newBytes < fromBytes;
    return isBegun && end - fromBytes <= Math.min(packedBytes, remainderBytesMax) ? end : fromBytes;
  }
  return fromBytes;
};

export const createPatching = (load: () => Promise<Zstd> = loadZstd): Patching => ({
  open: async (headBytes, { lengthBytes, base, image }): Promise<OpenedPatch> => {
    const { head, ...plan } = readPatchHead(headBytes);
    if (plan.lengthBytes !== lengthBytes) return refusePatch('another length than its groups take');
    const zstd = await start(load, (started) => checkPatch(head, { base, image }, started));
    return {
      leftBytes: (fromBytes) => {
        const begin = startOf(head, fromBytes);
        let end = 0;
        return head.groups.reduce((left, { newBytes, packedBytes }) => {
          end += newBytes;
          return end > begin ? left + packedBytes : left;
        }, begin - fromBytes);
      },
      pieces: async function* (fromBytes, { base: source, fetch, signal }) {
        const readGroup = async (index: number) =>
          plan.unpackGroup(index, await fetch(plan.rangeOf(index), (bytes) => plan.isGroup(index, bytes)));
        const begin = startOf(head, fromBytes);
        if (begin > fromBytes) yield { kind: 'left', offsetBytes: fromBytes, lengthBytes: begin - fromBytes };
        for await (const piece of applyPatch({ head, readGroup }, source, { zstd, fromBytes: begin, signal })) {
          yield piece;
          if (piece.kind === 'bytes' && piece.origin === 'made') await setImmediate();
        }
      },
    };
  },
});
