import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { type ErrorCode, OtadError } from '../../../agent/core/errors.ts';
import type { Patching, SlotDevices } from '../../../agent/core/ports.ts';
import type { SlotName } from '../../../agent/core/types.ts';
import { bytesSource } from '../../../delta/byte-source.ts';
import { headBytesOf } from '../../../delta/patch-format.ts';
import { groupBytesMax } from '../../../delta/patch-head.ts';
import { makePatch } from '../../../delta/patch-make.ts';
import { createPatching } from '../../../delta/patching.ts';
import { loadZstd } from '../../../delta/zstd-module.ts';
import { dyingAt, imagePath, indexOf, indexPath } from '../../support/delta-bench.ts';
import {
  anArtifactPatch,
  aPatchPair,
  aPatchScene,
  groupsOf,
  headOf,
  type PatchScene,
  patchPath,
  withHead,
} from '../../support/patch-bench.ts';
import { isCode, sha256Of } from '../../support/slot-bench.ts';
import { isAcceptedByVeritysetup } from '../../support/veritysetup.ts';

const pair = await aPatchPair();
const { old, image, index, patch } = pair;
const headBytes = headBytesOf(patch).length;
const groups = groupsOf(patch);
/** Makes an image with another time in its superblock, and says that it is the signed one. */
const lie = await (async () => {
  const other = Buffer.from(image);
  other.writeUInt32LE(77, 8);
  const made = await makePatch(bytesSource(old), bytesSource(other), { zstd: await loadZstd() });
  return withHead(made.bytes, () => ({ image: { lengthBytes: image.length, sha256Hex: sha256Of(image) } }));
})();
const groupBytes = Math.max(...groups.map(({ length }) => length));

/** Of chunks so short that there are more of them than misses are borne. */
const shortIndex = indexOf(
  Array.from({ length: Math.ceil(image.length / 3000) }, (_, at) => image.subarray(3000 * at, 3000 * at + 3000)),
);

/** Installs, and sees that the slot holds the image and the running one is what it was. */
const writeWhole = async ({ bench }: PatchScene, over: Parameters<typeof bench.start>[0] = {}): Promise<void> => {
  const before = readFileSync(bench.slots.paths.a);
  const install = bench.start(over);
  await install.write();
  assert.equal((await install.verify()).status, 'verified');
  assert.ok(readFileSync(bench.slots.paths.b).subarray(0, image.length).equals(image));
  assert.ok(readFileSync(bench.slots.paths.a).equals(before), 'the running slot is as it was');
};

/** Ends the attempt at this byte of what a patch makes. */
const stoppedAt = (ending: AbortController, at: number): Patching => ({
  open: async (...known) => {
    const opened = await createPatching().open(...known);
    return {
      ...opened,
      pieces: async function* (from, supply) {
        for await (const piece of opened.pieces(from, supply)) {
          const isBeyond = piece.kind === 'bytes' && at - piece.offsetBytes < piece.bytes.length;
          yield isBeyond ? { ...piece, bytes: piece.bytes.subarray(0, at - piece.offsetBytes) } : piece;
          if (!isBeyond) continue;
          ending.abort();
          throw new OtadError('CANCELLED');
        }
      },
    };
  },
});

const rot = ({ bench }: PatchScene, from: number, to: number): void => {
  const slot = readFileSync(bench.slots.paths.a);
  for (let at = from; at < to; at += 1) slot[at] = (slot[at] ?? 0) ^ 0x55;
  writeFileSync(bench.slots.paths.a, slot);
};

