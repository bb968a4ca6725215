// Fault model: servers that send wrong bytes of any file, links that break, time that runs out, folders; each with others that are
// sound behind them or not. Counted is what leaves each server.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { createTimeBudget } from '../../../agent/adapters/deadline.ts';
import { OtadError } from '../../../agent/core/errors.ts';
import type { SlotDevices } from '../../../agent/core/ports.ts';
import { bytesSource } from '../../../delta/byte-source.ts';
import { makePatch } from '../../../delta/patch-make.ts';
import { loadZstd } from '../../../delta/zstd-module.ts';
import {
  aDeltaBench,
  aMirrorSource,
  aTarget,
  type DeltaBench,
  imagePath,
  indexOf,
  indexPath,
  pieces,
} from '../../support/delta-bench.ts';
import { aServer } from '../../support/loopback-server.ts';
import { anArtifactPatch, aPatchPair, aPatchScene, patchPath, withHead } from '../../support/patch-bench.ts';
import { aRangeServer, type RangeBehaviour } from '../../support/range-server.ts';
import { anInstall, createFakeSource, createFileSlots, isCode, sha256Of } from '../../support/slot-bench.ts';

const pair = await aPatchPair();
const { old, image, index, patch } = pair;
const noPatch = 'no patch begins at 1.0, which the running slot holds';
const plain = { patches: [], index: null, running: null } as const;

/** Every answer with a part of this file begins with one wrong bit. */
const wrong = (of: string) => (path: string, _offset: number, bytes: Buffer) => {
  const copy = Buffer.from(bytes);
  if (path === of) copy[0] = (copy[0] ?? 0) ^ 1;
  return copy;
};

const codeOf = (error: unknown): string => (error instanceof OtadError ? error.code : String(error));
const attempt = (install: ReturnType<DeltaBench['start']>): Promise<string> =>
  install.write().then(() => 'done', codeOf);

const isWhole = async (bench: DeltaBench, expected: Uint8Array = image): Promise<void> => {
  assert.equal((await bench.start().verify()).status, 'verified');
  assert.ok(readFileSync(bench.slots.paths.b).subarray(0, expected.length).equals(expected));
};

