import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { readStack } from '../../../agent/adapters/block-device.ts';
import { readLineage } from '../../../agent/adapters/boot-lineage.ts';
import { readRootDevice } from '../../../agent/adapters/root-device.ts';
import { refuseDoubles } from '../../../agent/adapters/slot-doubles.ts';
import { kernelViews, type SlotIdentity } from '../../../agent/adapters/slot-identity.ts';
import type { SlotName } from '../../../agent/core/types.ts';
import { aDisk, createKernelTree, type FakeDevice, type FakeMachine, rootMount } from '../../support/kernel-tree.ts';

const root = 'c4'.repeat(32);
const emmc = aDisk('mmcblk0', 179, 'aaaa', 'p');
const oldCard = aDisk('mmcblk1', 180, 'bbbb', 'p');
const labels = { a: '/dev/disk/by-partlabel/system_a', b: '/dev/disk/by-partlabel/system_b' };
const closers: (() => Promise<void>)[] = [];
after(() => Promise.all(closers.map((close) => close())));

const block = (path: string, device: string): SlotIdentity => ({ path, kind: 'block', key: `block ${device}`, device });
/** What udev's links lead to in this machine. */
const onDisk = (major: number) => ({ a: block(labels.a, `${major}:2`), b: block(labels.b, `${major}:3`) });
const verity = (on: string): FakeDevice => ({
  name: 'dm-0',
  number: '254:0',
  mapper: ['root', `CRYPT-VERITY-${'0'.repeat(32)}-root`],
  on: [on],
});

const boot = async (over: Partial<FakeMachine>) => {
  const machine = { devices: emmc, mounts: [rootMount('179:2')], commandLine: 'otad.slot=a', ...over };
  const tree = await createKernelTree(machine);
  closers.push(tree.close);
  return tree;
};

const lineage = async (
  over: Partial<FakeMachine>,
  identities: Readonly<Record<SlotName, SlotIdentity>> = onDisk(179),
) => {
  const { views, commandLinePath } = await boot(over);
  const identifySlot = async (slot: SlotName) => identities[slot];
  return readLineage({ commandLinePath, slotPaths: labels, views, identifySlot });
};

const spoken = (witnesses: readonly { readonly slot: SlotName | null }[]) => witnesses.map(({ slot }) => slot);

