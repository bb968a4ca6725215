import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { OtadError } from '../../../agent/core/errors.ts';
import type { Progress, Release, SlotRecord, Verified } from '../../../agent/core/types.ts';
import type { Install } from '../../../agent/runtime/install.ts';
import { checkpointBytesOf } from '../../../agent/runtime/slot-fill.ts';
import { createSealing } from '../../../verity/sealing.ts';
import { noise } from '../../support/noise.ts';
import {
  anArtifact,
  anInstall,
  aRelease,
  createFakeSource,
  createFileSlots,
  type FileSlots,
  isCode,
  type Misbehaviour,
  rootOf,
  type Served,
} from '../../support/slot-bench.ts';
import { isAcceptedByVeritysetup } from '../../support/veritysetup.ts';

const root = mkdtempSync(join(tmpdir(), 'otad-install-'));
after(() => rmSync(root, { recursive: true }));
const { signal } = new AbortController();
const mebibyte = 1024 * 1024;
const slotBytes = 6 * mebibyte;
const image = noise(3 * mebibyte + 5 * 4096);
const rootHex = rootOf(image);
const quiet = (): void => {};

interface Bench {
  readonly slots: FileSlots;
  readonly install: Install;
  readonly release: Verified<Release>;
  readonly served: readonly Served[];
  readonly write: () => Promise<SlotRecord>;
  readonly verify: () => Promise<SlotRecord>;
  readonly record: () => Promise<SlotRecord | null>;
}

interface BenchOptions {
  readonly slots?: FileSlots;
  readonly bytes?: Uint8Array;
  readonly release?: Verified<Release>;
  readonly misbehaviour?: () => Misbehaviour;
}

const newSlots = (sizeBytes = slotBytes): FileSlots => createFileSlots(mkdtempSync(join(root, 'slots-')), sizeBytes);

const aBench = (options: BenchOptions = {}): Bench => {
  const slots = options.slots ?? newSlots();
  const { source, served } = createFakeSource(options.bytes ?? image, options.misbehaviour);
  const release = options.release ?? aRelease(anArtifact(image));
  const install = anInstall({ slots: slots.devices, source });
  return {
    slots,
    install,
    release,
    served,
    write: () => install.write({ slot: 'b', release }, signal, quiet),
    verify: () => install.verify({ slot: 'b', rootHex }, signal, quiet),
    record: () => slots.devices.readRecord('b', signal),
  };
};

const flip = (path: string, offset: number): void => {
  const bytes = readFileSync(path);
  bytes.writeUInt8(bytes.readUInt8(offset) ^ 1, offset);
  writeFileSync(path, bytes);
};

const fetchedBytes = (served: readonly Served[]): number => served.reduce((sum, { sentBytes }) => sum + sentBytes, 0);

const misbehaveOnce = (misbehaviour: Misbehaviour): (() => Misbehaviour) => {
  let calls = 0;
  return () => {
    calls += 1;
    return calls === 1 ? misbehaviour : {};
  };
};

test('writes a squashfs that unsquashfs reads and veritysetup verifies with the signed root', async () => {
  const folder = mkdtempSync(join(root, 'tree-'));
  mkdirSync(join(folder, 'tree/etc'), { recursive: true });
  writeFileSync(join(folder, 'tree/etc/os-release'), 'IMAGE_VERSION=1.1\n');
  writeFileSync(join(folder, 'tree/noise'), noise(700_000));
  const made = spawnSync('mksquashfs', [join(folder, 'tree'), join(folder, 'image'), '-quiet', '-no-progress']);
  assert.equal(made.status, 0, String(made.stderr));
  const squashfs = readFileSync(join(folder, 'image'));
  const artifact = anArtifact(squashfs);
  assert.ok(artifact.verity !== null);
  const bench = aBench({ bytes: squashfs, release: aRelease(artifact) });
  await bench.write();
  await bench.install.verify({ slot: 'b', rootHex: artifact.verity.rootHex }, signal, quiet);
  const { b } = bench.slots.paths;
  assert.equal(isAcceptedByVeritysetup(b, artifact.verity), true);
  const listed = spawnSync('unsquashfs', ['-s', b], { encoding: 'utf8' });
  assert.match(listed.stdout, /valid SQUASHFS 4:0 superblock/);
  const shown = spawnSync('unsquashfs', ['-cat', b, 'etc/os-release'], { encoding: 'utf8' });
  assert.equal(shown.stdout, 'IMAGE_VERSION=1.1\n');
  flip(b, 5000);
  assert.equal(isAcceptedByVeritysetup(b, artifact.verity), false);
});