describe('servers that send wrong bytes', () => {
  test('of the whole file: the next one is asked in the same attempt, and first from then on', async (t) => {
    const { server, mirrors, bench } = await aPatchScene(t, pair, { ...plain, mirrors: 1 });
    server.behave({ spoil: wrong(imagePath) });
    assert.equal(await attempt(bench.start()), 'done');
    await isWhole(bench);
    assert.deepEqual([server.sentBytes(), mirrors[0]?.sentBytes()], [image.length, image.length]);
    const { fetchedBytes, savedBytes } = bench.progress.findLast(({ step }) => step === 'fetching') ?? {};
    assert.deepEqual([fetchedBytes, savedBytes], [2 * image.length, 0]);
  });

  test('of the whole file, all but the last of four: whole after a few attempts, none of more than two images', async (t) => {
    const { server, mirrors, bench } = await aPatchScene(t, pair, { ...plain, mirrors: 3 });
    for (const one of [server, ...mirrors.slice(0, 2)]) one.behave({ spoil: wrong(imagePath) });
    const install = bench.start();
    assert.deepEqual([await attempt(install), await attempt(install)], ['IMAGE_DIGEST_MISMATCH', 'done']);
    await isWhole(bench);
    for (const one of [server, ...mirrors]) assert.equal(one.sentBytes(), image.length);
  });

  test('of the whole file, all of them: one attempt costs two images and no more', async (t) => {
    const { server, mirrors, bench } = await aPatchScene(t, pair, { ...plain, mirrors: 2 });
    for (const one of [server, ...mirrors]) one.behave({ spoil: wrong(imagePath) });
    assert.equal(await attempt(bench.start()), 'IMAGE_DIGEST_MISMATCH');
    assert.equal(
      [server, ...mirrors].reduce((sum, one) => sum + one.sentBytes(), 0),
      2 * image.length,
    );
  });

  /** Attempts until it is whole, the link to the first server breaking in each after so many bytes. */
  const attemptsWithCuts = async (
    { server, bench }: Pick<Awaited<ReturnType<typeof aPatchScene>>, 'server' | 'bench'>,
    behaviour: RangeBehaviour,
    isNextProcess: boolean,
    breakOthers: () => void = () => undefined,
  ): Promise<number> => {
    let install = bench.start();
    for (let attempts = 1; ; attempts += 1) {
      assert.ok(attempts < 30, 'for ever');
      server.behave(behaviour);
      breakOthers();
      if ((await attempt(install)) === 'done') return attempts;
      if (isNextProcess) install = bench.start();
    }
  };

  for (const part of [0.2, 0.6, 0.9]) {
    const cutAfterBytes = Math.floor(image.length * part);
    for (const isNextProcess of [false, true]) {
      const whose = isNextProcess ? ', each attempt in a process of its own' : '';
      test(`of the whole file, behind a sound one whose link breaks at ${part} of it in every attempt${whose}`, async (t) => {
        const scene = await aPatchScene(t, pair, { ...plain, mirrors: 1 });
        scene.mirrors[0]?.behave({ spoil: wrong(imagePath) });
        assert.ok((await attemptsWithCuts(scene, { cutAfterBytes }, isNextProcess)) <= 3 + Math.ceil(1 / part));
        await isWhole(scene.bench);
      });
    }

    test(`of the whole file, its link breaking at ${part} of it in every attempt, before a sound one whose link breaks too`, async (t) => {
      const scene = await aPatchScene(t, pair, { ...plain, mirrors: 1 });
      const spoil: RangeBehaviour['spoil'] = (path, from, bytes) =>
        from === 0 ? wrong(imagePath)(path, from, bytes) : bytes;
      const breaking = { cutAfterBytes: cutAfterBytes / 2 };
      const attempts = await attemptsWithCuts(scene, { cutAfterBytes, spoil }, false, () =>
        scene.mirrors[0]?.behave(breaking),
      );
      assert.ok(attempts <= 4 * Math.ceil(1 / part) + 4, `${attempts} attempts`);
      await isWhole(scene.bench);
    });
  }

  test('of a part of a patch, behind a sound one whose link breaks in it: who lied is left, not who began', async (t) => {
    const { server, mirrors, bench } = await aPatchScene(t, pair, { mirrors: 1 });
    const cutAfterBytes = Math.floor(patch.length / 2);
    mirrors[0]?.behave({ spoil: wrong(patchPath) });
    server.behave({ cutAfterBytes });
    const install = bench.start();
    await attempt(install);
    server.behave({});
    const liarBytes = mirrors[0]?.sentBytes() ?? 0;
    assert.equal(await attempt(install), 'done');
    await isWhole(bench);
    assert.equal(mirrors[0]?.sentBytes(), liarBytes);
  });

  test('of the index: it comes from the next one', async (t) => {
    const { server, mirrors, bench } = await aPatchScene(t, pair, { patches: [], mirrors: 1 });
    server.behave({ spoil: wrong(indexPath) });
    assert.equal(await attempt(bench.start()), 'done');
    await isWhole(bench);
    assert.deepEqual(bench.reasons(), [noPatch]);
    assert.equal(mirrors[0]?.sentBytes(indexPath), index.length);
    assert.equal(server.sentBytes(imagePath), 0, 'who lied about the index is asked last for the rest');
  });

  test('of the patch, behind one that has none: the one that lied is left, not the first', async (t) => {
    const { server, mirrors, bench } = await aPatchScene(t, pair, { mirrors: 2 });
    server.behave({ missing: [patchPath] });
    mirrors[0]?.behave({ spoil: wrong(patchPath) });
    assert.equal(await attempt(bench.start()), 'done');
    await isWhole(bench);
    assert.deepEqual(bench.reasons(), []);
    assert.equal(mirrors[1]?.sentBytes(patchPath), patch.length);
  });

  test('of chunks, behind one that has none: the one that lied is left, not the first', async (t) => {
    const { server, mirrors, bench } = await aPatchScene(t, pair, { patches: [], mirrors: 2 });
    server.behave({ missing: [imagePath] });
    mirrors[0]?.behave({ spoil: wrong(imagePath) });
    assert.equal(await attempt(bench.start()), 'done');
    await isWhole(bench);
    assert.deepEqual(bench.reasons(), [noPatch]);
    assert.ok((mirrors[0]?.requests.filter(({ path }) => path === imagePath).length ?? 0) <= 4, 'what was in flight');
  });

  test('in place of a block that the base lost, and no index: the patch knows what should be there', async (t) => {
    const devices = rottenBase(30_000);
    const { server, mirrors, bench } = await aPatchScene(t, pair, { index: null, mirrors: 1, devices });
    server.behave({ spoil: wrong(imagePath) });
    assert.equal(await attempt(bench.start()), 'done');
    await isWhole(bench);
    assert.deepEqual(bench.reasons(), []);
    const fetched = mirrors[0]?.sentBytes(imagePath) ?? 0;
    assert.ok(fetched > 0 && fetched < image.length / 4, `${fetched} bytes`);
  });
});

