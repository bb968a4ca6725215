import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import { bytesSource } from '../../delta/byte-source.ts';
import { cutChunks, makeIndex } from '../../delta/chunk-cut.ts';
import {
  type Chunk,
  type ChunkIndex,
  chunkBytesMax,
  decodeIndex,
  digestOf,
  encodeIndex,
  type IndexedImage,
  indexBytesMax,
  indexLengthOf,
} from '../../delta/chunk-index.ts';
import { createIndexing } from '../../delta/indexing.ts';
import type { Extent } from '../../delta/squashfs.ts';
import { decompressorOf } from '../../publish/images/squashfs-codec.ts';
import { createRandom } from '../bootctl/random.ts';
import { squashfsOf, withTree } from '../support/squashfs-bench.ts';

const anImage = (lengthBytes: number): IndexedImage => ({
  lengthBytes,
  sha256Hex: '5a'.repeat(32),
  codec: 'gzip',
  level: 9,
  blockBytes: 131_072,
});

const aChunk = (lengthBytes: number, text: string): Chunk => ({
  lengthBytes,
  digestHex: digestOf(Buffer.from(text)).toString('hex'),
});

const anIndex = (...names: readonly string[]): Uint8Array =>
  encodeIndex(
    anImage(names.length * 10),
    names.map((name) => aChunk(10, name)),
  );

const indexOf = async (image: Buffer): Promise<ChunkIndex> =>
  decodeIndex(await makeIndex(bytesSource(image), ({ codec }) => decompressorOf(codec)));

const lengthsOf = (index: ChunkIndex): readonly number[] =>
  Array.from({ length: index.count }, (_, chunk) => index.offsetOf(chunk + 1) - index.offsetOf(chunk));

