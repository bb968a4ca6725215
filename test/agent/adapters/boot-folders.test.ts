import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { refuseOtherFolders } from '../../../agent/adapters/boot-folders.ts';
import { aDisk, createKernelTree } from '../../support/kernel-tree.ts';

const folders = { a: '/boot/a', b: '/boot/b' };
const partitions = { a: 2, b: 3 };

const viewsOf = async (context: TestContext, mounted: Readonly<Record<string, string>>) => {
  const tree = await createKernelTree({
    devices: aDisk('mmcblk0', 179, 'aaaa', 'p'),
    mounts: Object.entries(mounted).map(([folder, number]) => `30 1 ${number} / ${folder} rw - vfat /dev/x rw`),
    commandLine: '',
  });
  context.after(() => tree.close());
  return tree.views;
};

test('boot folders on the partitions of their slots pass, and so do folders where nothing is mounted', async (context) => {
  await refuseOtherFolders(folders, partitions, await viewsOf(context, { '/boot/a': '179:2', '/boot/b': '179:3' }));
  await refuseOtherFolders(folders, partitions, await viewsOf(context, {}));
});

test('boot folders that are exchanged in fstab are refused by name', async (context) => {
  const views = await viewsOf(context, { '/boot/a': '179:3', '/boot/b': '179:2' });
  await assert.rejects(refuseOtherFolders(folders, partitions, views), {
    code: 'BOOT_EVIDENCE_CONFLICT',
    message: /bootFolders\.a: \/boot\/a is partition 3 \(.*mmcblk0p3.*partitions\.a: 2/,
  });
});

test('of two mounts at one folder the later one counts, which is the one that is seen', async (context) => {
  const tree = await createKernelTree({
    devices: aDisk('mmcblk0', 179, 'aaaa', 'p'),
    mounts: ['179:2', '179:1'].map((number) => `30 1 ${number} / /boot/a rw - vfat /dev/x rw`),
    commandLine: '',
  });
  context.after(() => tree.close());
  await assert.rejects(refuseOtherFolders(folders, partitions, tree.views), { code: 'BOOT_EVIDENCE_CONFLICT' });
});
