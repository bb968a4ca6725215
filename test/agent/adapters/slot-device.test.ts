import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { createSlotDevices } from '../../../agent/adapters/slot-device.ts';
import { openSlot, slotError } from '../../../agent/adapters/slot-handle.ts';
import {
  deviceNumbers,
  kernelViews,
  refuseInUse,
  refuseShared,
  type SlotIdentity,
} from '../../../agent/adapters/slot-identity.ts';
import { OtadError } from '../../../agent/core/errors.ts';
import { recordOffsetBytes } from '../../../agent/core/slot-layout.ts';
import type { SlotName, SlotRecord } from '../../../agent/core/types.ts';
import { encodeRecord } from '../../../verity/slot-record.ts';
import { noise } from '../../support/noise.ts';
import { anArtifact, createFileSlots, isCode } from '../../support/slot-bench.ts';

const root = mkdtempSync(join(tmpdir(), 'otad-slot-'));
after(() => rmSync(root, { recursive: true }));
const { signal } = new AbortController();

const aFolder = (): string => mkdtempSync(join(root, 'case-'));
const mebibyte = 1024 * 1024;

const names =
  (code: string, ...texts: readonly string[]) =>
  (error: unknown) =>
    error instanceof OtadError && error.code === code && texts.every((text) => error.message.includes(text));

const aRecord = (): SlotRecord => {
  const image = noise(8192);
  const { verity, sha256Hex, lengthBytes } = anArtifact(image);
  assert.ok(verity !== null);
  return {
    status: 'verified',
    release: { id: 'gw-1.0', version: '1.0', sequence: 10 },
    compatible: 'acme-gw',
    imageLengthBytes: lengthBytes,
    imageSha256Hex: sha256Hex,
    verity,
    writtenBytes: lengthBytes,
    prefixSha256Hex: sha256Hex,
    reason: null,
  };
};

test('what is written is read back, and stands in the file at its offset', async () => {
  const { devices, paths } = createFileSlots(aFolder(), 4 * mebibyte);
  const handle = await devices.open('b', signal);
  const bytes = noise(2 * mebibyte); // memory that begins anywhere
  await handle.write(4096, bytes, signal);
  const own = handle.allocate?.(mebibyte) ?? new Uint8Array(mebibyte);
  own.set(noise(mebibyte, 'own'));
  await handle.write(3 * mebibyte, own, signal);
  await handle.flush(signal);
  assert.ok(bytes.equals(await handle.read(4096, bytes.length, signal)));
  assert.deepEqual(Buffer.from(await handle.read(3 * mebibyte, own.length, signal)), Buffer.from(own));
  await handle.close();
  const file = readFileSync(paths.b);
  assert.ok(file.subarray(4096, 4096 + bytes.length).equals(bytes));
  assert.ok(file.subarray(3 * mebibyte).equals(own));
  assert.equal(file.length, 4 * mebibyte, 'the slot keeps its size');
});

test('reaches past 2^32 bytes', async () => {
  const { devices } = createFileSlots(aFolder(), 5 * 2 ** 30);
  const handle = await devices.open('b', signal);
  const offset = 2 ** 32 + 4096;
  await handle.write(offset, noise(4096), signal);
  await handle.flush(signal);
  assert.ok(noise(4096).equals(await handle.read(offset, 4096, signal)));
  assert.ok(
    Buffer.alloc(4096).equals(await handle.read(4096, 4096, signal)),
    'nothing lands at the offset modulo 2^32',
  );
  await handle.close();
});

test('counts whole blocks only, and never writes past them', async () => {
  const { devices } = createFileSlots(aFolder(), 3 * 4096 + 100);
  const handle = await devices.open('b', signal);
  assert.equal(handle.sizeBytes, 3 * 4096);
  await assert.rejects(handle.write(3 * 4096, new Uint8Array(4096), signal), isCode('INTERNAL'));
  await assert.rejects(handle.write(-4096, new Uint8Array(4096), signal), isCode('INTERNAL'));
  await assert.rejects(handle.write(1, new Uint8Array(4096), signal), isCode('INTERNAL'));
  await assert.rejects(handle.write(0, new Uint8Array(100), signal), isCode('INTERNAL'));
  await assert.rejects(handle.read(0, 4 * 4096, signal), isCode('INTERNAL'));
  await handle.close();
  await handle.close();
  await assert.rejects(handle.read(0, 4096, signal), isCode('INTERNAL'));
});

test('refuses the running slot', async () => {
  const { devices } = createFileSlots(aFolder(), mebibyte);
  await assert.rejects(devices.open('a', signal), isCode('SLOT_RUNNING'));
});