test('only verify makes a record say verified', async () => {
  const bench = aBench();
  const written = await bench.write();
  assert.equal(written.status, 'writing');
  assert.equal(written.writtenBytes, image.length);
  assert.deepEqual(await bench.record(), written);
  const verified = await bench.verify();
  assert.deepEqual(verified, { ...written, status: 'verified' });
  assert.deepEqual(await bench.record(), verified);
});

test('a verified slot is not fetched, read or written again for the same release', async () => {
  const bench = aBench();
  await bench.write();
  await bench.verify();
  const before = readFileSync(bench.slots.paths.b);
  assert.equal((await bench.write()).status, 'verified');
  assert.equal(bench.served.length, 1);
  assert.ok(before.equals(readFileSync(bench.slots.paths.b)));
});

test('the same image under another release is not fetched again, but must be verified again', async () => {
  const bench = aBench();
  await bench.write();
  await bench.verify();
  const release = aRelease(anArtifact(image), { id: 'gw-1.2', version: '1.2', sequence: 12 });
  const next = aBench({ slots: bench.slots, release });
  const record = await next.write();
  assert.equal(record.status, 'writing');
  assert.equal(record.release.version, '1.2');
  assert.equal(next.served.length, 0);
  assert.equal((await next.verify()).status, 'verified');
});

for (const cutAfterBytes of [0, 1, 4095, 4096, 500_000, mebibyte, 2 * mebibyte + 77, image.length - 1]) {
  test(`a stream that breaks after ${cutAfterBytes} bytes goes on there, but for less than a block`, async () => {
    const bench = aBench({ misbehaviour: misbehaveOnce({ cutAfterBytes }) });
    await assert.rejects(bench.write(), isCode('HTTP_TRUNCATED'));
    const whole = cutAfterBytes - (cutAfterBytes % 4096);
    assert.equal((await bench.record())?.writtenBytes, whole);
    await bench.write();
    assert.equal(bench.served[1]?.offsetBytes, whole);
    assert.equal((await bench.verify()).status, 'verified');
  });
}

test('a server that ends early without saying so is caught, and what it sent is kept', async () => {
  const bench = aBench({ misbehaviour: misbehaveOnce({ cutAfterBytes: 8192, isSilentCut: true }) });
  await assert.rejects(bench.write(), isCode('HTTP_TRUNCATED'));
  await bench.write();
  assert.equal(bench.served[1]?.offsetBytes, 8192);
});

test('a server that sends more than was signed is cut off, and the right bytes are kept', async () => {
  for (const chunkBytes of [1000, 48_000, 10 * mebibyte]) {
    const bench = aBench({ misbehaviour: misbehaveOnce({ extraBytes: 5000, chunkBytes }) });
    await assert.rejects(bench.write(), isCode('FILE_TOO_LARGE'));
    assert.ok(fetchedBytes(bench.served) <= image.length + chunkBytes);
    const after = readFileSync(bench.slots.paths.b);
    assert.equal(after.indexOf(Buffer.alloc(64, 0xee)), -1, 'nothing of the surplus reaches the slot');
    await bench.write();
    assert.equal((await bench.verify()).status, 'verified');
  }
});

test('pieces of any size make the same slot', async () => {
  const reference = aBench();
  await reference.write();
  const expected = readFileSync(reference.slots.paths.b).subarray(0, slotBytes - 8192);
  for (const chunkBytes of [333, 4096, mebibyte, mebibyte + 1, 3 * mebibyte]) {
    const bench = aBench({ misbehaviour: () => ({ chunkBytes }) });
    await bench.write();
    assert.ok(
      readFileSync(bench.slots.paths.b)
        .subarray(0, slotBytes - 8192)
        .equals(expected),
      `${chunkBytes}`,
    );
  }
});

test('a cancelled install keeps what arrived', async () => {
  const controller = new AbortController();
  const onChunk = (sent: number): void => {
    if (sent > 2 * mebibyte) controller.abort();
  };
  const bench = aBench({ misbehaviour: misbehaveOnce({ onChunk }) });
  const cancelled = bench.install.write({ slot: 'b', release: bench.release }, controller.signal, quiet);
  await assert.rejects(cancelled, isCode('CANCELLED'));
  const written = (await bench.record())?.writtenBytes ?? 0;
  assert.ok(written > 2 * mebibyte, `kept ${written}`);
  await bench.write();
  assert.equal(bench.served[1]?.offsetBytes, written);
  assert.equal((await bench.verify()).status, 'verified');
});