describe('which slot runs', () => {
  test('command line and root device agree, and both are told', async () => {
    const found = await lineage({ commandLine: `otad.slot=a otad.root=${root}` });
    assert.equal(found.slot, 'a');
    assert.equal(found.root, root);
    assert.deepEqual(spoken(found.witnesses), ['a', 'a']);
    assert.deepEqual(found.evidence, [
      'kernel command line: otad.slot=a (slot a)',
      'root device: /dev/mmcblk0p2 (slot a)',
      `kernel command line: otad.root=${root}`,
    ]);
  });

  test('dm-verity is followed down to its partition', async () => {
    const found = await lineage({
      devices: [...emmc, verity('mmcblk0p3')],
      mounts: [rootMount('254:0')],
      commandLine: `quiet roothash=${root}`,
    });
    assert.equal(found.slot, 'b');
    assert.equal(found.root, root);
    assert.match(found.evidence[1] ?? '', /\/dev\/mapper\/root \(dm-verity\) on \/dev\/mmcblk0p3 \(slot b\)/);
  });

  test('an overlay speaks for the image below it', async () => {
    const found = await lineage({
      mounts: [
        '30 22 179:3 / /run/image ro - squashfs /dev/mmcblk0p3 ro',
        rootMount('0:30', 'overlay', 'rw,lowerdir=/run/image,upperdir=/run/up'),
      ],
      commandLine: '',
    });
    assert.equal(found.slot, 'b');
  });

  test('a later mount at / hides the one before', async () => {
    const found = await lineage({
      mounts: [rootMount('0:1', 'rootfs'), rootMount('179:3')],
      commandLine: 'otad.slot=b',
    });
    assert.deepEqual(spoken(found.witnesses), ['b', 'b']);
  });

  test('without a mounted device the one that root= names counts, by number or uuid', async () => {
    const mounts = [rootMount('0:21', 'overlay')];
    assert.equal((await lineage({ mounts, commandLine: 'root=/dev/mmcblk0p3' })).slot, 'b');
    assert.equal((await lineage({ mounts, commandLine: 'root=PARTUUID=AAAA-02' })).slot, 'a');
  });

  test('a label names nobody', async () => {
    const mounts = [rootMount('0:21', 'overlay')];
    await assert.rejects(lineage({ mounts, commandLine: 'root=PARTLABEL=system_a' }), {
      code: 'BOOT_EVIDENCE_MISSING',
    });
  });

  test('a uuid that two disks carry names nobody', async () => {
    const devices = [...emmc, ...aDisk('sda', 8, 'aaaa')];
    const mounts = [rootMount('0:21', 'overlay')];
    await assert.rejects(lineage({ devices, mounts, commandLine: 'root=PARTUUID=aaaa-02' }), {
      code: 'BOOT_EVIDENCE_MISSING',
    });
  });

  test('where the root device is no slot, the command line alone counts', async () => {
    const found = await lineage({ mounts: [rootMount('179:1', 'ext4')] });
    assert.equal(found.slot, 'a');
    assert.deepEqual(spoken(found.witnesses), ['a', null]);
  });

  test('a contradiction names both witnesses', async () => {
    await assert.rejects(lineage({ mounts: [rootMount('179:3')] }), {
      code: 'BOOT_EVIDENCE_CONFLICT',
      message: /kernelCommandLine: slot a by otad\.slot=a, rootDevice: slot b by \/dev\/mmcblk0p3/,
    });
  });

  test('silence of all says what was looked at', async () => {
    await assert.rejects(lineage({ mounts: [rootMount('0:21', 'tmpfs')], commandLine: 'quiet' }), {
      code: 'BOOT_EVIDENCE_MISSING',
      message: /kernelCommandLine: no otad\.slot=, rootDevice: no block device stands behind \/ \(tmpfs\)/,
    });
  });

  test('the partition that the firmware started from must agree', async () => {
    const { views, commandLinePath } = await boot({});
    const folder = await mkdtemp(join(tmpdir(), 'otad-tree-'));
    closers.push(() => rm(folder, { recursive: true }));
    const read = async (partition: number) => {
      await writeFile(join(folder, 'partition'), Buffer.from([0, 0, 0, partition]));
      const deviceTree = { path: folder, partitions: { a: 2, b: 3 } };
      const identifySlot = async (slot: SlotName) => onDisk(179)[slot];
      return readLineage({ commandLinePath, slotPaths: labels, views, identifySlot, deviceTree });
    };
    assert.deepEqual(spoken((await read(2)).witnesses), ['a', 'a', 'a']);
    await assert.rejects(read(3), { code: 'BOOT_EVIDENCE_CONFLICT', message: /deviceTree: slot b by partition 3/ });
  });

  test('a missing command line is missing evidence, not a crash', async () => {
    const { views } = await boot({});
    await assert.rejects(readLineage({ commandLinePath: '/nonexistent', slotPaths: labels, views }), {
      code: 'BOOT_EVIDENCE_MISSING',
    });
  });

  test('a slot that is a file is known by the loop device that stands on it', async () => {
    const file = join(await mkdtemp(join(tmpdir(), 'otad-file-')), 'slot-b.img');
    closers.push(() => rm(join(file, '..'), { recursive: true }));
    await writeFile(file, 'image');
    const loop: FakeDevice = { name: 'loop0', number: '7:0', backingFile: file };
    const { views, commandLinePath } = await boot({ devices: [loop], mounts: [rootMount('7:0')], commandLine: '' });
    const found = await readLineage({ commandLinePath, slotPaths: { a: '/nonexistent', b: file }, views });
    assert.equal(found.slot, 'b');
  });
});