test('refuses when the evidence of what runs cannot be had', async () => {
  const { paths } = createFileSlots(aFolder(), mebibyte);
  const bootedSlot = async (): Promise<SlotName> => {
    throw new OtadError('BOOT_EVIDENCE_MISSING');
  };
  await assert.rejects(createSlotDevices({ paths, bootedSlot }).open('b', signal), isCode('BOOT_EVIDENCE_MISSING'));
});

test('refuses two names for one device, and names both', async () => {
  const folder = aFolder();
  const { paths } = createFileSlots(folder, mebibyte);
  const links = { soft: join(folder, 'soft'), hard: join(folder, 'hard') };
  symlinkSync(paths.a, links.soft);
  linkSync(paths.a, links.hard);
  for (const b of [paths.a, links.soft, links.hard]) {
    const devices = createSlotDevices({ paths: { a: paths.a, b }, bootedSlot: () => 'a' });
    await assert.rejects(devices.open('b', signal), names('CONFIG_INVALID', paths.a, b));
  }
});

test('says which slot is missing, and what stands in its place', async () => {
  const folder = aFolder();
  const { paths } = createFileSlots(folder, mebibyte);
  const open = (over: Partial<Record<SlotName, string>>) =>
    createSlotDevices({ paths: { ...paths, ...over }, bootedSlot: () => 'a' }).open('b', signal);
  const gone = join(folder, 'gone');
  await assert.rejects(open({ b: gone }), names('SLOT_MISSING', gone, 'ENOENT'));
  await assert.rejects(open({ a: gone }), names('SLOT_MISSING', gone));
  await assert.rejects(open({ b: folder }), names('SLOT_MISSING', 'neither a block device nor a regular file'));
  await assert.rejects(open({ b: '/dev/null' }), names('SLOT_MISSING', 'neither a block device nor a regular file'));
});

test('a file slot has one holder at a time, by whatever name it is opened', async () => {
  const folder = aFolder();
  const { devices, paths } = createFileSlots(folder, mebibyte);
  const link = join(folder, 'link');
  symlinkSync(paths.b, link);
  const other = createSlotDevices({ paths: { a: paths.a, b: link }, bootedSlot: () => 'a' });
  const handle = await devices.open('b', signal);
  await assert.rejects(devices.open('b', signal), names('SLOT_BUSY', paths.b));
  await assert.rejects(other.open('b', signal), names('SLOT_BUSY', link));
  await handle.close();
  await (await other.open('b', signal)).close();
});

test('a holder that was killed leaves no lock behind', async () => {
  const { devices, paths } = createFileSlots(aFolder(), mebibyte);
  const script = fileURLToPath(new URL('../../support/hold-slot.js', import.meta.url));
  const child = spawn(process.execPath, [script, paths.a, paths.b], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child.stdout, 'data');
  await assert.rejects(devices.open('b', signal), isCode('SLOT_BUSY'));
  child.kill('SIGKILL');
  await once(child, 'exit');
  await (await devices.open('b', signal)).close();
});

test('a medium that ends early is an I/O error, not short data', async () => {
  const { devices, paths } = createFileSlots(aFolder(), mebibyte);
  const handle = await devices.open('b', signal);
  truncateSync(paths.b, mebibyte / 2);
  await assert.rejects(handle.read(mebibyte - 4096, 4096, signal), names('SLOT_IO', paths.b, 'ends early'));
  await handle.close();
});

test('a cancelled signal stops before the medium is touched', async () => {
  const { devices } = createFileSlots(aFolder(), mebibyte);
  const cancelled = AbortSignal.abort();
  await assert.rejects(devices.open('b', cancelled), isCode('CANCELLED'));
  const handle = await devices.open('b', signal);
  await assert.rejects(handle.write(0, new Uint8Array(4096), cancelled), isCode('CANCELLED'));
  await handle.close();
});

test('reads the record of either slot, the running one and a held one too', async () => {
  const { devices, paths } = createFileSlots(aFolder(), mebibyte);
  for (const slot of ['a', 'b'] as const) {
    assert.equal(await devices.readRecord(slot, signal), null);
    const file = readFileSync(paths[slot]);
    file.set(encodeRecord(aRecord(), 5), recordOffsetBytes(mebibyte, 5));
    writeFileSync(paths[slot], file);
  }
  const handle = await devices.open('b', signal);
  for (const slot of ['a', 'b'] as const) assert.deepEqual(await devices.readRecord(slot, signal), aRecord());
  await handle.close();
});

test('a slot too small for a record has none', async () => {
  const { devices } = createFileSlots(aFolder(), 4096);
  assert.equal(await devices.readRecord('b', signal), null);
});

const aBlockDevice = (device: string): SlotIdentity => ({
  path: `/dev/${device}`,
  kind: 'block',
  key: `block ${device}`,
  device,
});

