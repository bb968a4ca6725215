import assert from 'node:assert/strict';
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { describe, type TestContext, test } from 'node:test';
import { recordAreaBytes } from '../../../agent/core/slot-layout.ts';
import { bytesSource } from '../../../delta/byte-source.ts';
import { makeIndex } from '../../../delta/chunk-cut.ts';
import { decodeIndex } from '../../../delta/chunk-index.ts';
import { decompressorOf } from '../../../publish/images/squashfs-codec.ts';
import { treeLengthBytes } from '../../../verity/dm-verity.ts';
import {
  aDeltaBench,
  aMirrorSource,
  aTarget,
  type DeltaBench,
  type DeltaBenchOptions,
  imagePath,
  indexOf,
  indexPath,
  type Pieces,
  pieces,
} from '../../support/delta-bench.ts';
import { aRangeServer, type RangeBehaviour, type RangeServer } from '../../support/range-server.ts';
import { isCode } from '../../support/slot-bench.ts';
import { squashfsOf, withTree } from '../../support/squashfs-bench.ts';
import { isAcceptedByVeritysetup } from '../../support/veritysetup.ts';

const mebibyte = 1024 * 1024;
const slotBytes = 8 * mebibyte;

const oldImage: Pieces = pieces(
  ['super', 96],
  ['a', 90_000],
  ['b', 131_072],
  ['c', 70_001],
  ['d', 130_000],
  ['e', 50_000],
);
const newImage: Pieces = pieces(
  ['super 2', 96],
  ['a', 90_000],
  ['new', 40_000],
  ['c', 70_001],
  ['b', 131_072],
  ['new 2', 125_003],
  ['e', 50_000],
  ['tables', 33_333],
);
const missingBytes = 96 + 40_000 + 125_003 + 33_333;

interface Scene {
  readonly server: RangeServer;
  readonly bench: DeltaBench;
  readonly image: Buffer;
  readonly index: Uint8Array | null;
}

interface SceneOptions extends Partial<Pick<DeltaBenchOptions, 'running' | 'slotBytes' | 'devices'>> {
  readonly image?: Buffer;
  readonly index?: Uint8Array | null;
}

const aScene = async (t: TestContext, options: SceneOptions = {}): Promise<Scene> => {
  const image = options.image ?? Buffer.concat(newImage);
  const index = options.index === undefined ? indexOf(newImage) : options.index;
  const { artifact, files } = aTarget(image, index);
  const server = await aRangeServer(t, files);
  const before = { image: Buffer.concat(oldImage), index: indexOf(oldImage) };
  const bench = aDeltaBench({
    slotBytes,
    running: before,
    artifact,
    source: aMirrorSource(t, [server.url]),
    ...options,
  });
  return { server, bench, image, index };
};

const writeWhole = async ({ bench, image }: Scene): Promise<void> => {
  const install = bench.start();
  await install.write();
  assert.equal((await install.verify()).status, 'verified');
  assert.ok(readFileSync(bench.slots.paths.b).subarray(0, image.length).equals(image));
};