describe('an update by patch', () => {
  test('fetches the patch and the index, and not one byte of the image', async (t) => {
    const scene = await aPatchScene(t, pair);
    await writeWhole(scene);
    const { server, bench } = scene;
    assert.equal(server.sentBytes(imagePath), 0);
    assert.equal(server.sentBytes(patchPath), patch.length);
    assert.equal(server.sentBytes(indexPath), index.length);
    assert.deepEqual(bench.reasons(), []);
    const verity = bench.release.artifacts[0]?.verity;
    assert.ok(verity && isAcceptedByVeritysetup(bench.slots.paths.b, verity));
  });

  test('tells how much it rebuilt, copied, fetched and saved', async (t) => {
    const scene = await aPatchScene(t, pair);
    await writeWhole(scene);
    const last = scene.bench.progress.filter(({ step }) => step === 'fetching').at(-1);
    const { copiedBytes = 0, rebuiltBytes = 0, fetchedBytes, savedBytes, detour } = last ?? {};
    assert.ok(copiedBytes > 50_000 && rebuiltBytes > 50_000, `${copiedBytes} copied, ${rebuiltBytes} rebuilt`);
    assert.equal(copiedBytes + rebuiltBytes, image.length);
    assert.equal(fetchedBytes, scene.server.sentBytes());
    assert.equal(savedBytes, image.length - scene.server.sentBytes());
    assert.equal(detour, null);
  });

  test('asks for one part at a time, none longer than the format allows', async (t) => {
    const scene = await aPatchScene(t, pair);
    await writeWhole(scene);
    const parts = scene.server.requests.filter(({ path }) => path === patchPath);
    assert.ok(groups.length > 3, `${groups.length} groups`);
    assert.equal(parts.length, 1 + groups.length);
    assert.equal(scene.server.inFlightMax(), 1);
    assert.ok(parts.every(({ range }) => range !== null && range.to - range.from <= groupBytesMax));
  });

  test('makes the image without an index', async (t) => {
    const scene = await aPatchScene(t, pair, { index: null });
    await writeWhole(scene);
    assert.equal(scene.server.sentBytes(), patch.length);
  });

  test('starts the library once, and only when a patch is applied', async (t) => {
    let starts = 0;
    const patching = createPatching(() => {
      starts += 1;
      return loadZstd();
    });
    const other = anArtifactPatch(patch, image);
    await writeWhole(await aPatchScene(t, pair, { patches: [other] }), { patching });
    assert.equal(starts, 0);
    await writeWhole(await aPatchScene(t, pair, { patches: [other, anArtifactPatch(patch, old)] }), { patching });
    assert.equal(starts, 1);
  });
});

