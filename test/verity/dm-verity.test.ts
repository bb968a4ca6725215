import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { OtadError } from '../../agent/core/errors.ts';
import { computeRoot, createTreeBuilder, treeLengthBytes, verifyImage } from '../../verity/dm-verity.ts';
import { noise } from '../support/noise.ts';
import { formatWithVeritysetup, isAcceptedByVeritysetup } from '../support/veritysetup.ts';

const folder = mkdtempSync(join(tmpdir(), 'otad-verity-'));
after(() => rmSync(folder, { recursive: true }));
const file = join(folder, 'image');
const block = 4096;
const { signal } = new AbortController();

const aSalt = (lengthBytes: number): string => noise(lengthBytes, 'salt').toString('hex');

const build = (image: Uint8Array, saltHex: string, stepBlocks: number) => {
  const tree = createTreeBuilder({ saltHex }, image.length);
  for (let offset = 0; offset < image.length; offset += stepBlocks * block) {
    tree.update(image.subarray(offset, Math.min(image.length, offset + stepBlocks * block)));
  }
  return tree.finish();
};

const isCode = (code: string) => (error: unknown) => error instanceof OtadError && error.code === code;

const cases: readonly { readonly blocks: number; readonly saltBytes: number }[] = [
  ...[1, 2, 127, 128, 129, 128 * 128, 128 * 128 + 1].map((blocks) => ({ blocks, saltBytes: 32 })),
  { blocks: 1, saltBytes: 0 },
  { blocks: 129, saltBytes: 0 },
  { blocks: 130, saltBytes: 256 },
  { blocks: 12_345, saltBytes: 32 },
];

for (const { blocks, saltBytes } of cases) {
  test(`writes the same superblock, tree and root as veritysetup (${blocks} blocks, salt of ${saltBytes})`, () => {
    const image = noise(blocks * block, `image ${blocks}`);
    const saltHex = aSalt(saltBytes);
    writeFileSync(file, image);
    const expectedRoot = formatWithVeritysetup(file, image.length, saltHex);
    const expected = readFileSync(file).subarray(image.length);
    const ours = build(image, saltHex, 256);
    assert.equal(ours.rootHex, expectedRoot);
    assert.equal(ours.bytes.length, treeLengthBytes(image.length));
    assert.ok(expected.equals(ours.bytes), 'tree differs');
  });
}

test('gives the same tree whatever the size of the pieces', () => {
  const image = noise(1000 * block);
  const whole = build(image, aSalt(32), 1000);
  for (const step of [1, 7, 129]) assert.deepEqual(build(image, aSalt(32), step), whole);
});

test('hands the lowest level to a sink while the image streams, and keeps the rest', () => {
  const lengthBytes = 3 * 8192 * block + 5 * block; // three full runs and a bit
  const piece = noise(8192 * block);
  const tail = noise(5 * block, 'tail');
  const collected = Buffer.alloc(treeLengthBytes(lengthBytes));
  const sizes: number[] = [];
  const sunk = createTreeBuilder({ saltHex: aSalt(32) }, lengthBytes, (offset, bytes) => {
    sizes.push(bytes.length);
    collected.set(bytes, offset);
  });
  const whole = createTreeBuilder({ saltHex: aSalt(32) }, lengthBytes);
  for (const bytes of [piece, piece, piece, tail]) {
    sunk.update(bytes);
    whole.update(bytes);
  }
  assert.deepEqual(sizes, [256 * 1024, 256 * 1024, 256 * 1024], 'runs are of a bounded size and come before the end');
  const head = sunk.finish();
  assert.ok(head.bytes.length <= 4 * block, 'only superblock and upper levels are kept');
  collected.set(head.bytes);
  const expected = whole.finish();
  assert.equal(head.rootHex, expected.rootHex);
  assert.ok(collected.equals(expected.bytes));
});

test('veritysetup verifies what we wrote and rejects it after one flipped byte, in the image and in the tree', () => {
  const image = noise(300 * block);
  const tree = build(image, aSalt(32), 256);
  const verity = { rootHex: tree.rootHex, hashOffsetBytes: image.length };
  const slot = Buffer.concat([image, tree.bytes]);
  writeFileSync(file, slot);
  assert.equal(isAcceptedByVeritysetup(file, verity), true);
  for (const offset of [0, 150 * block + 77, image.length - 1, image.length + block + 5, slot.length - block]) {
    const bad = Buffer.from(slot);
    bad.writeUInt8(bad.readUInt8(offset) ^ 1, offset);
    writeFileSync(file, bad);
    assert.equal(isAcceptedByVeritysetup(file, verity), false, `flipped byte at ${offset}`);
  }
});

test('verifies an image that is read piece by piece, and rejects another root', async () => {
  const image = noise(700 * block);
  const saltHex = aSalt(32);
  const { rootHex } = build(image, saltHex, 256);
  const read = async (offset: number, length: number) => image.subarray(offset, offset + length);
  const verity = {
    algorithm: 'sha256',
    blockSizeBytes: 4096,
    saltHex,
    rootHex,
    hashOffsetBytes: image.length,
  } as const;
  await verifyImage(read, verity, image.length, signal);
  image.writeUInt8(image.readUInt8(123_456) ^ 0x80, 123_456);
  await assert.rejects(verifyImage(read, verity, image.length, signal), isCode('VERITY_ROOT_MISMATCH'));
});

test('counts a partial last block as padded with zeros', async () => {
  const image = noise(5 * block + 100);
  const padded = Buffer.concat([image, Buffer.alloc(block - 100)]);
  const read = async (offset: number, length: number) => image.subarray(offset, offset + length);
  assert.equal(await computeRoot(read, '', image.length, signal), build(padded, '', 6).rootHex);
});

test('computes the length of the tree of an image past 2^32 bytes', () => {
  const blocks = 2 ** 21 + 1;
  // 16385 + 129 + 2 + 1 hash blocks and the superblock.
  assert.equal(treeLengthBytes(blocks * block), (16_385 + 129 + 2 + 1 + 1) * block);
});

test('refuses pieces that are not whole blocks, too many of them, and too few', () => {
  const tree = createTreeBuilder({ saltHex: '' }, 2 * block);
  assert.throws(() => tree.update(new Uint8Array(100)), isCode('INTERNAL'));
  assert.throws(() => tree.finish(), isCode('INTERNAL'));
  assert.throws(() => tree.update(new Uint8Array(3 * block)), isCode('INTERNAL'));
});

test('refuses an empty image and a salt that is not hex or longer than the superblock holds', () => {
  assert.throws(() => treeLengthBytes(0), isCode('RELEASE_MALFORMED'));
  for (const saltHex of ['xy', 'abc', 'AB', '00'.repeat(257)]) {
    assert.throws(() => createTreeBuilder({ saltHex }, block), isCode('RELEASE_MALFORMED'));
  }
});