/** The running slot with one wrong byte. */
const rottenBase =
  (at: number) =>
  (devices: SlotDevices): SlotDevices => ({
    ...devices,
    openForReading: async (slot, signal) => {
      const reader = await devices.openForReading(slot, signal);
      const read: typeof reader.read = async (offset, length, call) => {
        const bytes = Buffer.from(await reader.read(offset, length, call));
        if (slot === 'a' && at >= offset && at < offset + length) bytes[at - offset] = (bytes[at - offset] ?? 0) ^ 1;
        return bytes;
      };
      return { sizeBytes: reader.sizeBytes, read, close: () => reader.close() };
    },
  });

describe('pieces that do not make the image, and a link that breaks once in each image', () => {
  /** Attempts until it is whole, the link cut each time after so many bytes, every attempt in a process of its own or not. */
  const attemptsOf = async (bench: DeltaBench, cut: () => void, isNextProcess: boolean): Promise<number> => {
    let install = bench.start();
    for (let attempts = 1; ; attempts += 1) {
      assert.ok(attempts < 6, 'for ever');
      cut();
      const ended = await attempt(install);
      if (ended === 'done') return attempts;
      assert.equal(ended, 'HTTP_TRUNCATED');
      if (isNextProcess) install = bench.start();
    }
  };

  test('by a patch without an index', async (t) => {
    const other = Buffer.from(image);
    other[other.length - 5] = (other[other.length - 5] ?? 0) ^ 0x7f;
    const { bytes } = await makePatch(bytesSource(old), bytesSource(other), {
      zstd: await loadZstd(),
      groupBytes: 4096,
    });
    const lie = withHead(bytes, () => ({ image: { lengthBytes: image.length, sha256Hex: sha256Of(image) } }));
    for (const isNextProcess of [false, true]) {
      const { server, bench } = await aPatchScene(t, pair, { patch: lie, index: null });
      const cutAfterBytes = lie.length + Math.floor(image.length * 0.6);
      const attempts = await attemptsOf(bench, () => server.behave({ cutAfterBytes }), isNextProcess);
      assert.equal(attempts, 2);
      await isWhole(bench);
      assert.equal(server.sentBytes(patchPath), lie.length);
      assert.ok(server.sentBytes(imagePath) < image.length + 8192, `${server.sentBytes(imagePath)} bytes`);
      assert.equal((await bench.slots.devices.readRecord('b', AbortSignal.timeout(5000)))?.isFullOnly, undefined);
    }
  });

  test('by an index', async (t) => {
    const kept = pieces(['a', 90_000], ['b', 90_000], ['c', 50_000]);
    const wanted = pieces(['a', 90_000], ['new', 40_000], ['c', 50_000]);
    const exchanged = pieces(['b', 90_000], ['new', 40_000], ['c', 50_000]);
    const whole = Buffer.concat(wanted);
    for (const isNextProcess of [false, true]) {
      const { artifact, files } = aTarget(whole, indexOf(exchanged, { sha256Hex: sha256Of(whole) }));
      const server = await aRangeServer(t, files);
      const running = { image: Buffer.concat(kept), index: indexOf(kept) };
      const source = aMirrorSource(t, [server.url]);
      const bench = aDeltaBench({ slotBytes: 2 ** 20, running, artifact, source });
      const cutAfterBytes = (artifact.index?.lengthBytes ?? 0) + 40_000 + Math.floor(whole.length * 0.7);
      const attempts = await attemptsOf(bench, () => server.behave({ cutAfterBytes }), isNextProcess);
      assert.equal(attempts, 2);
      await isWhole(bench, whole);
      assert.ok(server.sentBytes(imagePath) < whole.length + 40_000 + 8192, `${server.sentBytes(imagePath)} bytes`);
    }
  });
});

