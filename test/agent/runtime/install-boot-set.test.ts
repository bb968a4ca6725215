import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { createBootPlace } from '../../../agent/adapters/boot-place.ts';
import { createBootStage } from '../../../agent/adapters/boot-stage.ts';
import { OtadError } from '../../../agent/core/errors.ts';
import type { HeldBootFiles, ReleaseSource } from '../../../agent/core/ports.ts';
import type { Artifact, Progress } from '../../../agent/core/types.ts';
import { bootManifestOf } from '../../../agent/runtime/boot-manifest.ts';
import { createHeldBootFiles } from '../../../agent/runtime/held-boot-files.ts';
import { createSealing } from '../../../verity/sealing.ts';
import { noise } from '../../support/noise.ts';
import {
  anArtifact,
  anInstall,
  aRelease,
  createFileSlots,
  isCode,
  sha256Of,
  streamOnly,
} from '../../support/slot-bench.ts';

const root = mkdtempSync(join(tmpdir(), 'otad-install-boot-'));
after(() => rmSync(root, { recursive: true }));
const { signal } = new AbortController();
const image = noise(1024 * 1024);
const files: Readonly<Record<string, Uint8Array>> = { linux: noise(200_000), initrd: noise(90_000) };

const bootArtifact = (name: string, bytes: Uint8Array): Artifact => ({
  ...{ role: 'boot', path: `images/boot/${name}`, lengthBytes: bytes.length, sha256Hex: sha256Of(bytes) },
  ...{ verity: null, index: null, name },
});
const rootfs = anArtifact(image);
const boot = Object.entries(files).map(([name, bytes]) => bootArtifact(name, bytes));
const plain = aRelease(rootfs);
const release = aRelease(rootfs, { artifacts: [rootfs, ...boot] });
const manifest = bootManifestOf(release, createSealing()) ?? assert.fail();

interface Ask {
  readonly path: string;
  readonly offsetBytes: number;
}

type Places = Readonly<Record<'a' | 'b', string>>;

/** What the slots' boot places hold, as otad reads it where no helper stands between. */
const heldIn = (places: Places): HeldBootFiles =>
  createHeldBootFiles(
    { a: createBootPlace('systemd-boot', places, 'a'), b: createBootPlace('systemd-boot', places, 'b') },
    createSealing(),
  );

const aBench = (heldOf: (places: Places) => HeldBootFiles = heldIn) => {
  const folder = mkdtempSync(join(root, 'w-'));
  const slots = createFileSlots(folder, 3 * 1024 * 1024);
  const asked: Ask[] = [];
  const server = { cutAfterBytes: Number.POSITIVE_INFINITY, spoil: null as string | null, distrusted: 0 };
  const source: ReleaseSource = {
    ...streamOnly,
    check: () => assert.fail('nobody asks'),
    distrust: () => {
      server.distrusted += 1;
    },
    stream: async ({ path }, offsetBytes, sink) => {
      asked.push({ path, offsetBytes });
      const bytes = boot.find((one) => one.path === path) === undefined ? image : files[path.slice(12)];
      const body = Buffer.from(bytes ?? []);
      if (server.spoil === path) body[0] = (body[0] ?? 0) ^ 1;
      for (let at = offsetBytes; at < body.length; at += 16_384) {
        await sink(body.subarray(at, at + 16_384), 'server');
        server.cutAfterBytes -= 16_384;
        if (server.cutAfterBytes <= 0) throw new OtadError('HTTP_TRUNCATED');
      }
    },
  };
  const progress: Progress[] = [];
  const stageFolder = join(folder, 'boot-set');
  const places = { a: join(folder, 'boot-a'), b: join(folder, 'boot-b') };
  for (const place of Object.values(places)) mkdirSync(place);
  const put = (place: 'a' | 'b', name: string, bytes: Uint8Array): void =>
    writeFileSync(join(places[place], name), bytes);
  const install = anInstall({
    slots: slots.devices,
    source,
    heldBootFiles: heldOf(places),
    bootStage: createBootStage([stageFolder, `${stageFolder}-in-ram`]),
  });
  const rootHex = rootfs.verity?.rootHex ?? '';
  return {
    ...{ slots, asked, server, progress, stageFolder, install, put },
    write: (wanted = release) => install.write({ slot: 'b', release: wanted }, signal, (one) => progress.push(one)),
    verify: (isLookOnly = false) => install.verify({ slot: 'b', rootHex, isLookOnly }, signal, () => undefined),
    record: () => slots.devices.readRecord('b', signal),
  };
};

const paths = (asked: readonly Ask[]): readonly string[] => asked.map(({ path }) => path);

