import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { boards } from '../../image/boards.ts';
import { makeDisk } from '../../image/disk.ts';
import { planDisk } from '../../image/partitions.ts';
import { aFolder } from '../publish/publisher-fixture.ts';

/** A GUID as GPT stores it: the first three groups are little-endian. */
const guidAt = (disk: Buffer, at: number): string => {
  const hex = (start: number, end: number): string => disk.toString('hex', at + start, at + end);
  const number = (start: number, bytes: number): string =>
    disk
      .readUIntLE(at + start, bytes)
      .toString(16)
      .padStart(2 * bytes, '0');
  return [number(0, 4), number(4, 2), number(6, 2), hex(8, 10), hex(10, 16)].join('-');
};

/** The primary table, read by the words of the UEFI specification. */
const readTable = (disk: Buffer) => {
  assert.equal(disk.toString('latin1', 512, 520), 'EFI PART');
  const entries = Array.from({ length: disk.readUInt32LE(512 + 80) }, (_, index) => 1024 + 128 * index);
  return entries
    .filter((at) => disk.readBigUInt64LE(at + 32) > 0n)
    .map((at) => ({
      label: disk.toString('utf16le', at + 56, at + 128).replace(/\0+$/, ''),
      first: Number(disk.readBigUInt64LE(at + 32)),
      last: Number(disk.readBigUInt64LE(at + 40)),
      uuid: guidAt(disk, at + 16),
      type: guidAt(disk, at),
    }));
};

for (const board of boards) {
  test(`${board.name}: no partition reaches into another, and the data partition is the last one`, () => {
    const { partitions, sizeBytes } = planDisk(board);
    let end = 1024 * 1024;
    for (const partition of partitions) {
      assert.ok(partition.offsetBytes >= end, partition.label);
      end = partition.offsetBytes + partition.sizeBytes;
    }
    // What is usable of the disk, on whole blocks: nothing is left to widen.
    assert.equal(end, 4096 * Math.floor((sizeBytes - 33 * 512) / 4096));
    assert.equal(partitions.at(-1)?.label, 'data');
    assert.equal(new Set(partitions.map(({ uuid }) => uuid)).size, partitions.length);
  });

  test(`${board.name}: the table on the disk is the planned one`, async (t) => {
    const path = join(await aFolder(t), 'disk.img');
    const plan = planDisk(board);
    await makeDisk(path, plan);
    assert.deepEqual(readTable(await readFile(path)), [
      ...plan.partitions.map(({ label, offsetBytes, sizeBytes, uuid, type }) => ({
        ...{ label, first: offsetBytes / 512, last: (offsetBytes + sizeBytes) / 512 - 1 },
        ...{ uuid, type: type.toLowerCase() },
      })),
    ]);
  });
}