describe('an update by patch that is cut short', () => {
  const restartBytes = headBytes + 2 * groupBytes;

  test('a link that breaks costs the head and two parts at the most, in the same process or the next', async (t) => {
    for (const isNextProcess of [false, true]) {
      const scene = await aPatchScene(t, pair, { index: shortIndex });
      const { server, bench } = scene;
      let install = bench.start();
      let cuts = 0;
      const cutAfterBytes = shortIndex.length + restartBytes + 1000;
      for (server.behave({ cutAfterBytes }); ; server.behave({ cutAfterBytes })) {
        const isDone = await install.write().then(
          () => true,
          (error: unknown) => !isCode('HTTP_TRUNCATED')(error) && assert.fail(String(error)),
        );
        if (isDone) break;
        cuts += 1;
        assert.ok(cuts < 20);
        if (isNextProcess) install = bench.start();
      }
      assert.ok(cuts > 1, `${cuts} cuts`);
      assert.ok(server.sentBytes(imagePath) <= cuts * groupBytes);
      assert.ok(
        server.sentBytes() <= shortIndex.length + patch.length + cuts * restartBytes,
        `${server.sentBytes()} bytes`,
      );
      assert.equal((await install.verify()).status, 'verified');
    }
  });

  test('a process that ends anywhere goes on there', async (t) => {
    const scene = await aPatchScene(t, pair, { index: shortIndex });
    const { server, bench } = scene;
    let ends = 0;
    for (const share of [0.2, 0.5, 0.8]) {
      const ending = new AbortController();
      const timer = setInterval(() => {
        if ((bench.progress.at(-1)?.doneBytes ?? 0) > image.length * share) ending.abort();
      }, 0);
      await assert.rejects(bench.start().write(ending.signal), isCode('CANCELLED'));
      clearInterval(timer);
      ends += 1;
    }
    const before = bench.progress.length;
    await writeWhole(scene);
    assert.ok(
      (bench.progress.slice(before).find(({ step }) => step === 'fetching')?.doneBytes ?? 0) > image.length / 2,
    );
    assert.ok(server.sentBytes(imagePath) <= ends * groupBytes);
    assert.ok(
      server.sentBytes() <= shortIndex.length + patch.length + ends * restartBytes,
      `${server.sentBytes()} bytes`,
    );
  });

  test('a process that dies at any write to the slot costs the head and two parts at the most', async (t) => {
    for (let writes = 1, isDead = true; isDead; writes += writes < 8 ? 1 : 5) {
      let devices = dyingAt(writes);
      const scene = await aPatchScene(t, pair, { index: shortIndex, devices: (real) => devices(real) });
      isDead = await scene.bench
        .start()
        .write()
        .then(
          () => false,
          () => true,
        );
      devices = (real) => real;
      await writeWhole(scene);
      const { server } = scene;
      assert.ok(
        server.sentBytes(patchPath) <= patch.length + restartBytes,
        `${server.sentBytes(patchPath)} at ${writes}`,
      );
      assert.ok(server.sentBytes(imagePath) <= groupBytes);
    }
  });

  test('a link that never lasts for a part of the patch is not asked for it for ever', async (t) => {
    const scene = await aPatchScene(t, pair, { index: shortIndex });
    const { server, bench } = scene;
    const install = bench.start();
    const broken = { cutAfterBytes: shortIndex.length + headBytes + 1000 };
    for (let attempt = 1; attempt <= 3; attempt += 1) {
      server.behave(broken);
      await assert.rejects(install.write(), isCode('HTTP_TRUNCATED'));
    }
    const sentBytes = server.sentBytes(patchPath);
    server.behave({});
    await install.write();
    assert.equal(server.sentBytes(patchPath), sentBytes);
    assert.match(bench.reasons().join('; '), /its patch cannot be had.*broke too often/);
    assert.equal((await install.verify()).status, 'verified');
  });

  test('a part that never comes is given up, though the one before it comes each time', async (t) => {
    const scene = await aPatchScene(t, pair, { index: shortIndex });
    const { server, bench } = scene;
    const install = bench.start();
    // The part of which a cut in its end costs more by Range than the part itself.
    const last = groups.findIndex((_, place) => (headOf(patch).groups[place]?.newBytes ?? 0) > 100_000);
    const behind = headBytes + groups.slice(0, last + 1).reduce((sum, { length }) => sum + length, 0);
    server.behave({
      spoil: (path, offset, bytes) => (path === patchPath && offset >= behind ? bytes.subarray(0, 0) : bytes),
    });
    let attempts = 1;
    for (let isDone = false; !isDone; attempts += 1) {
      assert.ok(attempts < 8, 'it is not asked for for ever');
      isDone = await install.write().then(
        () => true,
        () => false,
      );
    }
    assert.ok(attempts > 3, 'nor given up at once');
    assert.match(bench.reasons().join('; '), /its patch cannot be had/);
    assert.equal((await install.verify()).status, 'verified');
  });

  test('a patch that was given up is asked for again after an hour', async (t) => {
    const { server, bench } = await aPatchScene(t, pair, { index: shortIndex });
    let nowMs = 0;
    const install = bench.start({ monoMs: () => nowMs });
    const tryOnce = async (): Promise<void> => {
      server.behave({ cutAfterBytes: shortIndex.length + headBytes + 1000 });
      await assert.rejects(install.write(), isCode('HTTP_TRUNCATED'));
    };
    for (let attempt = 1; attempt <= 3; attempt += 1) await tryOnce();
    const sentBytes = server.sentBytes(patchPath);
    nowMs = 3_599_999;
    server.behave({ cutAfterBytes: 0 });
    await assert.rejects(install.write());
    assert.equal(server.sentBytes(patchPath), sentBytes);
    nowMs = 3_600_001;
    server.behave({});
    await install.write();
    assert.ok(server.sentBytes(patchPath) > sentBytes);
    assert.equal((await install.verify()).status, 'verified');
  });

  test('a slot that has to be begun anew does not hold against its patch how far it had come', async (t) => {
    const options = { zstd: await loadZstd(), groupBytes: 2048 };
    const { bytes } = await makePatch(bytesSource(old), bytesSource(image), options);
    const longest = Math.max(...groupsOf(bytes).map(({ length }) => length));
    const { server, bench } = await aPatchScene(t, pair, { patch: bytes, index: null });
    const install = bench.start();
    server.behave({ cutAfterBytes: bytes.length - 100 });
    await assert.rejects(install.write(), isCode('HTTP_TRUNCATED'));
    const slot = readFileSync(bench.slots.paths.b);
    slot[100] = (slot[100] ?? 0) ^ 1;
    writeFileSync(bench.slots.paths.b, slot);
    let cuts = 0;
    for (let isDone = false; !isDone; cuts += 1) {
      assert.ok(cuts < 20);
      server.behave({ cutAfterBytes: headBytesOf(bytes).length + 4096 + longest + 100 });
      isDone = await install.write().then(
        () => true,
        () => false,
      );
    }
    assert.ok(cuts > 3, `${cuts} cuts`);
    assert.deepEqual(bench.reasons(), []);
    assert.equal((await install.verify()).status, 'verified');
  });

  test('what is left of a part comes in one request, however many chunks it is, and speaks against nobody', async (t) => {
    const { bytes } = await makePatch(bytesSource(old), bytesSource(image), {
      zstd: await loadZstd(),
      groupBytes: 40_000,
    });
    const [first] = headOf(bytes).groups;
    const end = first?.newBytes ?? assert.fail();
    const chunkBytes = 100;
    const tiny = indexOf(
      Array.from({ length: Math.ceil(image.length / chunkBytes) }, (_, at) =>
        image.subarray(chunkBytes * at, chunkBytes * at + chunkBytes),
      ),
    );
    const { server, bench } = await aPatchScene(t, pair, { patch: bytes, index: tiny });
    const ending = new AbortController();
    const leftBytes = Math.min(first?.packedBytes ?? 0, 12_000);
    const install = bench.start({ patching: stoppedAt(ending, end - leftBytes + 4096) });
    await assert.rejects(install.write(ending.signal), isCode('CANCELLED'));
    const next = bench.start();
    await next.write();
    assert.equal((await next.verify()).status, 'verified');
    const asked = server.requests.filter(({ path }) => path === imagePath);
    assert.equal(asked.length, 1);
    assert.ok(server.sentBytes(imagePath) > 33 * chunkBytes, `${server.sentBytes(imagePath)} bytes`);
    assert.deepEqual(bench.reasons(), []);
    const { copiedBytes = 0, rebuiltBytes = 0 } = bench.progress.findLast(({ step }) => step === 'fetching') ?? {};
    assert.ok(copiedBytes + rebuiltBytes <= image.length - end + chunkBytes);
  });

  test('what is left comes by the index when that is shorter than its part of the patch', async (t) => {
    const { bytes } = await makePatch(bytesSource(old), bytesSource(image), { zstd: await loadZstd() });
    const scene = await aPatchScene(t, pair, { patch: bytes, index: shortIndex });
    const { server, bench } = scene;
    const ending = new AbortController();
    const install = bench.start({ patching: stoppedAt(ending, image.length - 5000) });
    await assert.rejects(install.write(ending.signal), isCode('CANCELLED'));
    const sentBytes = server.sentBytes(patchPath);
    await writeWhole(scene);
    assert.equal(server.sentBytes(patchPath) - sentBytes, headBytesOf(bytes).length);
    assert.match(bench.reasons().join('; '), /what is left is shorter than its patch/);
  });
});

