// Attacks through a patch that is signed: by a publisher who is mistaken, or whose keys are not his alone. What must hold: the
// patch is refused with its code, the running slot is not touched, and the signed image comes all the same, by the index.

import { encodePatch, packGroup } from '../../delta/patch-format.ts';
import type { PatchHead } from '../../delta/patch-head.ts';
import { type Operation, OperationWriter } from '../../delta/patch-operations.ts';
import { headOf, type PatchPair, withHead } from '../support/patch-bench.ts';
import type { AttackCase } from './attack-table.ts';

export interface PatchAttack extends AttackCase {
  readonly spoil: (pair: PatchPair) => Uint8Array;
}

const malformed = 'PATCH_MALFORMED';
const nothing = Buffer.alloc(0);

const changing =
  (over: (head: PatchHead) => Partial<PatchHead>) =>
  ({ patch }: PatchPair): Uint8Array =>
    withHead(patch, over);

/** All of the image by these operations, which no checksum contradicts. */
const operating =
  (operationOf: (pair: PatchPair, at: number) => Operation) =>
  (pair: PatchPair): Uint8Array => {
    const writer = new OperationWriter();
    const stepBytes = 4096;
    for (let at = 0; at < pair.image.length; at += stepBytes) writer.add(operationOf(pair, at));
    const difference = { control: nothing, gaps: nothing, masks: nothing, changes: nothing, fresh: nothing };
    const { entry, packed } = packGroup(pair.image.length, { ...difference, ...writer.finish() });
    return encodePatch({ ...headOf(pair.patch), groups: [entry] }, [packed]);
  };

const copy = (oldOffset: number, lengthBytes = 4096): Operation => ({
  kind: 'copy',
  lengthBytes,
  oldOffset,
  rawBytes: 0,
  checksum: 0,
});

export const patchAttacks: readonly PatchAttack[] = [
  { attack: 'damaged patch', claim: 'bytes that are no patch', code: malformed, spoil: () => Buffer.alloc(500, 7) },
  {
    attack: 'damaged patch',
    claim: 'a patch that ends too early',
    code: malformed,
    spoil: ({ patch }) => patch.subarray(0, patch.length - 10),
  },
  {
    attack: 'damaged patch',
    claim: 'a patch that goes on behind its end',
    code: malformed,
    spoil: ({ patch }) => Buffer.concat([patch, Buffer.alloc(10)]),
  },
  {
    attack: 'patch for another base',
    claim: 'a patch that begins at another image than the release says',
    code: 'PATCH_BASE_MISMATCH',
    spoil: changing(({ image }) => ({ base: image })),
  },
  {
    attack: 'patch for another base',
    claim: 'a patch that makes another image of the same length',
    code: 'PATCH_BASE_MISMATCH',
    spoil: changing(({ image }) => ({ image: { ...image, sha256Hex: 'ab'.repeat(32) } })),
  },
  {
    attack: 'patch by another library',
    claim: 'a patch for another release of libzstd',
    code: 'PATCH_CODEC_MISMATCH',
    spoil: changing(({ recompression }) => ({ recompression: { ...recompression, library: 'zstd 1.5.6' } })),
  },
  {
    attack: 'patch by another library',
    claim: 'a patch for a library of the same name that compresses otherwise',
    code: 'PATCH_CODEC_MISMATCH',
    spoil: changing(({ recompression }) => ({ recompression: { ...recompression, selfTestHex: '00'.repeat(16) } })),
  },
  {
    attack: 'patch that points outside',
    claim: 'a copy from behind the end of the old image',
    code: malformed,
    spoil: operating(({ old }, at) => copy(old.length - 4095 + (at % 2))),
  },
  {
    attack: 'patch that points outside',
    claim: 'old blocks that lie behind the end of the old image',
    code: malformed,
    spoil: changing(({ base, oldBlocks }) => ({
      oldBlocks: oldBlocks.map((block, place) =>
        place === oldBlocks.length - 1 ? { ...block, offsetBytes: base.lengthBytes - 1 } : block,
      ),
    })),
  },
  {
    attack: 'patch that points outside',
    claim: 'stretches of old blocks that the patch does not name',
    code: malformed,
    spoil: changing(({ oldBlocks }) => ({ oldBlocks: oldBlocks.slice(0, 1) })),
  },
  {
    attack: 'patch that points outside',
    claim: 'operations that make more than their part says',
    code: malformed,
    spoil: operating((_, at) => copy(0, at === 0 ? 4097 : 4096)),
  },
  {
    attack: 'patch bomb',
    claim: 'a part that unpacks to more than it says',
    code: malformed,
    spoil: changing(({ groups }) => ({
      groups: groups.map((group) => ({
        ...group,
        streams: group.streams.map(({ packedBytes, rawBytes }) => ({
          packedBytes,
          rawBytes: rawBytes - packedBytes > 1 ? rawBytes - 1 : rawBytes,
        })),
      })),
    })),
  },
  {
    attack: 'patch bomb',
    claim: 'a patch that says it unpacks to a thousand times its image',
    code: malformed,
    spoil: changing(({ groups }) => ({
      groups: groups.map((group) => ({
        ...group,
        streams: group.streams.map(({ packedBytes }) => ({ packedBytes, rawBytes: packedBytes + 400_000 })),
      })),
    })),
  },
];
