// The squashfs reader over a small image that is not compressed, so that mutants reach the tables: refused, or a map that covers
// the image once and holds the blocks of every file, and a superblock that was read as it stands.

import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { OtadError } from '../../../agent/core/errors.ts';
import { bytesSource } from '../../../delta/byte-source.ts';
import { type BlockMap, readBlockMap } from '../../../delta/squashfs.ts';
import { type Superblock, squashfsCodecs } from '../../../delta/squashfs-superblock.ts';
import { Finding, type FuzzTarget, type Judge, mustEqual } from '../target.ts';

type Read = (image: Uint8Array) => Promise<BlockMap>;

const read: Read = (image) =>
  readBlockMap(bytesSource(image), () => () => {
    throw new RangeError('nothing here is compressed');
  });

const absent = 0xffff_ffff_ffff_ffffn;

/** The superblock's fields written back over the input's own. */
const rewrite = (image: Uint8Array, superblock: Superblock): Buffer => {
  const block = Buffer.from(image.subarray(0, 96));
  const { tables } = superblock;
  block.writeUInt32LE(superblock.inodes, 4);
  block.writeUInt32LE(superblock.blockBytes, 12);
  block.writeUInt32LE(superblock.fragments, 16);
  const codec = Object.entries(squashfsCodecs).find(([, name]) => name === superblock.codec)?.[0];
  block.writeUInt16LE(Number(codec), 20);
  block.writeUInt16LE(Math.log2(superblock.blockBytes), 22);
  block.writeUInt16LE(superblock.ids, 26);
  block.writeBigUInt64LE(BigInt(superblock.usedBytes), 40);
  const starts = [tables.ids, tables.xattrs, tables.inodes, tables.directories, tables.fragments, tables.exports];
  for (const [index, start] of starts.entries())
    block.writeBigUInt64LE(start === null ? absent : BigInt(start), 48 + 8 * index);
  return block;
};

const judgeMap = (image: Uint8Array, { superblock, files, extents }: BlockMap): string => {
  mustEqual(
    'the superblock says something else',
    rewrite(image, superblock).toString('hex'),
    Buffer.from(image.subarray(0, 96)).toString('hex'),
  );
  let at = 0;
  const starts = new Set<number>();
  for (const { offsetBytes, lengthBytes } of extents) {
    if (offsetBytes !== at || lengthBytes <= 0)
      throw new Finding(`an extent at ${offsetBytes}, after one that ends at ${at}`);
    starts.add(offsetBytes);
    at += lengthBytes;
  }
  if (at !== image.length) throw new Finding(`extents of ${at} bytes for an image of ${image.length}`);
  for (const { startBytes, blocks } of files) {
    let start = startBytes;
    for (const { lengthBytes } of blocks) {
      if (lengthBytes > 0 && !starts.has(start))
        throw new Finding(`no extent starts at ${start}, where a file's block does`);
      start += lengthBytes;
    }
  }
  return `accepted with ${files.length} files`;
};

const judgeBy =
  (reader: Read): Judge =>
  async (input) => {
    let map: BlockMap;
    try {
      map = await reader(input);
    } catch (error) {
      if (error instanceof OtadError && error.code === 'IMAGE_UNUSABLE')
        return `${error.details.problem}`.replace(/\d+/g, '0');
      throw new Finding(`an untyped error: ${(error as Error).stack}`);
    }
    return judgeMap(input, map);
  };

/** Believes one field of the two that must agree. */
const trustingRead: Read = (image) => {
  const copy = Buffer.from(image);
  if (copy.length >= 96) copy.writeUInt16LE(Math.floor(Math.log2(copy.readUInt32LE(12) || 1)), 22);
  return read(copy);
};

const makeImage = (): Buffer => {
  const folder = mkdtempSync(join(tmpdir(), 'otad-fuzz-'));
  try {
    mkdirSync(join(folder, 'tree', 'sub'), { recursive: true });
    for (const [name, bytes] of Object.entries({ one: 9000, two: 300, 'sub/three': 4096, empty: 0 })) {
      writeFileSync(join(folder, 'tree', name), Buffer.alloc(bytes, name));
    }
    const image = join(folder, 'image');
    const stored = ['-noI', '-noD', '-noF', '-noX', '-noId'];
    execFileSync('mksquashfs', [
      join(folder, 'tree'),
      image,
      '-noappend',
      '-quiet',
      '-no-progress',
      '-nopad',
      '-b',
      '4096',
      '-all-time',
      '0',
      '-mkfs-time',
      '0',
      '-all-root',
      '-comp',
      'gzip',
      ...stored,
    ]);
    return readFileSync(image);
  } finally {
    rmSync(folder, { recursive: true });
  }
};

export const squashfsTarget = (): FuzzTarget => {
  const image = makeImage();
  return {
    name: 'squashfs',
    seeds: [image],
    dictionary: ['hsqs', '\u0001\u0000', '\u0002\u0000', '\u0009\u0000'],
    // Mutants mostly keep the length: the tables are found by their offsets.
    mend: (_, random) => {
      const copy = Buffer.from(image);
      for (let changes = 1 + random.below(4); changes > 0; changes -= 1) {
        const at = random.below(3) === 0 ? random.below(96) : copy.length - 1 - random.below(600);
        copy[at] = random.below(2) === 0 ? random.below(256) : (copy[at] ?? 0) ^ (1 << random.below(8));
      }
      return copy;
    },
    judge: judgeBy(read),
    canary: { bug: 'the block size is believed although its logarithm says another', judge: judgeBy(trustingRead) },
  };
};
