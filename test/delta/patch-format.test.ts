import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import { brotliCompressSync } from 'node:zlib';
import type { OtadError } from '../../agent/core/errors.ts';
import { bytesSource } from '../../delta/byte-source.ts';
import { ByteReader, ByteWriter } from '../../delta/number-stream.ts';
import { type DifferenceBytes, DifferenceReader, DifferenceWriter } from '../../delta/patch-difference.ts';
import { encodePatch, openPatch, packGroup } from '../../delta/patch-format.ts';
import { type GroupBytes, type GroupEntry, groupBytesMax, type PatchHead } from '../../delta/patch-head.ts';
import { checksumOf, copyBytesMax, type Operation, OperationWriter } from '../../delta/patch-operations.ts';
import { loadZstd } from '../../delta/zstd-module.ts';
import { createRandom } from '../bootctl/random.ts';
import { noise } from '../support/noise.ts';
import { applyAll } from './patch-fixture.ts';

const zstd = await loadZstd();
const old = noise(4000, 'old');
const id = (lengthBytes: number) => ({ lengthBytes, sha256Hex: '00'.repeat(32) });
const noDifference: DifferenceBytes = new DifferenceWriter().finish();

const anOperation = (over: Partial<Operation> = {}): Operation => {
  const bytes = old.subarray(100, 100 + (over.lengthBytes ?? 500));
  return { kind: 'copy', lengthBytes: 500, oldOffset: 100, rawBytes: 0, checksum: checksumOf(bytes), ...over };
};

const operationsOf = (operations: readonly Operation[]) => {
  const writer = new OperationWriter();
  for (const operation of operations) writer.add(operation);
  return writer.finish();
};

interface Wish {
  readonly operations?: readonly Operation[];
  readonly streams?: Partial<GroupBytes>;
  readonly newBytes?: number;
  readonly head?: Partial<PatchHead>;
  readonly entry?: Partial<GroupEntry>;
}

/** A patch with right checksums, whatever it says. */
const aPatch = ({ operations = [anOperation()], streams = {}, newBytes = 500, head = {}, entry = {} }: Wish = {}) => {
  const group = packGroup(newBytes, { ...noDifference, ...operationsOf(operations), ...streams });
  const whole: PatchHead = {
    base: id(old.length),
    image: id(newBytes),
    recompression: {
      codec: 'zstd',
      level: 3,
      blockBytes: 4096,
      library: 'zstd 1.5.7',
      selfTestHex: '00'.repeat(16),
    },
    oldBlocks: [{ offsetBytes: 0, lengthBytes: 1000, rawBytes: 1000, isStored: true }],
    groups: [{ ...group.entry, ...entry }],
    ...head,
  };
  return encodePatch(whole, [group.packed]);
};

const apply = (patch: Uint8Array) => applyAll(patch, bytesSource(old), { zstd });
const refused = async (patch: Uint8Array, reason: RegExp): Promise<void> => {
  await assert.rejects(apply(patch), (error: OtadError) => {
    assert.equal(error.code, 'PATCH_MALFORMED', error.stack);
    assert.match(String(error.details.reason), reason);
    return true;
  });
};

const control = (...numbers: readonly number[]): Uint8Array => {
  const writer = new ByteWriter();
  for (const number of numbers) writer.number(number);
  return writer.finish();
};
const raw = (lengthBytes: number): Operation => anOperation({ kind: 'raw', lengthBytes, oldOffset: 0 });

