import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { OtadError } from '../../agent/core/errors.ts';
import { type ByteSource, bytesSource } from '../../delta/byte-source.ts';
import { checkPatch } from '../../delta/patch-apply.ts';
import { openPatch } from '../../delta/patch-format.ts';
import { type MadePatch, makePatch } from '../../delta/patch-make.ts';
import { identify, provePatch } from '../../delta/patch-proof.ts';
import { loadZstd } from '../../delta/zstd-module.ts';
import { createRandom } from '../bootctl/random.ts';
import { anImageFolder, applyAll, newTree, oldTree, quick } from './patch-fixture.ts';

const zstd = await loadZstd();
const images = anImageFolder();
after(() => images.remove());

const make = (old: Uint8Array, image: Uint8Array, windowBytes?: number): Promise<MadePatch> =>
  makePatch(bytesSource(old), bytesSource(image), { zstd, windowBytes });

const variants: Readonly<Record<string, readonly string[]>> = {
  'fragments shared by several files': [],
  'a slower level': ['-Xcompression-level', '9'],
  'no table of exports': ['-no-exports'],
  'a table of exports': ['-exports'],
  'no fragments': ['-no-fragments'],
  'tails of all files in fragments': ['-always-use-fragments'],
  'no duplicates found': ['-no-duplicates'],
  'no padding': ['-nopad'],
  'data blocks as they are': ['-noD'],
  'fragments as they are': ['-noF'],
  'inodes as they are': ['-noI'],
  'nothing compressed': ['-noI', '-noD', '-noF', '-noX', '-noId'],
};

const old = images.image('old', oldTree);
const image = images.image('new', newTree);
const made = await make(old, image);

describe('a patch between two images', () => {
  for (const [name, args] of Object.entries(variants)) {
    it(`makes the new image from the old one, byte for byte: ${name}`, async () => {
      const before = images.image(`old ${name}`, oldTree, [...quick, ...args]);
      const later = images.image(`new ${name}`, newTree, [...quick, ...args]);
      const { bytes, report } = await make(before, later);
      const applied = await applyAll(bytes, bytesSource(before), { zstd });
      assert.deepEqual(applied.missing, []);
      assert.ok(applied.image.equals(later));
      assert.equal(applied.copiedBytes, report.copiedBytes);
      // What is new in the tree is about 50 kB; the blocks that changed are several times that.
      assert.ok(bytes.length < 90_000, `${bytes.length} bytes`);
    });
  }

  it('makes images with extended attributes', async () => {
    const before = images.imageWithAttributes('old attributes', oldTree, 'before');
    const later = images.imageWithAttributes('new attributes', newTree, 'later');
    const { bytes } = await make(before, later);
    assert.ok((await applyAll(bytes, bytesSource(before), { zstd })).image.equals(later));
  });

  it('compresses again what changed, and is a fraction of what changed', () => {
    const { report } = made;
    assert.ok(report.rebuiltBlocks > 30 && report.literalBlocks < report.rebuiltBlocks / 5, JSON.stringify(report));
    assert.ok(report.patchBytes < (image.length - report.copiedBytes) / 3, JSON.stringify(report));
  });

  it('of an image with itself is next to nothing', async () => {
    const { bytes } = await make(old, old);
    assert.ok(bytes.length < 700, `${bytes.length}`);
    assert.ok((await applyAll(bytes, bytesSource(old), { zstd })).image.equals(old));
  });

  it('holds blocks of another library or level as they are', async () => {
    const pair = [old, image].map((bytes) => {
      const copy = Buffer.from(bytes);
      // The options say another level than the blocks were made with.
      copy.writeUInt32LE(19, 98);
      return copy;
    });
    const [before = old, later = image] = pair;
    const { bytes, report } = await make(before, later);
    assert.ok(report.literalBlocks > report.rebuiltBlocks, JSON.stringify(report));
    assert.ok((await applyAll(bytes, bytesSource(before), { zstd })).image.equals(later));
  });

  it('can be made in windows, where files are too large to be searched at once', async () => {
    const { bytes } = await make(old, image, 40_000);
    assert.ok((await applyAll(bytes, bytesSource(old), { zstd })).image.equals(image));
    assert.ok(bytes.length < 2 * made.bytes.length);
  });

  it('is the same bytes each time', async () => {
    assert.ok(Buffer.from((await make(old, image)).bytes).equals(made.bytes));
  });

  it('applies to a slot that is longer than its image', async () => {
    const slot = Buffer.concat([old, Buffer.alloc(100_000, 'verity tree')]);
    assert.ok((await applyAll(made.bytes, bytesSource(slot), { zstd })).image.equals(image));
  });

  it('goes on from any byte as if it had not been cut', async () => {
    const random = createRandom(9);
    const offsets = [
      1,
      95,
      96,
      4096,
      image.length - 1,
      ...Array.from({ length: 12 }, () => random.below(image.length)),
    ];
    for (const fromBytes of offsets) {
      const rest = await applyAll(made.bytes, bytesSource(old), { zstd, fromBytes });
      assert.ok(rest.image.equals(image.subarray(fromBytes)), `from ${fromBytes}`);
    }
    assert.equal((await applyAll(made.bytes, bytesSource(old), { zstd, fromBytes: image.length })).image.length, 0);
  });

  it('goes on without unpacking what lies before', async () => {
    let readBytes = 0;
    const counting: ByteSource = {
      lengthBytes: old.length,
      read: (offset, length) => {
        readBytes += length;
        return bytesSource(old).read(offset, length);
      },
    };
    await applyAll(made.bytes, counting, { zstd, fromBytes: image.length - 500 });
    assert.ok(readBytes < old.length / 10, `${readBytes} of ${old.length}`);
  });
});

