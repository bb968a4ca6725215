// How the initramfs finds disk and slot: its own functions, run by its shell, on disks with real partition tables and on the
// files in which a kernel tells of them.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { appendFile, copyFile, mkdir, open, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { recordAreaBytes, recordOffsetBytes } from '../../agent/core/slot-layout.ts';
import type { SlotRecord } from '../../agent/core/types.ts';
import { boards } from '../../image/boards.ts';
import { makeDisk } from '../../image/disk.ts';
import { factoryRecord, sealImage } from '../../image/factory-slot.ts';
import { planDisk } from '../../image/partitions.ts';
import { encodeRecord } from '../../verity/slot-record.ts';
import { aFolder } from '../publish/publisher-fixture.ts';

const run = promisify(execFile);
const script = fileURLToPath(new URL('../../../image/initramfs/find-slot', import.meta.url));
const [board = assert.fail()] = boards;
const plan = planDisk(board);
const sectorBytes = 512;

/** What the words print, with one of the script's functions or variables. */
const call = async (at: string, text: string): Promise<string> => {
  const options = { env: { PATH: `${process.env.PATH}:/usr/sbin:/sbin:/usr/bin:/bin`, TMPDIR: at } };
  return (await run('busybox', ['sh', '-c', `. "$0"; at=$1; ${text}; true`, script, at], options)).stdout.trimEnd();
};

/** A disk of the board as the kernel shows it: links from the class to the devices, a partition below its disk. */
const addDisk = async (at: string, name: string): Promise<void> => {
  const disk = join(at, 'dev', name);
  const device = join(at, 'sys/devices/pci0000:00/0000:00:05.0/virtio2/block', name);
  const show = async (entry: string, folder: string, files: Readonly<Record<string, string>>): Promise<void> => {
    await mkdir(folder, { recursive: true });
    for (const [file, text] of Object.entries(files)) await writeFile(join(folder, file), `${text}\n`);
    await symlink(folder, join(at, 'sys/class/block', entry));
  };
  for (const folder of ['dev', 'sys/class/block']) await mkdir(join(at, folder), { recursive: true });
  await makeDisk(disk, plan);
  await mkdir(join(device, 'queue'), { recursive: true });
  await show(name, device, {
    uevent: `DEVNAME=${name}\nDEVTYPE=disk`,
    'queue/logical_block_size': String(sectorBytes),
  });
  for (const { number, label, sizeBytes } of plan.partitions) {
    const uevent = `DEVNAME=${name}${number}\nDEVTYPE=partition\nPARTN=${number}\nPARTNAME=${label}`;
    const files = { uevent, partition: String(number), size: String(sizeBytes / sectorBytes) };
    await show(`${name}${number}`, join(device, `${name}${number}`), files);
  }
};

const aMachine = async (t: TestContext, ...disks: readonly string[]): Promise<string> => {
  const at = await aFolder(t);
  for (const name of disks) await addDisk(at, name);
  return at;
};

const uuidOf = (label: string): string =>
  plan.partitions.find((known) => known.label === label)?.uuid ?? assert.fail(label);

test('the PARTUUID of each partition is read from the table as sgdisk wrote it', async (t) => {
  const at = await aMachine(t, 'vda');
  const lines = plan.partitions.map(({ label, uuid }) => `${label} ${uuid}`);
  assert.equal(await call(at, 'partitions_of vda'), lines.join('\n'));
  assert.equal(await call(at, 'part_uuid vda'), '', 'a whole disk has none');
});

test('the disk is the one that has the partition; of two copies both are told', async (t) => {
  const at = await aMachine(t, 'vda');
  assert.equal(await call(at, `disks_with ${uuidOf('esp')}`), 'vda');
  assert.equal(await call(at, 'disks_with 00000000-0000-4000-8000-000000000000'), '');
  await addDisk(at, 'vdb');
  assert.equal(await call(at, `disks_with ${uuidOf('esp')}`), 'vda\nvdb');
});