describe('the form of a patch', () => {
  it('is taken when it is right', async () => {
    assert.deepEqual((await apply(aPatch())).image, Buffer.from(old.subarray(100, 600)));
  });

  it('is refused when it is cut anywhere, or goes on behind its end', async () => {
    const patch = aPatch();
    for (let length = 0; length < patch.length; length += 1) await refused(patch.subarray(0, length), /./);
    await refused(Buffer.concat([patch, Buffer.alloc(1)]), /another length/);
  });

  it('is refused with any bit flipped', async () => {
    const patch = aPatch();
    for (let at = 0; at < patch.length; at += 1) {
      const copy = Buffer.from(patch);
      copy[at] = (copy[at] ?? 0) ^ (1 << (at % 8));
      await refused(copy, /./);
    }
  });

  it('knows this version only', async () => {
    const patch = aPatch();
    patch.writeUInt32LE(2, 8);
    await refused(patch, /format 2 is not known/);
  });

  it('has old blocks and copies inside of the old image', async () => {
    const block = { offsetBytes: 3500, lengthBytes: 501, rawBytes: 501, isStored: true };
    await refused(aPatch({ head: { oldBlocks: [block] } }), /outside of the old image/);
    await refused(aPatch({ operations: [anOperation({ oldOffset: old.length - 499 })] }), /outside of the old image/);
    await refused(aPatch({ operations: [anOperation({ oldOffset: -1 })] }), /outside of the old image/);
  });

  it('has operations that make something, of bounded length, that add up', async () => {
    await refused(aPatch({ operations: [anOperation(), anOperation({ lengthBytes: 0 })] }), /makes nothing/);
    await refused(aPatch({ operations: [anOperation({ lengthBytes: copyBytesMax + 1 })] }), /out of its range/);
    await refused(aPatch({ newBytes: 600 }), /another length than it says/);
    await refused(aPatch({ head: { image: id(501) } }), /add up/);
    await refused(aPatch({ streams: { operations: Buffer.from([9, 1]) } }), /not known/);
    await refused(aPatch({ streams: { checksums: Buffer.alloc(8) } }), /more than is used/);
    const table = anOperation({ kind: 'stored-table', lengthBytes: 2 });
    await refused(aPatch({ operations: [table], newBytes: 2 }), /made of nothing/);
  });

  it('has stretches inside of the old blocks, and says no more than is used', async () => {
    const one = (streams: Partial<GroupBytes>) => aPatch({ operations: [raw(500)], streams });
    await refused(one({ control: control(500 * 2, 501 * 2) }), /outside of the old blocks/);
    await refused(one({ control: control(500 * 2, 1) }), /outside of the old blocks/);
    await refused(one({ control: control(0) }), /no bytes/);
    await refused(one({ control: control(400 * 2, 0) }), /too early/);
    await refused(one({ control: control(600 * 2, 0) }), /past its group/);
    await refused(one({ control: control(500 * 2, 0, 2, 0) }), /more than is used/);
    await refused(one({ control: control(500 * 2 + 1), fresh: Buffer.alloc(499) }), /too early/);
    await refused(one({ control: control(500 * 2, 0), gaps: control(3) }), /too early/);
    await refused(one({ control: control(500 * 2, 0), gaps: control(3), masks: Buffer.from([2]) }), /mask/);
    await refused(one({ control: control(500 * 2, 0), gaps: control(3), masks: Buffer.from([16]) }), /mask/);
    await refused(one({ control: Buffer.from([0x80, 0]) }), /range/);
  });

  it('does not get to its old blocks over and over', async () => {
    const block = { lengthBytes: 4096, rawBytes: 4096, isStored: true };
    const blocks = Array.from({ length: 1100 }, (_, index) => ({ ...block, offsetBytes: index * 4096 }));
    const whole = Buffer.alloc(1100 * 4096);
    // From one end of the old space to the other, a byte at a time, further than the cache reaches.
    const steps = new ByteWriter();
    let end = 0;
    for (let index = 0; index < 65_536; index += 1) {
      const at = ((index * 549) % 1100) * 4096;
      steps.number(2);
      steps.signed(at - end);
      end = at + 1;
    }
    const control = steps.finish();
    // In many operations, and all inside of one.
    for (const operations of [Array.from({ length: 16 }, () => raw(4096)), [raw(65_536)]]) {
      const head = { base: id(whole.length), oldBlocks: blocks };
      const patch = aPatch({ operations, newBytes: 65_536, streams: { control }, head });
      let reads = 0;
      const counting = {
        lengthBytes: whole.length,
        read: async (at: number, length: number) => {
          reads += 1;
          return whole.subarray(at, at + length);
        },
      };
      await assert.rejects(applyAll(patch, counting, { zstd }), { code: 'PATCH_MALFORMED', message: /over and over/ });
      assert.ok(reads <= 1024 + 16 * (operations.length + blocks.length), `${reads} blocks`);
    }
  });
});