const rightWhereNotMissing = async (base: ByteSource): Promise<number> => {
  const applied = await applyAll(made.bytes, base, { zstd });
  assert.equal(applied.image.length, image.length);
  const expected = Buffer.from(image);
  for (const { offsetBytes, lengthBytes } of applied.missing) expected.fill(0, offsetBytes, offsetBytes + lengthBytes);
  assert.ok(applied.image.equals(expected));
  return applied.missing.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0);
};

describe('a base that is not as it should be', () => {
  it('is told apart before anything is made', async () => {
    const { head } = await openPatch(bytesSource(made.bytes));
    const ids = { base: await identify(bytesSource(old)), image: await identify(bytesSource(image)) };
    checkPatch(head, ids, zstd);
    const refused = (expected: typeof ids): void =>
      assert.throws(() => checkPatch(head, expected, zstd), { code: 'PATCH_BASE_MISMATCH' });
    refused({ ...ids, base: ids.image });
    refused({ ...ids, image: ids.base });
    await assert.rejects(applyAll(made.bytes, bytesSource(old.subarray(1)), { zstd }), { code: 'PATCH_BASE_MISMATCH' });
  });

  it('has missing pieces where a byte is flipped, and right ones elsewhere', async () => {
    const random = createRandom(4);
    let seen = 0;
    for (let times = 0; times < 15; times += 1) {
      const damaged = Buffer.from(old);
      const at = 200 + random.below(old.length - 8000);
      damaged[at] = (damaged[at] ?? 0) ^ 0x10;
      seen += (await rightWhereNotMissing(bytesSource(damaged))) > 0 ? 1 : 0;
    }
    assert.ok(seen > 3);
  });

  it('has missing pieces where it cannot be read', async () => {
    const failing: ByteSource = {
      lengthBytes: old.length,
      read: async (offset, length) => {
        if (offset + length > 50_000 && offset < 60_000) throw new OtadError('SLOT_IO', {});
        return old.subarray(offset, offset + length);
      },
    };
    assert.ok((await rightWhereNotMissing(failing)) > 0);
    const none: ByteSource = { lengthBytes: old.length, read: () => Promise.reject(new Error('gone')) };
    assert.ok((await rightWhereNotMissing(none)) > image.length / 2);
  });
});