describe('two disks with the same labels', () => {
  const devices = [...emmc, ...oldCard];
  const refuse = async (
    over: Partial<FakeMachine>,
    paths: Readonly<Record<SlotName, string>>,
    identities = onDisk(179),
  ): Promise<void> => {
    const { views } = await boot({ devices, ...over });
    const { stack: rootStack } = await readRootDevice(null, views);
    await refuseDoubles({ paths, identities, booted: 'a', rootStack }, views);
  };
  const both = { code: 'SLOT_AMBIGUOUS', message: /one: \/dev\/mmcblk0p2, other: \/dev\/mmcblk1p2, label: system_a.*/ };

  test('are refused by both names, with the way out, even where the root device could tell', async () => {
    await assert.rejects(refuse({}, labels), both);
    await assert.rejects(refuse({}, labels), { message: /by-path/ });
    await assert.rejects(refuse({ mounts: [rootMount('0:21', 'overlay')] }, labels), both);
  });

  test('say which slot runs all the same', async () => {
    assert.equal((await lineage({ devices })).slot, 'a');
  });

  test('are no matter where the settings name the slots by path or serial number', async () => {
    for (const folder of ['by-path', 'by-id']) {
      await refuse({}, { a: `/dev/disk/${folder}/x-part2`, b: `/dev/disk/${folder}/x-part3` });
    }
  });

  test('have different uuids unless one is a copy of the other', async () => {
    const paths = { a: '/dev/disk/by-partuuid/aaaa-02', b: '/dev/disk/by-partuuid/aaaa-03' };
    await refuse({}, paths);
    await assert.rejects(refuse({ devices: [...emmc, ...aDisk('sda', 8, 'aaaa')] }, paths), {
      code: 'SLOT_AMBIGUOUS',
      message: /\/dev\/mmcblk0p2, other: \/dev\/sda2/,
    });
  });

  test('are refused when the settings lead to the one and the system runs from the other', async () => {
    const paths = { a: '/dev/mmcblk1p2', b: '/dev/mmcblk1p3' };
    await assert.rejects(refuse({}, paths, onDisk(180)), {
      code: 'SLOT_AMBIGUOUS',
      message: /one: \/dev\/mmcblk1p2, other: \/dev\/mmcblk0p2.*the system runs from the other/,
    });
  });

  test('are recognised without labels by the place of the partition', async () => {
    const bare = devices.map(({ label: _, uuid: __, ...device }) => device);
    const paths = { a: '/dev/mmcblk1p2', b: '/dev/mmcblk1p3' };
    await assert.rejects(refuse({ devices: bare }, paths, onDisk(180)), { code: 'SLOT_AMBIGUOUS' });
  });

  test('are refused when each slot leads to another one', async () => {
    const mixed = { a: onDisk(179).a, b: onDisk(180).b };
    const renamed = oldCard.map((device) => ({ ...device, label: `other_${device.label}` }));
    const paths = { a: '/dev/mmcblk0p2', b: '/dev/mmcblk1p3' };
    await assert.rejects(refuse({ devices: [...emmc, ...renamed] }, paths, mixed), {
      code: 'SLOT_AMBIGUOUS',
      message: /on another disk than the running system/,
    });
  });

  test('one disk has no doubles', async () => {
    await refuse({ devices: emmc }, labels);
  });
});

test('the root device of this machine is read from its own /proc and /sys', async () => {
  const { says, stack } = await readRootDevice(null, kernelViews);
  assert.ok(says.length > 0);
  const mounts = await readFile('/proc/self/mountinfo', 'utf8');
  const number = / (\d+:\d+) \/\S* \/ /.exec(mounts)?.[1] ?? '';
  const known = await readStack(number, kernelViews);
  if (known.length > 0) assert.equal(stack[0]?.number, number);
});