describe('a base that is not what the patch starts from', () => {
  test('no patch from what the running slot holds: not one byte of it is fetched', async (t) => {
    const stranger = anArtifactPatch(patch, old, { baseSha256Hex: 'ab'.repeat(32) });
    const otherRoot = anArtifactPatch(patch, old, { baseRootHex: 'cd'.repeat(32) });
    for (const one of [stranger, otherRoot]) {
      const scene = await aPatchScene(t, pair, { patches: [one] });
      await writeWhole(scene);
      assert.equal(scene.server.sentBytes(patchPath), 0);
      assert.match(scene.bench.reasons()[0] ?? '', /no patch begins at 1\.0, which the running slot holds/);
    }
  });

  test('a running slot without a record', async (t) => {
    const scene = await aPatchScene(t, pair, { running: null });
    await writeWhole(scene);
    assert.match(scene.bench.reasons()[0] ?? '', /does not say what it holds/);
  });

  test('one rotten byte costs the chunks that come of it, by Range, and nothing else', async (t) => {
    const scene = await aPatchScene(t, pair);
    rot(scene, 30_000, 30_001);
    await writeWhole(scene);
    const fetched = scene.server.requests.filter(({ path }) => path === imagePath);
    assert.ok(fetched.length >= 1 && fetched.length <= 6, `${fetched.length} chunks`);
    assert.ok(fetched.every(({ range }) => range !== null));
    assert.equal(scene.server.sentBytes(patchPath), patch.length);
    assert.deepEqual(scene.bench.reasons(), []);
  });

  test('one rotten byte, and no index to check by', async (t) => {
    const scene = await aPatchScene(t, pair, { index: null });
    rot(scene, 30_000, 30_001);
    await writeWhole(scene);
    assert.ok(scene.server.sentBytes(imagePath) < image.length / 4);
  });

  test('a slot that is rotten all over is given up after 32 requests, and the index goes on', async (t) => {
    const scene = await aPatchScene(t, pair, { index: shortIndex });
    rot(scene, 0, old.length);
    await writeWhole(scene);
    const { requests } = scene.server;
    assert.match(scene.bench.reasons()[0] ?? '', /does not hold what the patch starts from/);
    assert.ok(requests.length < 32 + groups.length + 40, `${requests.length} requests`);
    assert.match(
      scene.bench.progress.findLast(({ step }) => step === 'fetching')?.detour ?? '',
      /^patch: the running slot/,
    );
  });

  test('a base that no read gives back', async (t) => {
    const scene = await aPatchScene(t, pair, {
      index: shortIndex,
      devices: (devices) => ({
        ...devices,
        openForReading: async (slot, signal) => {
          const reader = await devices.openForReading(slot, signal);
          const read = () => Promise.reject(new OtadError('SLOT_IO', { slot }));
          return { sizeBytes: reader.sizeBytes, read, close: () => reader.close() };
        },
      }),
    });
    await writeWhole(scene);
    assert.match(scene.bench.reasons()[0] ?? '', /does not hold what the patch starts from/);
  });
});

