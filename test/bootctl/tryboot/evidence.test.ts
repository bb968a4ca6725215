// What the device tree and the disk's links testify, read from folders that look like /proc and /dev.

import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { OtadError } from '../../../agent/core/errors.ts';
import { readRotaLayout } from '../../../bootctl/tryboot/by-slot.ts';
import { parseProperty, readTrybootEvidence, withTrybootEvidence } from '../../../bootctl/tryboot/device-tree.ts';

const withFolder = async (body: (folder: string) => Promise<void>): Promise<void> => {
  const folder = await mkdtemp(join(tmpdir(), 'otad-evidence-'));
  try {
    await body(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
};

const isConflict =
  (...named: readonly string[]) =>
  (error: unknown): boolean =>
    error instanceof OtadError &&
    error.code === 'BOOT_EVIDENCE_CONFLICT' &&
    named.every((name) => error.message.includes(name));

const facts = { slot: 'a', root: null, evidence: ['command line'] } as const;

test('the partition and the flag are big-endian integers of four bytes', async () => {
  assert.equal(parseProperty(Buffer.from([0, 0, 0, 3])), 3);
  assert.equal(parseProperty(Buffer.from([3, 0, 0, 0])), 0x3000000);
  assert.equal(parseProperty(Buffer.from([0, 3])), null);
  await withFolder(async (folder) => {
    await writeFile(join(folder, 'partition'), Buffer.from([0, 0, 0, 3]));
    await writeFile(join(folder, 'tryboot'), Buffer.from([0, 0, 0, 1]));
    await writeFile(join(folder, 'boot-mode'), Buffer.from([0, 0, 0, 6]));
    const { slot, partition, isTryboot, bootMode, evidence } = await readTrybootEvidence(folder);
    assert.deepEqual([slot, partition, isTryboot, bootMode], ['b', 3, true, 6]);
    assert.equal(evidence.length, 3);
  });
});

test('a firmware that says nothing, or partition 0, leaves it to the command line', async () => {
  await withFolder(async (folder) => {
    const nothing = await readTrybootEvidence(folder);
    assert.deepEqual([nothing.slot, nothing.isTryboot], [null, null]);
    await writeFile(join(folder, 'partition'), Buffer.alloc(4));
    const tree = await readTrybootEvidence(folder);
    assert.equal(tree.slot, null);
    assert.equal(withTrybootEvidence(facts, tree).slot, 'a');
  });
});

test('a device tree that contradicts the command line, or the configured partitions, is an error that names both', async () => {
  await withFolder(async (folder) => {
    await writeFile(join(folder, 'partition'), Buffer.from([0, 0, 0, 3]));
    const tree = await readTrybootEvidence(folder);
    assert.throws(() => withTrybootEvidence(facts, tree), isConflict('slot a', 'partition 3'));
    await assert.rejects(readTrybootEvidence(folder, { a: 5, b: 6 }), isConflict('partition 3', 'partition 5'));
  });
});

/** Links as udev makes them, from name to node. */
const makeDev = async (dev: string, links: Readonly<Record<string, string>>): Promise<void> => {
  for (const [name, node] of Object.entries(links)) {
    await writeFile(join(dev, node), '');
    const path = join(dev, 'disk', name);
    await mkdir(dirname(path), { recursive: true });
    await symlink(join(dev, node), path);
  }
};

const labels = {
  'by-partlabel/boot_a': 'mmcblk0p2',
  'by-partlabel/boot_b': 'mmcblk0p3',
  'by-partlabel/system_a': 'mmcblk0p4',
  'by-partlabel/system_b': 'mmcblk0p5',
};
const slotB = {
  'by-slot/active/boot': 'mmcblk0p3',
  'by-slot/active/system': 'mmcblk0p5',
  'by-slot/other/boot': 'mmcblk0p2',
  'by-slot/other/system': 'mmcblk0p4',
};

test('image-rota’s labels and by-slot links are recognised as slots, whichever runs', async () => {
  await withFolder(async (dev) => {
    await makeDev(dev, { ...labels, ...slotB });
    const layout = await readRotaLayout(dev);
    assert.equal(layout?.booted, 'b');
    assert.deepEqual(layout?.slots.a, { boot: join(dev, 'mmcblk0p2'), system: join(dev, 'mmcblk0p4') });
    assert.deepEqual(layout?.partitions, { a: 2, b: 3 });
  });
});

test('a disk without labels needs the running slot from elsewhere', async () => {
  await withFolder(async (dev) => {
    await makeDev(dev, slotB);
    assert.deepEqual((await readRotaLayout(dev, 'b'))?.partitions, { a: 2, b: 3 });
    await assert.rejects(readRotaLayout(dev), isConflict());
  });
});

test('a second disk with the same labels is an error that names both', async () => {
  await withFolder(async (dev) => {
    await makeDev(dev, { ...labels, 'by-partlabel/boot_b': 'nvme0n1p3', ...slotB });
    await assert.rejects(readRotaLayout(dev), isConflict('nvme0n1p3', 'mmcblk0p3'));
  });
  await withFolder(async (dev) => {
    await makeDev(dev, { ...labels, ...slotB });
    await assert.rejects(readRotaLayout(dev, 'a'), isConflict('mmcblk0p3'));
  });
});

test('a disk of another layout is none of it', async () => {
  await withFolder(async (dev) => {
    await makeDev(dev, labels);
    assert.equal(await readRotaLayout(dev), null);
  });
});