describe('what a patch cannot be made for', () => {
  it('is an image of another compressor, and the sentence says what happens instead', async () => {
    const other = images.image('gzip', oldTree, ['-comp', 'gzip']);
    for (const pair of [
      [other, image],
      [old, other],
    ] as const) {
      await assert.rejects(make(...pair), { code: 'IMAGE_NOT_PATCHABLE', message: /gzip.*index only/ });
    }
  });

  it('is what unpacks to far more than the image: found when it is made, by the bounds of gateways', async () => {
    const lines = Array.from({ length: 200_000 }, (_, at) => `line ${at % 1000} of a table that compresses well\n`);
    const dense = images.image('dense', { ...oldTree, 'var/table': Buffer.from(lines.join('')) }, quick);
    await assert.rejects(make(old, dense), { code: 'IMAGE_NOT_PATCHABLE', message: /would refuse.*much more than/ });
  });

  it('is what is no image', async () => {
    await assert.rejects(make(Buffer.alloc(5000), image), { code: 'IMAGE_UNUSABLE' });
  });
});

describe('a patch and the library that applies it', () => {
  it('must be of one release', async () => {
    const { head } = await openPatch(bytesSource(made.bytes));
    const ids = { base: head.base, image: head.image };
    const other = { ...zstd, compress: (bytes: Uint8Array, level: number) => zstd.compress(bytes, level + 1) };
    assert.throws(() => checkPatch(head, ids, other), { code: 'PATCH_CODEC_MISMATCH' });
    const renamed = { ...head, recompression: { ...head.recompression, library: 'zstd 1.5.4' } };
    assert.throws(() => checkPatch(renamed, ids, zstd), { code: 'PATCH_CODEC_MISMATCH' });
  });

  it('gives missing blocks when the library compresses otherwise', async () => {
    const other = { ...zstd, compress: (bytes: Uint8Array) => zstd.compress(bytes, 5) };
    const { missing } = await applyAll(made.bytes, bytesSource(old), { zstd: other });
    assert.ok(missing.length > 10);
  });
});

describe('the proof of a patch', () => {
  it('takes a right one and throws on one that makes another image', async () => {
    await provePatch(bytesSource(made.bytes), bytesSource(old), bytesSource(image), { zstd });
    const wrong = { ...zstd, compress: (bytes: Uint8Array) => zstd.compress(bytes, 5) };
    const prove = provePatch(bytesSource(made.bytes), bytesSource(old), bytesSource(image), { zstd: wrong });
    await assert.rejects(prove, (error: OtadError) => ['PATCH_UNPROVEN', 'PATCH_CODEC_MISMATCH'].includes(error.code));
  });

  it('compares every byte', async () => {
    const open: ByteSource = bytesSource(image);
    let isSpoiled = false;
    // Right while it is digested, and wrong when it is compared.
    const later: ByteSource = {
      lengthBytes: image.length,
      read: async (offset, length) => {
        const bytes = Buffer.from(await open.read(offset, length));
        if (isSpoiled && offset + length === image.length) bytes[length - 1] = (bytes[length - 1] ?? 0) ^ 1;
        if (offset + length === image.length) isSpoiled = true;
        return bytes;
      },
    };
    await assert.rejects(provePatch(bytesSource(made.bytes), bytesSource(old), later, { zstd }), {
      code: 'PATCH_UNPROVEN',
    });
  });
});

describe('a person who stops it', () => {
  it('is obeyed by maker and device', async () => {
    const signal = AbortSignal.abort();
    await assert.rejects(makePatch(bytesSource(old), bytesSource(image), { zstd, signal }), { code: 'CANCELLED' });
    await assert.rejects(applyAll(made.bytes, bytesSource(old), { zstd, signal }), { code: 'CANCELLED' });
  });
});