test('boot files come first, the record names their set, and progress counts every byte of both', async () => {
  const { write, verify, asked, progress, stageFolder } = aBench();
  assert.equal((await write()).bootSetSha256Hex, manifest.sha256Hex);
  assert.deepEqual(paths(asked), ['images/boot/initrd', 'images/boot/linux', 'images/gw.squashfs']);
  assert.equal((await verify()).status, 'verified');
  const totalBytes = image.length + 290_000;
  const fetching = progress.filter(({ step }) => step === 'fetching');
  assert.deepEqual([...new Set(fetching.map((one) => one.totalBytes))], [totalBytes]);
  assert.deepEqual([fetching[0]?.doneBytes, fetching.at(-1)?.doneBytes], [0, totalBytes]);
  assert.equal(fetching.at(-1)?.fetchedBytes, totalBytes);
  const done = fetching.map(({ doneBytes }) => doneBytes);
  assert.deepEqual(
    done,
    [...done].sort((one, two) => one - two),
  );
  for (const { sha256Hex, name } of manifest.files) {
    assert.deepEqual(new Uint8Array(readFileSync(join(stageFolder, sha256Hex))), new Uint8Array(files[name] ?? []));
  }
  // Verified: nothing is asked for again.
  await write();
  assert.equal(asked.length, 3);
});

test('a boot file goes on where it broke off, and nothing of the slot changes before all of them are there', async () => {
  const { write, asked, server, record, slots } = aBench();
  const before = readFileSync(slots.paths.b);
  server.cutAfterBytes = 150_000;
  await assert.rejects(write(), isCode('HTTP_TRUNCATED'));
  assert.ok(before.equals(readFileSync(slots.paths.b)));
  assert.equal(await record(), null);
  server.cutAfterBytes = Number.POSITIVE_INFINITY;
  await write();
  const offsets = asked.filter(({ path }) => path === 'images/boot/linux').map(({ offsetBytes }) => offsetBytes);
  assert.equal(offsets.length, 2);
  assert.ok((offsets[1] ?? 0) > 0, String(offsets));
  assert.equal(asked.filter(({ path }) => path === 'images/boot/initrd').length, 1);
});

test('wrong bytes of a boot file are the server’s fault: another one is asked next, and the slot is left alone', async () => {
  const { write, server, record } = aBench();
  server.spoil = 'images/boot/linux';
  await assert.rejects(write(), isCode('TARGET_DIGEST_MISMATCH'));
  assert.deepEqual([server.distrusted, await record()], [1, null]);
  server.spoil = null;
  await write();
});

test('wrong bytes of a boot file were fetched for nothing: they count against what was saved', async () => {
  const { write, server, put, progress } = aBench();
  put('a', 'initrd', files.initrd ?? assert.fail());
  server.spoil = 'images/boot/linux';
  await assert.rejects(write(), isCode('TARGET_DIGEST_MISMATCH'));
  const { fetchedBytes, copiedBytes, savedBytes } = progress.at(-1) ?? assert.fail();
  assert.deepEqual([fetchedBytes, copiedBytes, savedBytes], [200_000, 90_000, 0]);
});

test('a slot whose boot files are lost is not verified, and only what is lost comes again', async () => {
  const { write, verify, asked, stageFolder, record } = aBench();
  await write();
  await verify();
  const [lost] = manifest.files;
  rmSync(join(stageFolder, lost?.sha256Hex ?? ''));
  // What lies in a boot place already needs no copy here.
  assert.equal((await verify(true)).status, 'verified');
  await assert.rejects(verify(), isCode('BOOT_SET_INCOMPLETE'));
  assert.equal((await record())?.status, 'writing');
  const before = asked.length;
  await write();
  await verify();
  assert.deepEqual(paths(asked.slice(before)), [lost?.path]);
});

test('another release, a failed one and a confirmed one leave no boot files behind', async () => {
  const { write, verify, install, stageFolder, record } = aBench();
  await write();
  await write(plain);
  await verify();
  assert.throws(() => readdirSync(stageFolder), { code: 'ENOENT' });
  assert.equal((await record())?.bootSetSha256Hex, undefined);
  await write();
  // The same bytes, and not the same release: the record says which set belongs to them now.
  assert.equal((await record())?.bootSetSha256Hex, manifest.sha256Hex);
  await install.dropBootSet();
  assert.throws(() => readdirSync(stageFolder), { code: 'ENOENT' });
});

const flipped = (bytes: Uint8Array, at: number): Uint8Array => {
  const wrong = Uint8Array.from(bytes);
  wrong[at] = (wrong[at] ?? 0) ^ 1;
  return wrong;
};
const imagePath = 'images/gw.squashfs';

