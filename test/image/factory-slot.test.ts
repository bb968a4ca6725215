import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { recordAreaBytes } from '../../agent/core/slot-layout.ts';
import { factoryRecord, sealImage, writeFactorySlot } from '../../image/factory-slot.ts';
import { decodeRecord } from '../../verity/slot-record.ts';
import { aFolder } from '../publish/publisher-fixture.ts';

const run = promisify(execFile);
const identity = { releaseId: 'gw-1.0', compatible: 'gw', version: '1.0', sequence: 4 };
const saltHex = '07'.repeat(32);
const slotBytes = 8 * 1024 * 1024;
const offsetBytes = 1024 * 1024;

test('veritysetup accepts a factory slot where it lies on the disk, and its record tells the release', async (t) => {
  const folder = await aFolder(t);
  const [imagePath, diskPath, slotPath] = ['image', 'disk', 'slot'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  await writeFile(imagePath, Buffer.alloc(300 * 4096, 'gateway'));
  await writeFile(diskPath, '');
  await truncate(diskPath, offsetBytes + slotBytes);
  const image = await sealImage(imagePath, saltHex);
  await writeFactorySlot({ diskPath, offsetBytes, sizeBytes: slotBytes }, imagePath, image, identity);
  const slot = (await readFile(diskPath)).subarray(offsetBytes);
  await writeFile(slotPath, slot);
  const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` };
  const { rootHex, hashOffsetBytes } = image.verity;
  await run('veritysetup', ['verify', slotPath, slotPath, rootHex, `--hash-offset=${hashOffsetBytes}`], { env });
  const found = decodeRecord(slot.subarray(-recordAreaBytes));
  assert.deepEqual(found?.record, factoryRecord(image, identity));
});

test('an image that leaves no room for its tree is refused before the disk is touched', async (t) => {
  const folder = await aFolder(t);
  const imagePath = join(folder, 'image');
  const diskPath = join(folder, 'disk');
  await writeFile(imagePath, Buffer.alloc(64 * 4096, 1));
  await writeFile(diskPath, Buffer.alloc(65 * 4096));
  const image = await sealImage(imagePath, saltHex);
  const place = { diskPath, offsetBytes: 0, sizeBytes: 65 * 4096 };
  await assert.rejects(writeFactorySlot(place, imagePath, image, identity), { code: 'IMAGE_UNUSABLE' });
  assert.ok((await readFile(diskPath)).every((byte) => byte === 0));
});