describe('an update by index', () => {
  for (const codec of ['zstd', 'gzip', 'xz', 'lz4', 'none'] as const) {
    test(`copies what the running slot holds of a squashfs image and fetches the rest: ${codec}`, async (t) => {
      const args = codec === 'none' ? ['-noI', '-noD', '-noF', '-noX', '-noId'] : ['-comp', codec];
      const [before, image] = [squashfsOf('old', withTree('base'), args), squashfsOf('new', withTree('grown'), args)];
      const cut = (bytes: Buffer) => makeIndex(bytesSource(bytes), ({ codec: by }) => decompressorOf(by));
      const [oldIndex, index] = [await cut(before), await cut(image)];
      const scene = await aScene(t, { image, index, running: { image: before, index: oldIndex } });
      await writeWhole(scene);
      const { bench, server } = scene;
      const { copiedBytes = 0, fetchedBytes = 0, savedBytes } = bench.progress.at(-1) ?? {};
      assert.equal(fetchedBytes, server.sentBytes());
      assert.ok(server.sentBytes() < image.length / 2, `${server.sentBytes()} of ${image.length} bytes`);
      assert.equal(copiedBytes, image.length - server.sentBytes(imagePath));
      assert.equal(savedBytes, image.length - server.sentBytes());
      assert.equal(isAcceptedByVeritysetup(bench.slots.paths.b, bench.release.artifacts[0]?.verity ?? raise()), true);
    });
  }

  test('fetches the missing bytes and the index, and not one byte more', async (t) => {
    const scene = await aScene(t);
    await writeWhole(scene);
    assert.equal(scene.server.sentBytes(imagePath), missingBytes);
    assert.equal(scene.server.sentBytes(indexPath), scene.index?.length);
    assert.ok(scene.server.requests.every(({ path, range }) => path === indexPath || range !== null));
    assert.deepEqual(scene.bench.reasons(), []);
  });

  test('fetches a gap of less than 2 KiB along instead of asking twice', async (t) => {
    const held = pieces(['a', 1000], ['b', 3000]);
    const image = pieces(['x', 5000], ['a', 1000], ['y', 5000], ['b', 3000], ['z', 5000]);
    const scene = await aScene(t, {
      image: Buffer.concat(image),
      index: indexOf(image),
      running: { image: Buffer.concat(held), index: indexOf(held) },
    });
    await writeWhole(scene);
    assert.deepEqual(
      scene.server.requests.filter(({ path }) => path === imagePath).map(({ range }) => range),
      [
        { from: 0, to: 11_000 },
        { from: 14_000, to: 19_000 },
      ],
    );
  });

  test('asks for a long stretch in parts, at most four at once', async (t) => {
    const image = pieces(['a', 90_000], ...Array.from({ length: 40 }, (_, index) => [`n${index}`, 100_000] as const));
    const scene = await aScene(t, { image: Buffer.concat(image), index: indexOf(image) });
    // It begins with one request at a time, and by here knows the link as a fast one.
    const fastFromBytes = 2_000_000;
    const spoil: NonNullable<RangeBehaviour['spoil']> = (path, offsetBytes, bytes) => {
      if (path === imagePath && offsetBytes > fastFromBytes) scene.server.behave({ gathers: 4 });
      return bytes;
    };
    scene.server.behave({ spoil });
    await scene.bench.start({ monoMs: () => 0 }).write();
    assert.equal((await scene.bench.start().verify()).status, 'verified');
    const lengths = scene.server.requests.flatMap(({ range }) => (range === null ? [] : [range.to - range.from]));
    assert.ok(Math.max(...lengths) <= 192 * 1024);
    assert.equal(scene.server.inFlightMax(), 4);
  });

  test('leaves an index in the slot by which the next update copies, without a database', async (t) => {
    const first = await aScene(t);
    await writeWhole(first);
    const slot = readFileSync(first.bench.slots.paths.b);
    assert.ok(first.index !== null && slot.indexOf(Buffer.from(first.index)) > first.image.length, 'behind the tree');
    // Back to the release before, from the slot that was just written.
    const { artifact, files } = aTarget(Buffer.concat(oldImage), indexOf(oldImage));
    const server = await aRangeServer(t, files);
    const next = aDeltaBench({ slotBytes, running: null, artifact, source: aMirrorSource(t, [server.url]) });
    writeFileSync(next.slots.paths.a, slot);
    await next.start().write();
    assert.equal(server.sentBytes(imagePath), 96 + 130_000);
  });

  test('does without a stored index where the slot has no room for it', async (t) => {
    const image = Buffer.concat(newImage);
    const exact = Math.ceil(image.length / 4096) * 4096 + treeLengthBytes(image.length) + recordAreaBytes;
    const scene = await aScene(t, { slotBytes: exact, running: { image: Buffer.concat(oldImage), index: null } });
    await writeWhole(scene);
    assert.equal(
      scene.index === null ? 0 : readFileSync(scene.bench.slots.paths.b).indexOf(Buffer.from(scene.index)),
      -1,
    );
    assert.match(scene.bench.reasons()[0] ?? '', /the running slot carries no chunk index/);
  });

  test('uses what an interrupted install of another release left in the slot', async (t) => {
    const first = await aScene(t);
    first.server.behave({ cutAfterBytes: (first.index?.length ?? 0) + 150_000 });
    await assert.rejects(first.bench.start().write(), isCode('HTTP_TRUNCATED'));
    const later: Pieces = [...pieces(['super 3', 96]), ...newImage.slice(1)];
    const { artifact, files } = aTarget(Buffer.concat(later), indexOf(later));
    const server = await aRangeServer(t, files);
    const bench = aDeltaBench({ slotBytes, running: null, artifact, source: aMirrorSource(t, [server.url]) });
    for (const name of ['a', 'b'] as const) copyFileSync(first.bench.slots.paths[name], bench.slots.paths[name]);
    await bench.start().write();
    const again = server.sentBytes(imagePath);
    assert.ok(again < missingBytes, `${again} bytes`);
  });
});