describe('a wrong beginning that an attempt before this one left', () => {
  /** Half of the image with a wrong byte in it, from another server. */
  const aScene = async (t: TestContext) => {
    const scene = await aPatchScene(t, pair, plain);
    scene.server.behave({ spoil: wrong(imagePath), cutAfterBytes: image.length / 2 });
    const install = scene.bench.start();
    assert.equal(await attempt(install), 'HTTP_TRUNCATED');
    scene.server.behave({});
    const before = scene.server.sentBytes();
    return { ...scene, install, sentBytes: () => scene.server.sentBytes() - before };
  };

  for (const whose of ['this process', 'another process'] as const) {
    test(`is found out in one attempt, with the only server there is: left by ${whose}`, async (t) => {
      const { bench, install, sentBytes } = await aScene(t);
      assert.equal(await attempt(whose === 'this process' ? install : bench.start()), 'done');
      await isWhole(bench);
      assert.ok(sentBytes() < 1.6 * image.length, `${sentBytes()} bytes`);
    });
  }

  test('is found out in one attempt from a folder', async (t) => {
    const { bench, server } = await aScene(t);
    const source = { ...aMirrorSource(t, []), from: () => aMirrorSource(t, [server.url]) };
    await bench.start({ source }).write(undefined, { id: 'f', path: '/media/stick' });
    await isWhole(bench);
  });

  test('and an only server whose whole image is wrong costs one image in each attempt', async (t) => {
    const { server, bench } = await aPatchScene(t, pair, plain);
    server.behave({ spoil: wrong(imagePath) });
    assert.equal(await attempt(bench.start()), 'IMAGE_DIGEST_MISMATCH');
    assert.equal(server.sentBytes(), image.length);
  });
});