describe('chunk index', () => {
  for (const [name, args, expected] of [
    ['gzip', ['-comp', 'gzip'], ['gzip', 9]],
    ['gzip at level 3', ['-comp', 'gzip', '-Xcompression-level', '3'], ['gzip', 3]],
    ['zstd at level 7', ['-comp', 'zstd', '-Xcompression-level', '7'], ['zstd', 7]],
    ['zstd', ['-comp', 'zstd'], ['zstd', 15]],
    ['xz', ['-comp', 'xz'], ['xz', 0]],
    ['lz4', ['-comp', 'lz4'], ['lz4', 0]],
    ['nothing compressed', ['-noI', '-noD', '-noF', '-noX', '-noId'], ['gzip', 9]],
  ] as const) {
    it(`covers an image with chunks of bounded length that digest as listed, and says how it was made: ${name}`, async () => {
      const image = squashfsOf(`index ${name}`, withTree('base'), args);
      const index = await indexOf(image);
      let at = 0;
      for (const [chunk, lengthBytes] of lengthsOf(index).entries()) {
        assert.ok(lengthBytes > 0 && lengthBytes <= chunkBytesMax);
        assert.equal(index.offsetOf(chunk), at);
        assert.ok(digestOf(image.subarray(at, at + lengthBytes)).equals(index.digestOf(chunk)));
        at += lengthBytes;
      }
      assert.equal(at, image.length);
      assert.deepEqual(index.image, {
        lengthBytes: image.length,
        sha256Hex: createHash('sha256').update(image).digest('hex'),
        codec: expected[0],
        level: expected[1],
        blockBytes: 16_384,
      });
    });
  }

  it('leaves long blocks alone and cuts the tables into pieces', async () => {
    const lengths = [96, 40_000, 20_000, 150_000];
    const image = Buffer.alloc(lengths.reduce((sum, length) => sum + length, 0));
    let at = 0;
    const extents = lengths.map((lengthBytes, index): Extent => {
      at += lengthBytes;
      const kind = index === 0 || index === 3 ? 'tables' : 'data';
      return { kind, lengthBytes, offsetBytes: at - lengthBytes, isStored: false };
    });
    const chunks = await cutChunks(bytesSource(image), extents);
    assert.deepEqual(
      chunks.map(({ lengthBytes }) => lengthBytes),
      [96, 40_000, 20_000, 65_536, 65_536, 18_928],
    );
  });

  it('ends a group of small blocks by what they hold: one block more changes the groups around it and no others', async () => {
    const random = createRandom(7);
    const block = (): Buffer => Buffer.from(Array.from({ length: 500 + random.below(4000) }, () => random.below(256)));
    const blocks = Array.from({ length: 400 }, block);
    const cut = (all: readonly Buffer[]) => {
      let at = 0;
      const extents = all.map((bytes): Extent => {
        at += bytes.length;
        return { kind: 'data', lengthBytes: bytes.length, offsetBytes: at - bytes.length, isStored: false };
      });
      return cutChunks(bytesSource(Buffer.concat(all)), extents);
    };
    const before = await cut(blocks);
    assert.ok(before.length < blocks.length / 2, `${before.length} chunks of ${blocks.length} blocks`);
    const known = new Set(before.map(({ digestHex }) => digestHex));
    for (const place of [0, 57, 200, 399]) {
      const after = await cut([...blocks.slice(0, place), block(), ...blocks.slice(place)]);
      const fresh = after.filter(({ digestHex }) => !known.has(digestHex));
      assert.ok(fresh.length <= 2, `${fresh.length} chunks changed by a block at ${place}`);
    }
  });

  it('finds an unchanged file wherever it moved to', async () => {
    const before = await indexOf(squashfsOf('before', withTree('base'), ['-comp', 'gzip']));
    const later = await indexOf(squashfsOf('later', withTree('grown'), ['-comp', 'gzip']));
    const { match, decode } = createIndexing();
    const reencode = (index: ChunkIndex) =>
      decode(
        encodeIndex(
          index.image,
          lengthsOf(index).map((lengthBytes, chunk) => ({
            lengthBytes,
            digestHex: index.digestOf(chunk).toString('hex'),
          })),
        ),
      );
    const found = match(reencode(later), reencode(before));
    const missing = lengthsOf(later).filter((_, chunk) => found[chunk] === -1);
    const missingBytes = missing.reduce((sum, length) => sum + length, 0);
    assert.ok(missingBytes < later.image.lengthBytes / 2, `${missingBytes} of ${later.image.lengthBytes} bytes`);
  });

  it('matches by digest and length, finds each of two equal chunks, and ends though all digests begin alike', () => {
    const { match, decode } = createIndexing();
    const held = decode(anIndex('a', 'b', 'c', 'b'));
    assert.deepEqual([...match(decode(anIndex('b', 'x', 'c', 'a', 'b')), held)], [1, -1, 2, 0, 1]);
    const other = decode(encodeIndex(anImage(11), [aChunk(11, 'a')]));
    assert.deepEqual([...match(other, held)], [-1]);
    const alike = Array.from({ length: 20_000 }, (_, index) => ({
      lengthBytes: 1,
      digestHex: index.toString(16).padStart(32, '0'),
    }));
    const many = decode(encodeIndex(anImage(alike.length), alike));
    const found = match(many, many);
    assert.ok([...found].every((chunk, index) => chunk === -1 || chunk === index));
  });

  it('tells its length from its first block, and nothing from other bytes', () => {
    const index = anIndex('a', 'b');
    assert.equal(indexLengthOf(Buffer.concat([index, Buffer.alloc(4096)])), index.length);
    assert.equal(indexLengthOf(Buffer.alloc(4096)), null);
    assert.equal(indexLengthOf(index.subarray(0, 63)), null);
  });

  it('refuses an image of more chunks than an index may list', () => {
    const chunks = Array.from({ length: indexBytesMax / 20 }, () => aChunk(1, 'a'));
    assert.throws(() => encodeIndex(anImage(chunks.length), chunks), { code: 'IMAGE_NOT_INDEXABLE' });
  });

  it('refuses what is no whole index', () => {
    const withWord =
      (at: number, word: number) =>
      (bytes: Buffer): Buffer => {
        bytes.writeUInt32LE(word, at);
        return bytes;
      };
    const spoil = (change: (bytes: Buffer) => Buffer): void => {
      const bytes = change(Buffer.from(anIndex('a')));
      assert.throws(() => decodeIndex(bytes), { code: 'INDEX_MALFORMED' });
    };
    spoil((bytes) => bytes.subarray(0, -1));
    spoil((bytes) => Buffer.concat([bytes, Buffer.alloc(20)]));
    spoil((bytes) => bytes.fill(0, 0, 1));
    spoil(withWord(8, 2));
    spoil((bytes) => withWord(12, 0)(bytes).subarray(0, 64));
    spoil(withWord(12, 0xffff_ffff));
    spoil(withWord(16, 11));
    spoil(withWord(20, 1));
    spoil(withWord(60, 0));
    // With the sum that matches, so that only the length itself is wrong.
    for (const lengthBytes of [0, chunkBytesMax + 1])
      spoil((bytes) => withWord(16, lengthBytes)(withWord(64, lengthBytes)(bytes)));
  });
});