const raise = (): never => {
  throw new RangeError('the artifact has dm-verity');
};

describe('the way back to the whole image', () => {
  const whole = async (scene: Scene, reason: RegExp): Promise<void> => {
    await writeWhole(scene);
    assert.match(scene.bench.reasons().join('; '), reason);
    assert.ok(
      scene.server.requests.some(
        ({ path, range, isOpen, sentBytes }) => path === imagePath && (range === null || isOpen) && sentBytes > 0,
      ),
    );
  };

  test('no index in the release', async (t) => whole(await aScene(t, { index: null }), /names no chunk index/));

  test('an index that the server does not have', async (t) => {
    const scene = await aScene(t);
    scene.server.behave({ missing: [indexPath] });
    await whole(scene, /chunk index cannot be had/);
  });

  test('an index with another digest than the signed one', async (t) => {
    const scene = await aScene(t);
    scene.server.behave({ spoil: (path, _offset, bytes) => (path === indexPath ? bytes.fill(7, 90, 91) : bytes) });
    await whole(scene, /does not have the signed digest/);
  });

  test('a signed index that is none', async (t) => {
    await whole(await aScene(t, { index: Buffer.alloc(84, 1) }), /not of the documented form/);
  });

  test('a signed index whose chunks point outside of the image', async (t) => {
    await whole(await aScene(t, { index: indexOf([...newImage, Buffer.alloc(50_000)]) }), /of another image/);
  });

  test('a signed index of another image of the same length', async (t) => {
    await whole(await aScene(t, { index: indexOf(newImage, { sha256Hex: 'ab'.repeat(32) }) }), /of another image/);
  });

  test('a signed index that is too long', async (t) => {
    await whole(await aScene(t, { index: Buffer.alloc(5 * mebibyte) }), /longer than 4194304 bytes/);
  });

  test('a signed index that lies about the bytes of the image', async (t) => {
    const lie = newImage.map((bytes, place) => (place === 2 ? Buffer.alloc(bytes.length, 1) : bytes));
    const index = indexOf(lie, { sha256Hex: decodeIndex(indexOf(newImage)).image.sha256Hex });
    await whole(await aScene(t, { index }), /other bytes than the chunk index names, at byte 90096/);
  });

  test('a signed index whose pieces the running slot has, and that are not the image', async (t) => {
    const lie = newImage.map((bytes, place) => (place === 3 ? bytes : place === 1 ? (oldImage[1] ?? bytes) : bytes));
    // Two chunks that the running slot holds, exchanged: each is right by the index, the whole is not the image.
    const exchanged = lie.map((bytes, place) =>
      place === 3 ? (lie[4] ?? bytes) : place === 4 ? (lie[3] ?? bytes) : bytes,
    );
    const index = indexOf(exchanged, { sha256Hex: decodeIndex(indexOf(newImage)).image.sha256Hex });
    const scene = await aScene(t, { index });
    await writeWhole(scene);
    assert.ok(scene.bench.log.some(({ message }) => /pieces do not make the signed image/.test(message)));
    assert.equal(scene.server.requests.at(-1)?.sentBytes, scene.image.length);
  });

  for (const [ranges, reason] of [
    ['whole', /no ranges.*status: 200/],
    ['shifted', /no ranges/],
    ['refused', /no ranges.*416/],
  ] as const) {
    test(`a server whose answer to a Range request is ${ranges}`, async (t) => {
      const scene = await aScene(t);
      scene.server.behave({ ranges });
      await whole(scene, reason);
    });
  }

  test('a running slot without an index', async (t) => {
    await whole(
      await aScene(t, { running: { image: Buffer.concat(oldImage), index: null } }),
      /carries no chunk index/,
    );
  });

  test('a running slot without a record', async (t) => {
    await whole(await aScene(t, { running: null }), /carries no chunk index/);
  });

  test('a running slot whose index is of another image', async (t) => {
    const running = { image: Buffer.concat(oldImage), index: indexOf(newImage) };
    await whole(await aScene(t, { running }), /carries no chunk index/);
  });

  test('an index that never comes, after three attempts that it broke', async (t) => {
    const scene = await aScene(t);
    const install = scene.bench.start();
    for (let attempt = 1; attempt < 3; attempt += 1) {
      scene.server.behave({ cutAfterBytes: 10 });
      await assert.rejects(install.write(), isCode('HTTP_TRUNCATED'));
    }
    scene.server.behave({ spoil: (path, _offset, bytes) => (path === indexPath ? bytes.subarray(0, 10) : bytes) });
    await install.write();
    assert.match(scene.bench.reasons().join('; '), /chunk index cannot be had/);
  });
});