test('a prefix that rotted is found before anything is fetched, and everything is fetched anew', async () => {
  const bench = aBench({ misbehaviour: misbehaveOnce({ cutAfterBytes: 2 * mebibyte }) });
  await assert.rejects(bench.write(), isCode('HTTP_TRUNCATED'));
  flip(bench.slots.paths.b, 1_234_567);
  await bench.write();
  assert.equal(bench.served[1]?.offsetBytes, 0);
  assert.equal((await bench.verify()).status, 'verified');
});

test('wrong bytes of the right length are refused, and are no prefix for the next attempt', async () => {
  const wrong = Buffer.from(image);
  wrong.writeUInt8(wrong.readUInt8(100) ^ 1, 100);
  const slots = newSlots();
  const liar = aBench({ slots, bytes: wrong });
  await assert.rejects(liar.write(), isCode('IMAGE_DIGEST_MISMATCH'));
  assert.equal((await liar.record())?.writtenBytes, 0);
  const honest = aBench({ slots });
  await honest.write();
  assert.equal((await honest.verify()).status, 'verified');
});

test('a wrong beginning from another server is found out at the end, and the image fetched anew in the same attempt', async () => {
  const wrong = Buffer.from(image);
  wrong.writeUInt8(wrong.readUInt8(100) ^ 1, 100);
  const slots = newSlots();
  const liar = aBench({ slots, bytes: wrong, misbehaviour: () => ({ cutAfterBytes: 2 * mebibyte }) });
  await assert.rejects(liar.write(), isCode('HTTP_TRUNCATED'));
  const honest = aBench({ slots });
  await honest.write();
  assert.deepEqual(
    honest.served.map(({ offsetBytes }) => offsetBytes),
    [2 * mebibyte, 0],
  );
  assert.equal((await honest.verify()).status, 'verified');
});

test('a signed root that is not the root of the signed image is refused; the image stays', async () => {
  const artifact = anArtifact(image);
  assert.ok(artifact.verity !== null);
  const release = aRelease({ ...artifact, verity: { ...artifact.verity, rootHex: '00'.repeat(32) } });
  const bench = aBench({ release });
  for (let attempt = 0; attempt < 2; attempt += 1) {
    await assert.rejects(bench.write(), isCode('VERITY_ROOT_MISMATCH'));
  }
  assert.equal(bench.served.length, 1, 'the bytes were right: they are not fetched twice');
  assert.equal((await bench.record())?.status, 'writing');
});

test('a release that does not fit leaves every byte of the slot as it was', async () => {
  const tree = createSealing().treeLengthBytes(image.length);
  const exact = image.length + tree + 8192;
  const small = newSlots(exact - 1);
  const before = readFileSync(small.paths.b);
  const bench = aBench({ slots: small });
  await assert.rejects(bench.write(), isCode('RELEASE_TOO_LARGE'));
  assert.ok(before.equals(readFileSync(small.paths.b)));
  assert.equal(bench.served.length, 0);
  const fitting = aBench({ slots: newSlots(exact) });
  await fitting.write();
  assert.equal((await fitting.verify()).status, 'verified');
});

test('a release without a rootfs, without verity, or with a tree elsewhere is malformed', async () => {
  const artifact = anArtifact(image);
  assert.ok(artifact.verity !== null);
  const shifted = { ...artifact.verity, hashOffsetBytes: artifact.verity.hashOffsetBytes + 4096 };
  const bad = [{ ...artifact, role: 'app' } as const, { ...artifact, verity: null }, { ...artifact, verity: shifted }];
  for (const one of bad) await assert.rejects(aBench({ release: aRelease(one) }).write(), isCode('RELEASE_MALFORMED'));
});

test('an image that is no multiple of a block is padded with zeros, whatever stood there', async () => {
  const odd = noise(mebibyte + 1000);
  const artifact = anArtifact(odd);
  assert.ok(artifact.verity !== null);
  const slots = newSlots();
  writeFileSync(slots.paths.b, noise(slotBytes, 'before'));
  const bench = aBench({ slots, bytes: odd, release: aRelease(artifact) });
  await bench.write();
  flip(slots.paths.b, mebibyte + 1001); // in the padding, which the image's digest does not cover
  await bench.write();
  const record = await bench.install.verify({ slot: 'b', rootHex: artifact.verity.rootHex }, signal, quiet);
  assert.equal(record.status, 'verified');
  assert.equal(isAcceptedByVeritysetup(slots.paths.b, artifact.verity), true);
});