describe('the time of an attempt', () => {
  /** Sends one file a few bytes at a time and never ends; the others as they are. */
  const aSlowServer = (t: TestContext, slow: string, files: ReadonlyMap<string, Uint8Array>) =>
    aServer(t, (request, response) => {
      const path = (request.url ?? '/').slice(1);
      const file = files.get(path) ?? Buffer.alloc(0);
      const [, from = '0', to = ''] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '') ?? [];
      const body = file.subarray(Number(from), to === '' ? file.length : Number(to) + 1);
      const end = Number(from) + body.length;
      const headers = { 'content-length': body.length, 'content-range': `bytes ${from}-${end - 1}/${file.length}` };
      response.writeHead(request.headers.range === undefined ? 200 : 206, headers);
      if (path !== slow) return void response.end(body);
      const timer = setInterval(() => response.write(body.subarray(0, 1)), 5);
      response.on('close', () => clearInterval(timer));
    });

  for (const [name, slow, index, patches] of [
    ['a patch', patchPath, pair.index, [anArtifactPatch(patch, old)]],
    ['an index', indexPath, pair.index, []],
    ['chunks', imagePath, pair.index, []],
    ['a whole file', imagePath, null, []],
  ] as const) {
    test(`is over, whichever way it is spent on: ${name}`, async (t) => {
      const { artifact, files } = aTarget(image, index);
      const server = await aSlowServer(t, slow, new Map([...files, [patchPath, patch]]));
      const source = aMirrorSource(t, [server.url, `${server.url}/`]);
      const running = { image: old, index: pair.oldIndex };
      const bench = aDeltaBench({ slotBytes: 2 ** 23, running, artifact: { ...artifact, patches }, source });
      const openBudget = () => createTimeBudget(400, () => performance.now());
      await assert.rejects(
        bench.start({ openBudget }).write(),
        (error) => error instanceof OtadError && error.code === 'HTTP_TIMEOUT' && error.details.phase === 'download',
      );
      assert.ok(server.paths().length <= 8, 'another server gets no time of its own');
    });
  }

  test('a patch that it is spent on three times is left', async (t) => {
    const { artifact, files } = aTarget(image, pair.index);
    const server = await aSlowServer(t, patchPath, new Map([...files, [patchPath, patch]]));
    const source = aMirrorSource(t, [server.url]);
    const running = { image: old, index: pair.oldIndex };
    const patches = [anArtifactPatch(patch, old)];
    const bench = aDeltaBench({ slotBytes: 2 ** 23, running, artifact: { ...artifact, patches }, source });
    let budgetMs = 400;
    const install = bench.start({ openBudget: () => createTimeBudget(budgetMs, () => performance.now()) });
    for (let attempts = 0; attempts < 3; attempts += 1) assert.equal(await attempt(install), 'HTTP_TIMEOUT');
    budgetMs = 60_000;
    assert.equal(await attempt(install), 'done');
    await isWhole(bench);
  });

  test('is one for all that is fetched, and nothing else counts', { timeout: 10_000 }, async () => {
    let nowMs = 0;
    const inTime = createTimeBudget(60_000, () => nowMs);
    const untilAborted = (signal: AbortSignal): Promise<never> =>
      new Promise((_, reject) => {
        signal.addEventListener('abort', () => reject(new OtadError('CANCELLED')), { once: true });
      });
    const never = new AbortController().signal;
    const stopping = new AbortController();
    const stopped = inTime(stopping.signal, untilAborted);
    stopping.abort();
    await assert.rejects(stopped, isCode('CANCELLED'));
    nowMs += 100_000;
    assert.equal(await inTime(never, async () => 'in time'), 'in time');
    await inTime(never, async () => {
      nowMs += 59_999;
    });
    await assert.rejects(inTime(never, untilAborted), isCode('HTTP_TIMEOUT'));
  });
});

test('from a folder the image comes whole, with no word of shorter ways', async () => {
  const slots = createFileSlots(mkdtempSync(join(tmpdir(), 'otad-folder-')), 2 ** 23);
  const { artifact } = aTarget(image, index);
  const { source } = createFakeSource(image);
  const reasons: unknown[] = [];
  const install = anInstall({
    slots: slots.devices,
    source: {
      ...source,
      from: () => ({
        ...source,
        stream: async (file, offsetBytes, sink, signal) =>
          file.path === indexPath ? sink(index, 'folder') : source.stream(file, offsetBytes, sink, signal),
      }),
    },
    log: { info: (_message, { reason }) => void (reason && reasons.push(reason)), warn: () => undefined },
  });
  const { release } = aDeltaBench({
    slotBytes: 2 ** 23,
    running: null,
    artifact: { ...artifact, patches: [anArtifactPatch(patch, old)] },
    source,
  });
  const folder = { id: 'f', path: '/media/stick' };
  const detours = new Set<unknown>();
  await install.write({ slot: 'b', release, folder }, new AbortController().signal, ({ detour }) =>
    detours.add(detour),
  );
  assert.deepEqual([reasons, [...detours]], [[], [null]]);
});