/** A /proc and a /sys as they look with these mounts, holders, partitions and loop devices. */
const aKernel = (mountinfo: string) => {
  const folder = aFolder();
  const views = { proc: join(folder, 'proc'), sys: join(folder, 'sys') };
  mkdirSync(join(views.proc, 'self'), { recursive: true });
  writeFileSync(join(views.proc, 'self/mountinfo'), mountinfo);
  mkdirSync(join(views.sys, 'dev/block'), { recursive: true });
  return views;
};

test('refuses a mounted device and says where it is mounted', async () => {
  const views = aKernel(
    [
      '22 1 179:2 / / ro,relatime - squashfs /dev/root ro',
      '23 22 179:20 / /not\\040this rw - ext4 /dev/mmcblk0p20 rw',
      '24 22 179:3 / /mnt/other\\040slot rw - ext4 /dev/mmcblk0p3 rw',
    ].join('\n'),
  );
  await assert.rejects(refuseInUse('b', aBlockDevice('179:3'), views), names('SLOT_BUSY', '/mnt/other slot'));
  await assert.rejects(refuseInUse('b', aBlockDevice('179:2'), views), isCode('SLOT_RUNNING'));
  await refuseInUse('b', aBlockDevice('179:4'), views);
});

test('refuses a device that another stands on, such as the dm-verity device of the running system', async () => {
  const views = aKernel('');
  mkdirSync(join(views.sys, 'dev/block/179:2/holders/dm-0'), { recursive: true });
  mkdirSync(join(views.sys, 'dev/block/179:3/holders'), { recursive: true });
  await assert.rejects(refuseInUse('b', aBlockDevice('179:2'), views), names('SLOT_BUSY', 'dm-0'));
  await refuseInUse('b', aBlockDevice('179:3'), views);
});

test('refuses a file that a loop device stands on', async () => {
  const { paths } = createFileSlots(aFolder(), mebibyte);
  const views = aKernel('');
  mkdirSync(join(views.sys, 'block/loop0/loop'), { recursive: true });
  mkdirSync(join(views.sys, 'block/loop1'), { recursive: true });
  mkdirSync(join(views.sys, 'block/sda'), { recursive: true });
  writeFileSync(join(views.sys, 'block/loop0/loop/backing_file'), `${paths.b}\n`);
  const devices = createSlotDevices({ paths, bootedSlot: () => 'a', views });
  await assert.rejects(devices.open('b', signal), names('SLOT_BUSY', 'loop0'));
  writeFileSync(join(views.sys, 'block/loop0/loop/backing_file'), '/somewhere/else\n');
  await (await devices.open('b', signal)).close();
});

test('refuses a slot that is a partition of the other', async () => {
  const views = aKernel('');
  const disk = join(views.sys, 'devices/sda');
  mkdirSync(join(disk, 'sda1'), { recursive: true });
  mkdirSync(join(disk, 'sda2'));
  symlinkSync(disk, join(views.sys, 'dev/block/8:0'));
  symlinkSync(join(disk, 'sda1'), join(views.sys, 'dev/block/8:1'));
  symlinkSync(join(disk, 'sda2'), join(views.sys, 'dev/block/8:2'));
  const refused = refuseShared(aBlockDevice('8:0'), aBlockDevice('8:1'), views);
  await assert.rejects(refused, names('CONFIG_INVALID', '/dev/8:0', '/dev/8:1'));
  await refuseShared(aBlockDevice('8:1'), aBlockDevice('8:2'), views);
});

test('decodes device numbers as the kernel writes them', () => {
  assert.equal(deviceNumbers(0xb302n), '179:2');
  assert.equal(deviceNumbers(0x10_3_02n), '259:2');
  assert.equal(deviceNumbers(0x12_345_6_78n), '1110:74616');
});

test('what the system says about a slot becomes a typed code', () => {
  const codes = ['ENOSPC', 'EDQUOT', 'EIO', 'EROFS', 'EBUSY', 'ENXIO'].map(
    (code) => slotError(Object.assign(new Error(code), { code }), { slot: 'b' }).code,
  );
  assert.deepEqual(codes, ['DISK_FULL', 'DISK_FULL', 'SLOT_IO', 'SLOT_IO', 'SLOT_BUSY', 'SLOT_MISSING']);
});

test('a block device that refuses direct access is refused, a file is read without it', async () => {
  // The kernel takes O_DIRECT for no file of /proc, on any machine.
  const path = '/proc/version';
  const { dev, ino } = statSync(path, { bigint: true });
  const unlock = async (): Promise<void> => {};
  const open = (identity: SlotIdentity) => openSlot('b', identity, kernelViews, false, unlock);
  const block: SlotIdentity = { path, kind: 'block', key: 'block 8:1', device: '8:1' };
  await assert.rejects(open(block), names('SLOT_IO', path, 'EINVAL', 'O_DIRECT'));
  const handle = await open({ path, kind: 'file', key: `file ${deviceNumbers(dev)}:${ino}`, device: null });
  assert.equal(handle.isDirect, false);
  await handle.close();
});
