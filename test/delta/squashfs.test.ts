import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { deflateSync } from 'node:zlib';
import { OtadError } from '../../agent/core/errors.ts';
import { bytesSource } from '../../delta/byte-source.ts';
import { type BlockMap, readBlockMap } from '../../delta/squashfs.ts';
import { inodeTableBytesMax } from '../../delta/squashfs-superblock.ts';
import { decompressorOf } from '../../publish/images/squashfs-codec.ts';
import { createRandom } from '../bootctl/random.ts';

const folder = mkdtempSync(join(tmpdir(), 'otad-squashfs-'));
after(() => rmSync(folder, { recursive: true }));

const blockBytes = 16_384;
const random = createRandom(3);
/** Compresses to about half. */
const noise = (lengthBytes: number): Buffer =>
  Buffer.from(Array.from({ length: lengthBytes }, (_, index) => (index % 2 === 0 ? 0x41 : random.below(256))));

/** A tree with everything that squashfs lays out in its own way; what its regular files hold. */
const makeTree = (): { readonly tree: string; readonly contents: readonly Buffer[] } => {
  const tree = join(folder, 'tree');
  mkdirSync(join(tree, 'many'), { recursive: true });
  const shared = noise(5000);
  const contents = [
    noise(3 * blockBytes),
    noise(2 * blockBytes + 700),
    noise(900),
    shared,
    shared,
    Buffer.alloc(0),
    Buffer.alloc(4 * blockBytes),
    Buffer.concat([noise(blockBytes), Buffer.alloc(2 * blockBytes), noise(blockBytes + 1)]),
    Buffer.from(Array.from({ length: 2 * blockBytes }, () => random.below(256))),
    noise(blockBytes),
  ];
  for (const [index, bytes] of contents.entries()) writeFileSync(join(tree, `file${index}`), bytes);
  linkSync(join(tree, 'file0'), join(tree, 'hard-link'));
  symlinkSync('file0', join(tree, 'soft-link'));
  writeFileSync(join(tree, 'holes'), noise(100));
  truncateSync(join(tree, 'holes'), 5 * blockBytes);
  execFileSync('mkfifo', [join(tree, 'fifo')]);
  const many = Array.from({ length: 600 }, (_, index) => Buffer.from(`number ${index}`));
  for (const [index, bytes] of many.entries()) {
    writeFileSync(join(tree, 'many', `a-rather-long-name-for-an-entry-${index}`), bytes);
  }
  return { tree, contents: [...contents, readFileSync(join(tree, 'holes')), ...many] };
};
const { tree, contents } = makeTree();

const imageOf = (name: string, args: readonly string[]): Buffer => {
  const path = join(folder, name);
  execFileSync('mksquashfs', [tree, path, '-noappend', '-quiet', '-no-progress', '-b', `${blockBytes}`, ...args]);
  return readFileSync(path);
};

const mapOf = (image: Uint8Array): Promise<BlockMap> =>
  readBlockMap(bytesSource(image), ({ codec }) => decompressorOf(codec));

const digest = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** Puts every file together again from its blocks, so that each of them must be where the map says. */
const rebuild = async (image: Buffer, { files, fragments, superblock }: BlockMap): Promise<readonly string[]> => {
  const decompress = decompressorOf(superblock.codec);
  const plain = async (offsetBytes: number, lengthBytes: number, isStored: boolean): Promise<Uint8Array> => {
    const bytes = image.subarray(offsetBytes, offsetBytes + lengthBytes);
    return isStored ? bytes : decompress(bytes, superblock.blockBytes);
  };
  const tails = await Promise.all(
    fragments.map(({ offsetBytes, lengthBytes, isStored }) => plain(offsetBytes, lengthBytes, isStored)),
  );
  return Promise.all(
    files.map(async ({ startBytes, sizeBytes, blocks, fragment }) => {
      const pieces: Uint8Array[] = [];
      let at = startBytes;
      let left = sizeBytes;
      for (const { lengthBytes, isStored } of blocks) {
        const plainBytes = Math.min(left, superblock.blockBytes);
        pieces.push(lengthBytes === 0 ? Buffer.alloc(plainBytes) : await plain(at, lengthBytes, isStored));
        at += lengthBytes;
        left -= plainBytes;
      }
      if (fragment !== null) {
        pieces.push(
          (tails[fragment.index] ?? Buffer.alloc(0)).subarray(fragment.offsetBytes, fragment.offsetBytes + left),
        );
      }
      return digest(Buffer.concat(pieces));
    }),
  );
};