describe('a source that is not what its index says', () => {
  test('one rotten chunk of the running slot is fetched; the running slot is not touched', async (t) => {
    const image = Buffer.concat(oldImage);
    const rotten = Buffer.from(image);
    rotten.writeUInt8(rotten.readUInt8(100_000 + 131_072) ^ 1, 100_000 + 131_072);
    const scene = await aScene(t);
    const slot = readFileSync(scene.bench.slots.paths.a);
    slot.set(rotten);
    writeFileSync(scene.bench.slots.paths.a, slot);
    await writeWhole(scene);
    assert.equal(scene.server.sentBytes(imagePath), missingBytes + 70_001);
    assert.ok(readFileSync(scene.bench.slots.paths.a).equals(slot));
  });

  test('a slot that is rotten all over is given up, and its chunks come in joined requests again', async (t) => {
    const many = pieces(...Array.from({ length: 60 }, (_, index) => [`m${index}`, 20_000] as const));
    const index = indexOf(many);
    const image: Pieces = [...pieces(['front', 5000]), ...many];
    const scene = await aScene(t, {
      image: Buffer.concat(image),
      index: indexOf(image),
      running: { image: Buffer.concat(many), index },
    });
    const slot = readFileSync(scene.bench.slots.paths.a);
    slot.fill(0, 0, 59 * 20_000);
    writeFileSync(scene.bench.slots.paths.a, slot);
    await writeWhole(scene);
    assert.ok(scene.server.requests.length < 25, `${scene.server.requests.length} requests`);
    assert.ok(scene.bench.log.some(({ message }) => /does not hold what its chunk index says/.test(message)));
  });

  test('what is on its way when a slot is given up is used, and not fetched twice', async (t) => {
    const held = pieces(...Array.from({ length: 24 }, (_, at) => [`h${at}`, 50_000] as const));
    const news = pieces(...Array.from({ length: 20 }, (_, at) => [`n${at}`, 50_000] as const));
    const image: Pieces = [
      ...news.slice(0, 4),
      ...held.slice(0, 10),
      ...news.slice(4, 8),
      ...held.slice(10, 12),
      ...news.slice(8),
      ...held.slice(12),
    ];
    const scene = await aScene(t, {
      image: Buffer.concat(image),
      index: indexOf(image),
      running: { image: Buffer.concat(held), index: indexOf(held) },
    });
    const slot = readFileSync(scene.bench.slots.paths.a);
    slot.fill(0, 0, 8 * 50_000);
    writeFileSync(scene.bench.slots.paths.a, slot);
    await writeWhole(scene);
    assert.ok(scene.bench.log.some(({ message }) => /does not hold what its chunk index says/.test(message)));
    const { copiedBytes = 0, savedBytes } = scene.bench.progress.at(-1) ?? {};
    assert.equal(scene.server.sentBytes(imagePath), image.length * 50_000 - copiedBytes);
    assert.equal(savedBytes, Math.max(0, copiedBytes - indexOf(image).length));
  });

  test('what was on its way when the link broke is told as fetched for nothing', async (t) => {
    const held = pieces(...Array.from({ length: 24 }, (_, at) => [`h${at}`, 50_000] as const));
    const image: Pieces = [...held, ...pieces(...Array.from({ length: 20 }, (_, at) => [`n${at}`, 50_000] as const))];
    const scene = await aScene(t, {
      image: Buffer.concat(image),
      index: indexOf(image),
      running: { image: Buffer.concat(held), index: indexOf(held) },
    });
    scene.server.behave({ cutAfterBytes: indexOf(image).length + 320_000 });
    await assert.rejects(scene.bench.start().write(), isCode('HTTP_TRUNCATED'));
    const { fetchedBytes = 0, savedBytes = 0 } = scene.bench.progress.at(-1) ?? {};
    const record = await scene.bench.slots.devices.readRecord('b', new AbortController().signal);
    const strayBytes = savedBytes - ((record?.writtenBytes ?? 0) - fetchedBytes);
    assert.ok(strayBytes >= 0 && strayBytes < 4096, `${strayBytes} bytes`);
  });

  test('a wrong chunk from one server is fetched again from the next', async (t) => {
    const { artifact, files } = aTarget(Buffer.concat(newImage), indexOf(newImage));
    const [liar, honest] = [await aRangeServer(t, files), await aRangeServer(t, files)];
    liar.behave({ spoil: (path, _offset, bytes) => (path === imagePath ? Buffer.from(bytes).fill(1, 0, 1) : bytes) });
    const bench = aDeltaBench({
      slotBytes,
      running: { image: Buffer.concat(oldImage), index: indexOf(oldImage) },
      artifact,
      source: aMirrorSource(t, [liar.url, honest.url]),
    });
    const install = bench.start();
    await install.write();
    assert.equal((await install.verify()).status, 'verified');
    assert.deepEqual(bench.reasons(), [], 'the index goes on');
    assert.ok(honest.sentBytes() > 0);
  });

  test('a changed ETag over the same bytes costs nothing, over other bytes the chunk', async (t) => {
    const scene = await aScene(t);
    scene.server.behave({ etag: (request) => `"${request}"` });
    await writeWhole(scene);
    assert.equal(scene.server.sentBytes(imagePath), missingBytes);
  });

  test('a server that lies about every byte is found out at the end, and nothing of it stays', async (t) => {
    const scene = await aScene(t);
    scene.server.behave({
      spoil: (path, _offset, bytes) => (path === imagePath ? Buffer.from(bytes).fill(1, 0, 1) : bytes),
    });
    await assert.rejects(scene.bench.start().write(), isCode('IMAGE_DIGEST_MISMATCH'));
    scene.server.behave({});
    await writeWhole(scene);
  });
});