describe('bombs in a patch', () => {
  const streamsOf = (rawBytes: number, packedBytes: number) =>
    Array.from({ length: 7 }, (_, index) =>
      index === 6 ? { packedBytes, rawBytes } : { packedBytes: 0, rawBytes: 0 },
    );

  it('never unpack to more than they say', async () => {
    const bomb = brotliCompressSync(Buffer.alloc(8_000_000));
    const entry = {
      newBytes: 500,
      packedBytes: bomb.length,
      digestHex: createHash('sha256').update(bomb).digest('hex').slice(0, 32),
      streams: streamsOf(500, bomb.length),
    };
    const { recompression } = (await openPatch(bytesSource(aPatch()))).head;
    const head = { base: id(old.length), image: id(500), recompression, oldBlocks: [], groups: [entry] };
    await refused(encodePatch(head, [bomb]), /does not unpack/);
  });

  it('never say more than what memory has room for, nor much more than their image', async () => {
    await refused(aPatch({ entry: { streams: streamsOf(groupBytesMax + 1, 5) } }), /range/);
    await refused(aPatch({ entry: { packedBytes: 5, streams: streamsOf(groupBytesMax, 5) } }), /much more/);
  });

  it('never hide in an old block: it unpacks to what the patch says, or is missing', async () => {
    const packed = zstd.compress(Buffer.alloc(1_000_000), 3);
    const base = Buffer.concat([packed, old]);
    const oldBlocks = [{ offsetBytes: 0, lengthBytes: packed.length, rawBytes: 4096, isStored: false }];
    const patch = aPatch({
      operations: [raw(500)],
      streams: { control: control(500 * 2, 0) },
      head: { base: id(base.length), oldBlocks },
    });
    const { missing } = await applyAll(patch, bytesSource(base), { zstd });
    assert.deepEqual(missing, [{ offsetBytes: 0, lengthBytes: 500 }]);
    assert.throws(() => zstd.decompress(packed, 4096), RangeError);
    assert.throws(() => zstd.decompress(packed, 2 ** 30), RangeError);
  });
});

describe('the difference', () => {
  it('gives back what was put in, in pieces of any length', () => {
    const random = createRandom(5);
    for (let times = 0; times < 200; times += 1) {
      const space = noise(3000, `space ${times}`);
      const writer = new DifferenceWriter();
      const expected: Buffer[] = [];
      for (let parts = 1 + random.below(12); parts > 0; parts -= 1) {
        const lengthBytes = 1 + random.below(200);
        const oldAt = random.below(space.length - lengthBytes);
        const base = space.subarray(oldAt, oldAt + lengthBytes);
        const bytes = random.below(3) === 0 ? noise(lengthBytes, `${times} ${parts}`) : Buffer.from(base);
        for (let changes = random.below(9); changes > 0; changes -= 1)
          bytes[random.below(lengthBytes)] = random.below(256);
        if (random.below(3) === 0) writer.add({ kind: 'fresh', bytes });
        else writer.add({ kind: 'old', oldAt, old: base, bytes });
        expected.push(bytes);
      }
      const whole = Buffer.concat(expected);
      const reader = new DifferenceReader(writer.finish(), space.length);
      const pieces: Buffer[] = [];
      for (let left = whole.length; left > 0; ) {
        const { bytes, addends } = reader.take(Math.min(left, 1 + random.below(300)));
        for (const { at, oldAt, lengthBytes } of addends) {
          for (let index = 0; index < lengthBytes; index += 1)
            bytes[at + index] = (bytes[at + index] ?? 0) + (space[oldAt + index] ?? 0);
        }
        pieces.push(bytes);
        left -= bytes.length;
      }
      reader.end();
      assert.ok(Buffer.concat(pieces).equals(whole));
    }
  });

  it('numbers come back as they went in', () => {
    const numbers = [0, 1, 127, 128, 16_383, 16_384, 2 ** 31, 2 ** 43];
    const writer = new ByteWriter();
    for (const number of numbers) {
      writer.number(number);
      writer.signed(-number);
      writer.signed(number);
    }
    const reader = new ByteReader(writer.finish());
    for (const number of numbers) {
      assert.deepEqual(
        [reader.number(2 ** 43), reader.signed(2 ** 43), reader.signed(2 ** 43)],
        [number, -number, number].map((one) => one + 0),
      );
    }
    reader.end();
  });
});