test('one rotten byte in image or tree fails verification, and the next install mends it', async () => {
  const tree = image.length + 4096;
  for (const offset of [0, 2_000_000, image.length - 1, image.length + 3, tree + 7, tree + 4096 + 9]) {
    const bench = aBench();
    await bench.write();
    await bench.verify();
    flip(bench.slots.paths.b, offset);
    await assert.rejects(bench.verify(), isCode('SLOT_READBACK_MISMATCH'), `byte ${offset}`);
    assert.equal((await bench.record())?.status, 'writing', 'the record no longer says verified');
    await bench.write();
    assert.equal(bench.served.length, offset < image.length ? 2 : 1, 'a rotten tree is mended without the network');
    assert.equal((await bench.verify()).status, 'verified');
  }
});

test('verify refuses an empty slot, a half-written one, another root, and what is denied', async () => {
  const bench = aBench({ misbehaviour: misbehaveOnce({ cutAfterBytes: mebibyte }) });
  await assert.rejects(bench.verify(), isCode('SLOT_READBACK_MISMATCH'));
  await assert.rejects(bench.write(), isCode('HTTP_TRUNCATED'));
  await assert.rejects(bench.verify(), isCode('SLOT_READBACK_MISMATCH'));
  await bench.write();
  const other = bench.install.verify({ slot: 'b', rootHex: '11'.repeat(32) }, signal, quiet);
  await assert.rejects(other, isCode('VERITY_ROOT_MISMATCH'));
  await bench.install.retire('b', 'does not boot', signal);
  await assert.rejects(bench.verify(), isCode('DENIED'));
});

test('retire and markActivated change what the slot says of itself, once', async () => {
  const bench = aBench();
  assert.equal(await bench.install.retire('b', 'nothing there', signal), null);
  assert.equal(await bench.install.markActivated('b', signal), null);
  await bench.write();
  await assert.rejects(
    bench.install.markActivated('b', signal),
    isCode('SLOT_READBACK_MISMATCH'),
    'never before it was verified',
  );
  await bench.verify();
  assert.equal((await bench.install.markActivated('b', signal))?.status, 'activated');
  const before = readFileSync(bench.slots.paths.b);
  await bench.install.markActivated('b', signal);
  assert.ok(before.equals(readFileSync(bench.slots.paths.b)), 'saying it again writes nothing');
  const denied = await bench.install.retire('b', `line one\nline two ${'\u{1f4a5}'.repeat(600)}`, signal);
  assert.deepEqual(await bench.record(), denied);
  assert.equal(denied?.status, 'denied');
  assert.match(denied?.reason ?? '', /^line one line two \p{Emoji}/u);
});

test('a denied image that is wanted again is read and verified, not fetched', async () => {
  const bench = aBench();
  await bench.write();
  await bench.verify();
  await bench.install.retire('b', 'health', signal);
  const record = await bench.write();
  assert.equal(record.status, 'writing');
  assert.equal(record.reason, null);
  assert.equal(bench.served.length, 1);
  assert.equal((await bench.verify()).status, 'verified');
});

test('the running slot is never opened', async () => {
  const bench = aBench();
  await assert.rejects(
    bench.install.write({ slot: 'a', release: bench.release }, signal, quiet),
    isCode('SLOT_RUNNING'),
  );
  await assert.rejects(bench.install.retire('a', 'no', signal), isCode('SLOT_RUNNING'));
});

test('what is read back next stays with the handle that wrote it: nobody opens it between, and it is opened once', async () => {
  const slots = newSlots();
  let opened = 0;
  const open: FileSlots['devices']['open'] = (...args) => {
    opened += 1;
    return slots.devices.open(...args);
  };
  const { source } = createFakeSource(image);
  const install = anInstall({ slots: { ...slots.devices, open }, source });
  await install.write({ slot: 'b', release: aRelease(anArtifact(image)), isReadBackNext: true }, signal, quiet);
  await assert.rejects(slots.devices.open('b', signal), isCode('SLOT_BUSY'));
  const { status } = await install.verify({ slot: 'b', rootHex }, signal, quiet);
  assert.deepEqual({ status, opened }, { status: 'verified', opened: 1 });
  await (await slots.devices.open('b', signal)).close();
});

test('a second write opens the slot anew, and is asked whether it may', async () => {
  const slots = newSlots();
  let isMounted = false;
  const open: FileSlots['devices']['open'] = (...args) =>
    isMounted ? Promise.reject(new OtadError('SLOT_BUSY')) : slots.devices.open(...args);
  const { source } = createFakeSource(image);
  const install = anInstall({ slots: { ...slots.devices, open }, source });
  const request = { slot: 'b', release: aRelease(anArtifact(image)), isReadBackNext: true } as const;
  await install.write(request, signal, quiet);
  isMounted = true;
  await assert.rejects(install.write(request, signal, quiet), isCode('SLOT_BUSY'));
  await (await slots.devices.open('b', signal)).close();
});