describe('a running slot that does not open, or whose record cannot be read', () => {
  for (const [what, patches] of [
    ['openForReading', [anArtifactPatch(patch, old)]],
    ['readRecord', [anArtifactPatch(patch, old)]],
    ['openForReading', []],
    ['readRecord', []],
  ] as const) {
    const failing =
      (code: ErrorCode) =>
      (devices: SlotDevices): SlotDevices => ({
        ...devices,
        [what]: (slot: SlotName, signal: AbortSignal) =>
          slot === 'a' ? Promise.reject(new OtadError(code, { errno: 'EMFILE' })) : devices[what](slot, signal),
      });
    const way = patches.length > 0 ? 'patch' : 'index';

    test(`costs the way of the ${way}, and not the update: ${what}`, async (t) => {
      for (const code of ['SLOT_IO', 'SLOT_MISSING'] as const) {
        const { bench } = await aPatchScene(t, pair, { patches, devices: failing(code) });
        const install = bench.start();
        await install.write();
        assert.equal((await install.verify()).status, 'verified');
        assert.match(bench.reasons().join('; '), /the running slot cannot be read.*EMFILE/);
      }
    });

    test(`is not mistaken for a request to stop: ${what}, ${way}`, async (t) => {
      const { bench } = await aPatchScene(t, pair, { patches, devices: failing('CANCELLED') });
      await assert.rejects(bench.start().write(), isCode('CANCELLED'));
    });
  }
});

describe('a slot that was written and has rotted since', () => {
  for (const [name, patches] of [
    ['the patch', [anArtifactPatch(patch, old)]],
    ['the index', []],
  ] as const) {
    test(`one rotten byte costs one chunk, where the image came by ${name}`, async (t) => {
      const { server, bench } = await aPatchScene(t, pair, { patches, index: shortIndex });
      const install = bench.start();
      await install.write();
      const slot = readFileSync(bench.slots.paths.b);
      slot[150_000] = (slot[150_000] ?? 0) ^ 1;
      writeFileSync(bench.slots.paths.b, slot);
      await assert.rejects(install.verify(), isCode('SLOT_READBACK_MISMATCH'));
      const [allBytes, ofPatch] = [server.sentBytes(), server.sentBytes(patchPath)];
      await install.write();
      assert.equal((await install.verify()).status, 'verified');
      assert.equal(server.sentBytes(patchPath), ofPatch);
      assert.equal(server.sentBytes() - allBytes, 3000);
    });
  }
});