test('boot files that the running slot has cost nothing on the wire, and progress says that they were copied', async () => {
  const { write, verify, asked, progress, put } = aBench();
  for (const [name, bytes] of Object.entries(files)) put('a', name, bytes);
  await write();
  assert.deepEqual(paths(asked), [imagePath]);
  assert.equal((await verify()).status, 'verified');
  const fetching = progress.filter(({ step }) => step === 'fetching');
  const { fetchedBytes, copiedBytes, savedBytes, doneBytes } = fetching.at(-1) ?? assert.fail();
  assert.deepEqual([fetchedBytes, copiedBytes, savedBytes], [image.length, 290_000, 290_000]);
  assert.equal(doneBytes, image.length + 290_000);
});

test('one changed boot file of two is fetched, the other one copied', async () => {
  const { write, asked, progress, put } = aBench();
  put('a', 'linux', files.linux ?? assert.fail());
  put('a', 'initrd', noise(90_001).subarray(1));
  await write();
  assert.deepEqual(paths(asked), ['images/boot/initrd', imagePath]);
  const { fetchedBytes, copiedBytes } = progress.at(-1) ?? assert.fail();
  assert.deepEqual([fetchedBytes, copiedBytes], [image.length + 90_000, 200_000]);
});

test('a rotten boot file of the running slot is fetched, or copied from the other slot where that has it', async () => {
  const linux = files.linux ?? assert.fail();
  const initrd = files.initrd ?? assert.fail();
  const { write, verify, asked, put } = aBench();
  put('a', 'linux', flipped(linux, 199_999));
  put('a', 'initrd', flipped(initrd, 0));
  put('b', 'initrd', initrd);
  await write();
  await verify();
  assert.deepEqual(paths(asked), ['images/boot/linux', imagePath]);
});

test('a boot place that says the right thing and gives another is not believed, nor one that fails or never ends', async () => {
  const linux = files.linux ?? assert.fail();
  const readings: readonly HeldBootFiles['read'][] = [
    async (_slot, { lengthBytes }, offset) =>
      flipped(linux, 9).subarray(offset, Math.min(offset + 65_536, lengthBytes)),
    async () => new Uint8Array(0),
    async () => new Uint8Array(150_000),
    async (_slot, _file, offset) => (offset === 0 ? linux.subarray(0, 1000) : null),
    async () => Promise.reject(new OtadError('BOOT_HELPER_UNREACHABLE', { socket: 'x' })),
  ];
  for (const read of readings) {
    const { write, verify, asked, stageFolder, progress } = aBench(() => ({ read }));
    await write();
    assert.equal((await verify()).status, 'verified');
    assert.deepEqual(paths(asked), ['images/boot/initrd', 'images/boot/linux', imagePath]);
    assert.equal(progress.at(-1)?.copiedBytes, 0);
    assert.deepEqual(
      readdirSync(stageFolder).sort(),
      ['manifest', ...manifest.files.map((one) => one.sha256Hex)].sort(),
    );
  }
});

test('what was fetched of a boot file stays through any number of tries to copy it', async () => {
  const linux = files.linux ?? assert.fail();
  const rotten: HeldBootFiles = {
    read: async (_slot, { lengthBytes }, offset) =>
      lengthBytes === linux.length ? flipped(linux, 0).subarray(offset, offset + 65_536) : null,
  };
  const { write, asked, server } = aBench(() => rotten);
  for (let cut = 0; cut < 4; cut += 1) {
    server.cutAfterBytes = 120_000;
    await assert.rejects(write(), isCode('HTTP_TRUNCATED'));
  }
  server.cutAfterBytes = Number.POSITIVE_INFINITY;
  await write();
  const offsets = asked.filter(({ path }) => path === 'images/boot/linux').map(({ offsetBytes }) => offsetBytes);
  assert.deepEqual(
    offsets,
    [...offsets].sort((one, two) => one - two),
  );
  assert.equal(new Set(offsets).size, offsets.length);
});

test('a cancelled copy ends the attempt, and leaves nothing that the next one would believe', async () => {
  const stopping = new AbortController();
  const linux = files.linux ?? assert.fail();
  const slow: HeldBootFiles = {
    read: async (_slot, file, offset) => {
      if (file.lengthBytes !== linux.length) return null;
      if (offset > 0) stopping.abort();
      return linux.subarray(offset, offset + 50_000);
    },
  };
  const { install, write, asked, stageFolder } = aBench(() => slow);
  await assert.rejects(
    install.write({ slot: 'b', release }, stopping.signal, () => undefined),
    isCode('CANCELLED'),
  );
  const { sha256Hex } = manifest.files.find(({ name }) => name === 'linux') ?? assert.fail();
  assert.deepEqual(
    readdirSync(stageFolder).filter((name) => name.startsWith(sha256Hex)),
    [],
  );
  await write();
  assert.deepEqual(paths(asked), ['images/boot/initrd', imagePath]);
});
