// Fault model, drawn from a seed: up to three servers of which some lie about any file for ever; a link that breaks anywhere; a patch
// or an index that is signed and wrong; a running slot that is rotten; a written slot that rots between attempts; processes that
// end between attempts. One server at least is honest. What ends are broken links and rot; in a second play the links break for
// ever, each in every attempt. A seed reproduces a run.

import assert from 'node:assert/strict';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { type TestContext, test } from 'node:test';
import { OtadError } from '../../../agent/core/errors.ts';
import { bytesSource } from '../../../delta/byte-source.ts';
import { makePatch } from '../../../delta/patch-make.ts';
import { loadZstd } from '../../../delta/zstd-module.ts';
import { createRandom } from '../../bootctl/random.ts';
import { aDeltaBench, aMirrorSource, aTarget, imagePath, indexOf, indexPath } from '../../support/delta-bench.ts';
import { anArtifactPatch, aPatchPair, patchPath, withHead } from '../../support/patch-bench.ts';
import { aRangeServer, type RangeBehaviour } from '../../support/range-server.ts';
import { sha256Of } from '../../support/slot-bench.ts';

const runs = 24;
const runsWithCuts = 12;
/** While every link breaks in every attempt. */
const attemptsWithCutsMax = 40;
const faultyAttempts = 4;
/** Once nothing breaks any more. */
const attemptsMax = 4;
const cutBytes = 4096;

const pair = await aPatchPair();
const { old, image } = pair;
const zstd = await loadZstd();
const flip = (bytes: Uint8Array, at: number): Buffer => {
  const copy = Buffer.from(bytes);
  copy[at] = (copy[at] ?? 0) ^ 0x55;
  return copy;
};
const cut = (bytes: Buffer): Buffer[] =>
  Array.from({ length: Math.ceil(bytes.length / cutBytes) }, (_, at) =>
    bytes.subarray(cutBytes * at, cutBytes * (at + 1)),
  );
const sha256Hex = sha256Of(image);
const makeLie = async (): Promise<Uint8Array> => {
  const { bytes } = await makePatch(bytesSource(old), bytesSource(flip(image, image.length - 5)), {
    zstd,
    groupBytes: 4096,
  });
  return withHead(bytes, () => ({ image: { lengthBytes: image.length, sha256Hex } }));
};
const patches = { right: pair.patch, lying: await makeLie(), none: null } as const;
const indexes = {
  right: indexOf(cut(image)),
  /** Of pieces that the running slot has, and that are not all of this image. */
  lying: indexOf(
    cut(image).map((piece, at) => (at === 3 ? (cut(old)[5] ?? piece) : piece)),
    { sha256Hex },
  ),
  none: null,
} as const;

const play = async (t: TestContext, seed: number, isCutForEver = false): Promise<void> => {
  const random = createRandom(seed);
  const chance = (percent: number): boolean => random.below(100) < percent;
  const patch = patches[random.pick(['right', 'right', 'lying', 'none'] as const)];
  const index = indexes[random.pick(['right', 'right', 'lying', 'none'] as const)];
  const { artifact, files } = aTarget(image, index);
  const all = new Map<string, Uint8Array>([...files, ...(patch === null ? [] : [[patchPath, patch] as const])]);
  const servers = await Promise.all(Array.from({ length: 1 + random.below(3) }, () => aRangeServer(t, all)));
  const honest = random.pick(servers);
  const liars = new Map(
    servers
      .filter((server) => server !== honest && chance(60))
      .map((server) => {
        const [of, at] = [random.pick([imagePath, imagePath, indexPath, patchPath]), random.below(5000)];
        const spoil: RangeBehaviour['spoil'] = (path, _from, bytes) =>
          path === of && bytes.length > 0 ? flip(bytes, Math.min(at, bytes.length - 1)) : bytes;
        return [server, { spoil }] as const;
      }),
  );
  const bench = aDeltaBench({
    slotBytes: 8 * 2 ** 20,
    running: { image: old, index: indexOf(cut(old)) },
    artifact: { ...artifact, patches: patch === null ? [] : [anArtifactPatch(patch, old)] },
    source: aMirrorSource(
      t,
      servers.map(({ url }) => url),
    ),
  });
  t.after(() => rmSync(dirname(bench.slots.paths.a), { recursive: true, force: true }));
  const { a, b } = bench.slots.paths;
  for (let rotten = chance(30) ? 1 + random.below(20) : 0; rotten > 0; rotten -= 1)
    writeFileSync(a, flip(readFileSync(a), random.below(old.length)));
  const running = readFileSync(a);

  /** Each time somewhere else, now and then not at all. Where it never ends, what breaks off is no less than a few chunks. */
  const breakLinks = (): void => {
    for (const server of servers) {
      const least = isCutForEver ? image.length / 8 : 0;
      const cutAfterBytes = chance(80) ? least + random.below(2 * image.length) : Number.POSITIVE_INFINITY;
      server.behave({ ...liars.get(server), cutAfterBytes: isCutForEver ? cutAfterBytes / 4 : cutAfterBytes });
    }
  };
  let install = bench.start();
  const attempt = (): Promise<boolean> =>
    install.write().then(
      () => true,
      (error: unknown) => {
        assert.ok(error instanceof OtadError && ['transient', 'source'].includes(error.class), `${error}`);
        return false;
      },
    );
  for (let round = 0; round < faultyAttempts; round += 1) {
    breakLinks();
    await attempt();
    if (chance(30)) writeFileSync(b, flip(readFileSync(b), random.below(image.length)));
    if (chance(50)) install = bench.start();
  }
  if (!isCutForEver) for (const server of servers) server.behave(liars.get(server) ?? {});
  const sentBytes = (): number => servers.reduce((sum, server) => sum + server.sentBytes(), 0);
  const before = sentBytes();
  const isVerified = (): Promise<boolean> =>
    install.verify().then(
      ({ status }) => status === 'verified',
      () => false,
    );
  let attempts = 1;
  while (!((await attempt()) && (await isVerified()))) {
    attempts += 1;
    assert.ok(attempts <= (isCutForEver ? attemptsWithCutsMax : attemptsMax), 'whole after a few attempts');
    if (isCutForEver) breakLinks();
    if (isCutForEver && chance(30)) install = bench.start();
  }
  // Pieces that are not the image, then two servers in turn, and one more attempt: what is beside the image once for each server.
  const besideBytes = servers.length * ((patch?.length ?? 0) + (index?.length ?? 0));
  const fetchedBytes = sentBytes() - before;
  assert.ok(
    isCutForEver || fetchedBytes <= 4.5 * image.length + attempts * besideBytes,
    `${fetchedBytes} bytes in ${attempts} attempts`,
  );
  assert.ok(readFileSync(b).subarray(0, image.length).equals(image));
  assert.ok(readFileSync(a).equals(running), 'the running slot is as it was');
};

for (let seed = 1; seed <= runs; seed += 1) {
  test(`once nothing breaks any more an install ends soon and costs no more than it may: seed ${seed}`, (t) =>
    play(t, seed));
}

for (let seed = 1; seed <= runsWithCuts; seed += 1) {
  test(`where links break in every attempt for ever an install ends all the same: seed ${seed}`, (t) =>
    play(t, seed, true));
}