describe('a server that sends another patch than the signed one', () => {
  const wrongAt = (place: number) => (path: string, offset: number, bytes: Buffer) => {
    if (path !== patchPath || place < offset || place >= offset + bytes.length) return bytes;
    const copy = Buffer.from(bytes);
    copy[place - offset] = (copy[place - offset] ?? 0) ^ 1;
    return copy;
  };

  for (const [name, place] of [
    ['in the head', 30],
    ['in the first part', headBytes + 5],
    ['in the last byte', patch.length - 1],
  ] as const) {
    test(`${name}: the index goes on where it is`, async (t) => {
      const scene = await aPatchScene(t, pair);
      scene.server.behave({ spoil: wrongAt(place) });
      await writeWhole(scene);
      assert.match(scene.bench.reasons().join('; '), /the server sends another patch than the signed one/);
      const asked = scene.server.requests.filter(({ path }) => path === patchPath);
      assert.ok(asked.length <= groups.length + 2, 'twice, and no more');
      assert.ok(
        scene.server.requests.every(({ path, range }) => path === indexPath || range !== null),
        'by the index',
      );
    });

    test(`${name}: the next server is asked`, async (t) => {
      const scene = await aPatchScene(t, pair, { mirrors: 1 });
      scene.server.behave({ spoil: wrongAt(place) });
      await writeWhole(scene);
      assert.deepEqual(scene.bench.reasons(), []);
      assert.ok((scene.mirrors[0]?.sentBytes(patchPath) ?? 0) > 0);
    });
  }

  test('none at all', async (t) => {
    const scene = await aPatchScene(t, pair);
    scene.server.behave({ missing: [patchPath] });
    await writeWhole(scene);
    assert.match(scene.bench.reasons()[0] ?? '', /its patch cannot be had.*404/);
  });

  test('one that is longer or shorter than signed', async (t) => {
    for (const bytes of [Buffer.concat([patch, Buffer.alloc(5000)]), patch.subarray(0, patch.length - 100)]) {
      const scene = await aPatchScene(t, pair, { patch: bytes, patches: [anArtifactPatch(patch, old)] });
      await writeWhole(scene);
      assert.match(scene.bench.reasons()[0] ?? '', /its patch cannot be had/);
    }
  });

  for (const ranges of ['whole', 'shifted', 'refused'] as const) {
    test(`an answer to a Range request that is ${ranges}`, async (t) => {
      const scene = await aPatchScene(t, pair);
      scene.server.behave({ ranges });
      await writeWhole(scene);
      assert.match(scene.bench.reasons()[0] ?? '', /its patch cannot be had/);
    });
  }

  test('a patch that never comes keeps nobody waiting: after three attempts the index goes on', async (t) => {
    const scene = await aPatchScene(t, pair);
    const install = scene.bench.start();
    for (let attempt = 1; attempt < 3; attempt += 1) {
      scene.server.behave({ spoil: (path, _offset, bytes) => (path === patchPath ? bytes.subarray(0, 0) : bytes) });
      await assert.rejects(install.write(), (error) => error instanceof OtadError && error.class === 'transient');
    }
    await install.write();
    assert.match(scene.bench.reasons()[0] ?? '', /its patch cannot be had/);
  });
});

describe('a signed patch that is no good', () => {
  test('one that makes another image, with right checksums: the index finds it out', async (t) => {
    const scene = await aPatchScene(t, pair, { patch: lie });
    await writeWhole(scene);
    assert.ok(scene.server.requests.every(({ path, range }) => path === indexPath || range !== null));
  });

  test('one that makes another image, and no index to find it out: the whole image, from its first byte', async (t) => {
    const scene = await aPatchScene(t, pair, { patch: lie, index: null });
    await writeWhole(scene);
    assert.equal(scene.server.sentBytes(imagePath), image.length);
    assert.ok(scene.bench.log.some(({ message }) => /pieces do not make the signed image/.test(message)));
    const last = scene.bench.progress.findLast(({ step }) => step === 'fetching');
    assert.deepEqual([last?.copiedBytes, last?.rebuiltBytes, last?.savedBytes], [0, 0, 0]);
  });

  test('a machine without memory for the library goes by the index', async (t) => {
    const scene = await aPatchScene(t, pair);
    const compress = () => {
      throw new RangeError('WebAssembly.Memory.grow(): Maximum memory size exceeded');
    };
    await writeWhole(scene, { patching: createPatching(async () => ({ ...(await loadZstd()), compress })) });
    assert.match(scene.bench.reasons()[0] ?? '', /another release of the compression library/);
  });

  test('a machine whose memory ends in the middle of a patch goes on by the index', async (t) => {
    const scene = await aPatchScene(t, pair);
    let left = 2;
    const patching = createPatching(async () => {
      const zstd = await loadZstd();
      const compress: typeof zstd.compress = (...args) => {
        left -= 1;
        if (left < 0) throw new OtadError('INTERNAL', { step: 'zstd', problem: 'no memory is left' });
        return zstd.compress(...args);
      };
      return { ...zstd, compress };
    });
    await writeWhole(scene, { patching });
    assert.match(scene.bench.reasons()[0] ?? '', /no memory is left/);
    assert.equal(left, -1, 'not tried with block after block');
  });

  test('an installation without the library goes by the index', async (t) => {
    const scene = await aPatchScene(t, pair);
    const patching = createPatching(() => Promise.reject(new OtadError('INTERNAL', { step: 'zstd' })));
    await writeWhole(scene, { patching });
    assert.match(scene.bench.reasons()[0] ?? '', /another release of the compression library/);
    assert.equal(scene.server.sentBytes(patchPath), headBytes);
  });
});