test('a label is looked for on the disk that is named, and on all without one', async (t) => {
  const at = await aMachine(t, 'vda', 'vdb');
  assert.equal(await call(at, 'labelled system_b vdb'), 'vdb3');
  assert.equal(await call(at, 'labelled system_b ""'), 'vda3\nvdb3');
  assert.equal(await call(at, 'labelled system_ ""'), '', 'a part of a label is none');
  assert.equal(await call(at, 'number_of data vda'), '4');
});

const words = '"$slot|$root|$offset|$from|$trial|$required|$volatile"';
const lines = {
  'quiet otad.slot=a otad.root=ab12 otad.hashoffset=4096 otad.disk=1234-AB': 'a|ab12|4096|1234-AB|||',
  'otad.trial=1 otad.requireroot systemd.volatile=overlay': '||||1|1|1',
  'otad.trial=10 xotad.slot=a otad.slotb=b systemd.volatile=yes otad.requireroot=': '||||||',
  'otad.slot=a otad.slot=b': 'b||||||',
  '': '||||||',
} as const;

test('the command line is read word by word, and the last of a kind counts', async (t) => {
  const at = await aFolder(t);
  for (const [line, wanted] of Object.entries(lines)) {
    await writeFile(join(at, 'cmdline'), `${line}\n`);
    assert.equal(await call(at, `read_command_line ${join(at, 'cmdline')}; echo ${words}`), wanted, line);
  }
});

/** A slot with these copies of its record, as otad writes them. */
const aSlot = async (t: TestContext, records: Readonly<Record<number, (factory: SlotRecord) => SlotRecord>>) => {
  const at = await aFolder(t);
  const image = join(at, 'image');
  await writeFile(image, Buffer.alloc(4 * 4096, 'gateway'));
  const sealed = await sealImage(image, '07'.repeat(32));
  const factory = factoryRecord(sealed, { releaseId: 'gw-1.0', compatible: 'gw', version: '1.0', sequence: 4 });
  const slotBytes = 64 * 4096;
  for (const folder of ['dev', 'sys/class/block/vda2']) await mkdir(join(at, folder), { recursive: true });
  await writeFile(join(at, 'sys/class/block/vda2/size'), `${slotBytes / sectorBytes}\n`);
  const device = join(at, 'dev/vda2');
  await copyFile(image, device);
  await appendFile(device, Buffer.alloc(slotBytes - 4 * 4096));
  const file = await open(device, 'r+');
  for (const [serial, change] of Object.entries(records)) {
    const bytes = encodeRecord(change(factory), Number(serial));
    await file.write(bytes, 0, bytes.length, recordOffsetBytes(slotBytes, Number(serial)));
  }
  await file.close();
  const spoil = async (offsetBytes: number): Promise<void> => {
    const handle = await open(device, 'r+');
    await handle.write('X', slotBytes - recordAreaBytes + offsetBytes);
    await handle.close();
  };
  return { at, rootHex: sealed.verity.rootHex, spoil };
};

test('a slot without a word on the command line vouches for itself by the newest whole record', async (t) => {
  const older = 'ee'.repeat(32);
  const { at, rootHex, spoil } = await aSlot(t, {
    4: (record) => ({ ...record, verity: { ...record.verity, rootHex: older } }),
    5: (record) => record,
  });
  assert.equal(await call(at, 'record_root vda2'), rootHex);
  await spoil(4096 + 100);
  assert.equal(await call(at, 'record_root vda2'), older, 'the newer copy is damaged');
  await spoil(100);
  assert.equal(await call(at, 'record_root vda2'), '', 'both are damaged');
});

test('a slot that is being written, or was given up, does not vouch for itself', async (t) => {
  for (const status of ['writing', 'denied'] as const) {
    const { at } = await aSlot(t, { 4: (record) => record, 5: (record) => ({ ...record, status }) });
    assert.equal(await call(at, 'record_root vda2'), '', status);
  }
});