const variants: Readonly<Record<string, readonly string[]>> = {
  gzip: ['-comp', 'gzip'],
  zstd: ['-comp', 'zstd', '-Xcompression-level', '3'],
  xz: ['-comp', 'xz'],
  lz4: ['-comp', 'lz4'],
  'gzip with other options': ['-comp', 'gzip', '-Xcompression-level', '1'],
  'nothing compressed': ['-noI', '-noD', '-noF', '-noX', '-noId'],
  'no fragments': ['-comp', 'gzip', '-no-fragments'],
  'tails of all files in fragments': ['-comp', 'gzip', '-always-use-fragments'],
  'no table of exports': ['-comp', 'gzip', '-no-exports'],
  'no duplicates found': ['-comp', 'gzip', '-no-duplicates'],
  'no padding': ['-comp', 'gzip', '-nopad'],
};

describe('block map of a squashfs image', () => {
  for (const [name, args] of Object.entries(variants)) {
    it(`covers an image without gap or overlap, and finds every block of every file: ${name}`, async () => {
      const image = imageOf(`${name}.squashfs`, args);
      const map = await mapOf(image);
      let at = 0;
      for (const { offsetBytes, lengthBytes } of map.extents) {
        assert.equal(offsetBytes, at);
        at += lengthBytes;
      }
      assert.equal(at, image.length);
      const rebuilt = await rebuild(image, map);
      // A hard link is one inode.
      assert.deepEqual([...rebuilt].sort(), contents.map(digest).sort());
    });
  }

  it('refuses a compressor that it does not know, by name', async () => {
    const image = Buffer.from(imageOf('lzo.squashfs', ['-comp', 'gzip']));
    image.writeUInt16LE(3, 20);
    await assert.rejects(mapOf(image), { code: 'IMAGE_NOT_INDEXABLE', message: /lzo/ });
    image.writeUInt16LE(99, 20);
    await assert.rejects(mapOf(image), { code: 'IMAGE_UNUSABLE', message: /99/ });
  });

  it('answers every truncation and many a changed byte with an error of the image or a map that still covers the image', async () => {
    const image = imageOf('damaged.squashfs', ['-comp', 'gzip']);
    const tryOne = async (bytes: Uint8Array): Promise<void> => {
      try {
        const { extents } = await mapOf(bytes);
        assert.equal(
          extents.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0),
          bytes.length,
        );
      } catch (error) {
        assert.ok(error instanceof OtadError, `${error}`);
        assert.ok(['IMAGE_UNUSABLE', 'IMAGE_NOT_INDEXABLE'].includes(error.code), `${error}`);
      }
    };
    for (let length = 0; length < image.length; length += 997) await tryOne(image.subarray(0, length));
    for (let times = 0; times < 300; times += 1) {
      const copy = Buffer.from(image);
      const at = times < 150 ? random.below(96) : image.length - 1 - random.below(20_000);
      copy[at] = random.below(256);
      await tryOne(copy);
    }
  });
});

const metadataBlock = (bytes: Uint8Array, isStored: boolean): Buffer => {
  const header = Buffer.alloc(2);
  header.writeUInt16LE(isStored ? bytes.length | 0x8000 : bytes.length);
  return Buffer.concat([header, bytes]);
};

interface Drawn {
  readonly inodes?: number;
  readonly inodeTable: Buffer;
  /** Lengths of the fragment blocks, from the superblock on. */
  readonly fragments?: readonly number[];
}

const drawnDataBytes = 100;

/** The bare tables that the reader looks at, drawn by hand: superblock, 100 bytes of data, inodes, fragments and their pointer. */
const drawn = ({ inodes = 1, inodeTable, fragments = [] }: Drawn): Buffer => {
  const entries = Buffer.alloc(16 * fragments.length);
  let at = 96;
  for (const [index, lengthBytes] of fragments.entries()) {
    entries.writeBigUInt64LE(BigInt(at), 16 * index);
    entries.writeUInt32LE(lengthBytes, 16 * index + 8);
    at += lengthBytes;
  }
  const inodesAt = 96 + drawnDataBytes;
  const directoriesAt = inodesAt + inodeTable.length;
  const fragmentBlock = metadataBlock(entries, true);
  const pointerAt = directoriesAt + fragmentBlock.length;
  const pointer = Buffer.alloc(8);
  pointer.writeBigUInt64LE(BigInt(directoriesAt));
  const head = Buffer.alloc(inodesAt);
  head.write('hsqs', 0, 'latin1');
  for (const [word, offset] of [
    [inodes, 4],
    [4096, 12],
    [fragments.length, 16],
  ] as const)
    head.writeUInt32LE(word, offset);
  for (const [word, offset] of [
    [1, 20],
    [12, 22],
    [4, 28],
  ] as const)
    head.writeUInt16LE(word, offset);
  const absent = 0xffff_ffff_ffff_ffffn;
  const starts = [pointerAt + 8, pointerAt, absent, inodesAt, directoriesAt, pointerAt, absent];
  for (const [index, start] of starts.entries()) head.writeBigUInt64LE(BigInt(start), 40 + 8 * index);
  return Buffer.concat([head, inodeTable, fragmentBlock, pointer]);
};