test('what nobody will read back is closed, and is free for the next one at once', async () => {
  const slots = newSlots();
  let isOpen = false;
  const open: FileSlots['devices']['open'] = async (...args) => {
    if (isOpen) throw new OtadError('SLOT_BUSY');
    isOpen = true;
    const handle = await slots.devices.open(...args);
    return {
      sizeBytes: handle.sizeBytes,
      read: (...of) => handle.read(...of),
      write: (...of) => handle.write(...of),
      flush: (...of) => handle.flush(...of),
      requireSamePlace: () => handle.requireSamePlace(),
      close: async () => {
        await handle.close();
        await new Promise(setImmediate);
        isOpen = false;
      },
    };
  };
  const install = anInstall({ slots: { ...slots.devices, open }, source: createFakeSource(image).source });
  const request = { slot: 'b', release: aRelease(anArtifact(image)), isReadBackNext: true } as const;
  await install.write(request, signal, quiet);
  await install.letGo();
  assert.equal(isOpen, false);
  await install.letGo();
  await install.write(request, signal, quiet);
  void install.letGo();
  assert.equal((await install.verify({ slot: 'b', rootHex }, signal, quiet)).status, 'verified');
});

test('another step than the reading back gets the kept slot as well, and leaves it free', async () => {
  const bench = aBench();
  const request = { slot: 'b', release: bench.release, isReadBackNext: true } as const;
  await bench.install.write(request, signal, quiet);
  await bench.install.write(request, signal, quiet);
  await assert.rejects(bench.install.retire('a', 'no', signal), isCode('SLOT_RUNNING'));
  await (await bench.slots.devices.open('b', signal)).close();
  await bench.install.write(request, signal, quiet);
  await bench.install.retire('b', 'no', signal);
  await (await bench.slots.devices.open('b', signal)).close();
});

test('a slot that is another one by the time it has been read is not called verified', async () => {
  const bench = aBench();
  await bench.install.write({ slot: 'b', release: bench.release, isReadBackNext: true }, signal, quiet);
  const { b } = bench.slots.paths;
  const away = `${b}.away`;
  renameSync(b, away);
  copyFileSync(away, b);
  await assert.rejects(bench.verify(), isCode('SLOT_BUSY'));
  assert.equal((await bench.record())?.status, 'writing');
});

test('the slot is free again after every end', async () => {
  const bench = aBench({ misbehaviour: misbehaveOnce({ cutAfterBytes: 100 }) });
  await assert.rejects(bench.write(), isCode('HTTP_TRUNCATED'));
  await (await bench.slots.devices.open('b', signal)).close();
  await bench.write();
  await (await bench.slots.devices.open('b', signal)).close();
});

test('progress grows, counts what came over the network, ends at the total, and does not flood', async () => {
  const seen: Progress[] = [];
  const bench = aBench({ misbehaviour: () => ({ ...misbehaved(), chunkBytes: 1000 }) });
  const misbehaved = misbehaveOnce({ cutAfterBytes: mebibyte });
  const write = () => bench.install.write({ slot: 'b', release: bench.release }, signal, (one) => seen.push(one));
  await assert.rejects(write(), isCode('HTTP_TRUNCATED'));
  seen.length = 0;
  await write();
  await bench.install.verify({ slot: 'b', rootHex }, signal, (one) => seen.push(one));
  assert.deepEqual([...new Set(seen.map(({ step }) => step))], ['reading', 'fetching', 'verifying']);
  for (const step of ['reading', 'fetching', 'verifying'] as const) {
    const done = seen.filter((one) => one.step === step).map(({ doneBytes }) => doneBytes);
    assert.deepEqual(
      done,
      [...done].sort((x, y) => x - y),
    );
  }
  const fetching = seen.filter(({ step }) => step === 'fetching');
  assert.equal(fetching[0]?.doneBytes, mebibyte - (mebibyte % 4096));
  assert.equal(fetching.at(-1)?.doneBytes, image.length);
  assert.equal(fetching.at(-1)?.fetchedBytes, image.length - mebibyte);
  assert.equal(seen.at(-1)?.doneBytes, image.length);
  assert.ok(seen.length < 100, `${seen.length} reports`);
});

test('a checkpoint is a 64th of the image, within 1 and 16 MiB', () => {
  assert.equal(checkpointBytesOf(4096), mebibyte);
  assert.equal(checkpointBytesOf(64 * mebibyte), mebibyte);
  assert.equal(checkpointBytesOf(256 * mebibyte), 4 * mebibyte);
  assert.equal(checkpointBytesOf(8192 * mebibyte), 16 * mebibyte);
});