/** A regular file whose blocks start behind the superblock. */
const fileInode = (lengths: readonly number[]): Buffer => {
  const inode = Buffer.alloc(32 + 4 * lengths.length);
  inode.writeUInt16LE(2, 0);
  inode.writeUInt32LE(96, 16);
  inode.writeUInt32LE(0xffff_ffff, 20);
  inode.writeUInt32LE(4096 * lengths.length, 28);
  for (const [index, lengthBytes] of lengths.entries()) inode.writeUInt32LE(lengthBytes, 32 + 4 * index);
  return inode;
};

describe('what a squashfs image may claim', () => {
  const fileOf = (...lengths: readonly number[]): Buffer => metadataBlock(fileInode(lengths), true);

  for (const [limit, inodes, unpackedMax] of [
    ['its inodes', 1, 8.2],
    ['its own length', 2 ** 20, 16],
  ] as const) {
    it(`stops unpacking an inode table at what ${limit} can take`, async () => {
      const bomb = metadataBlock(deflateSync(Buffer.alloc(8192)), false);
      const image = drawn({ inodes, inodeTable: Buffer.concat(Array.from({ length: 3000 }, () => bomb)) });
      const inflate = decompressorOf('gzip');
      let unpackedBytes = 0;
      const map = readBlockMap(bytesSource(image), () => async (bytes, bytesMax) => {
        const unpacked = await inflate(bytes, bytesMax);
        unpackedBytes += unpacked.length;
        return unpacked;
      });
      await assert.rejects(map, { code: 'IMAGE_UNUSABLE', message: /more than it can hold/ });
      assert.ok(unpackedBytes < unpackedMax * 1024 * 1024, `${unpackedBytes} bytes of a table of 24 MB`);
    });
  }

  it('never takes an inode table beyond 256 MiB, whatever the image says', () => {
    const tables = { inodes: 96, directories: 2 ** 39 };
    const bytesMax = inodeTableBytesMax({ inodes: 2 ** 22, blockBytes: 4096, usedBytes: 2 ** 40, tables });
    assert.equal(bytesMax, 256 * 1024 * 1024);
  });

  it('refuses a table in crumbs: only its last metadata block may be less than full', async () => {
    const inode = fileInode([100]);
    const crumbs = Array.from(inode, (byte) => metadataBlock(Buffer.of(byte), true));
    await assert.rejects(mapOf(drawn({ inodeTable: Buffer.concat(crumbs) })), {
      code: 'IMAGE_UNUSABLE',
      message: /ends before its table/,
    });
  });

  it('takes a block up to the tables and refuses one that reaches into them', async () => {
    await mapOf(drawn({ inodeTable: fileOf(drawnDataBytes) }));
    await assert.rejects(mapOf(drawn({ inodeTable: fileOf(drawnDataBytes + 1) })), {
      code: 'IMAGE_UNUSABLE',
      message: /overlaps the tables/,
    });
  });

  it('takes a stored metadata block of 8 KiB and refuses a longer one', async () => {
    const holes = (count: number): Buffer => fileOf(...Array.from({ length: count }, () => 0));
    await mapOf(drawn({ inodeTable: holes(2040) }));
    await assert.rejects(mapOf(drawn({ inodeTable: holes(2041) })), {
      code: 'IMAGE_UNUSABLE',
      message: /length that cannot be/,
    });
  });

  it('takes as many fragments as inodes and refuses one more', async () => {
    await mapOf(drawn({ inodeTable: fileOf(0), fragments: [50] }));
    await assert.rejects(mapOf(drawn({ inodeTable: fileOf(0), fragments: [50, 50] })), {
      code: 'IMAGE_UNUSABLE',
      message: /number of fragments/,
    });
  });
});
