import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import { loadConfig } from '../../agent/config/config.ts';
import { type Board, boards } from '../../image/boards.ts';
import {
  type BootSet,
  environmentBytes,
  environmentNames,
  kernelName,
  makeBootFolders,
  makeBootSetFolder,
} from '../../image/boot-files.ts';
import { partitionUuid } from '../../image/partitions.ts';
import { aFolder } from '../publish/publisher-fixture.ts';

const run = promisify(execFile);
const rootHex = 'ab'.repeat(32);
const saltHex = '00'.repeat(32);
const verity = { algorithm: 'sha256', blockSizeBytes: 4096, saltHex, rootHex, hashOffsetBytes: 8192 } as const;
const image = { lengthBytes: 8192, sha256Hex: 'cd'.repeat(32), verity, tree: new Uint8Array(4096), index: null };
const trees = ['bcm2711-rpi-4-b.dtb', 'bcm2712-rpi-5-b.dtb'];

/** What Debian's packages would bring, in name. */
const aBootSet = async (folder: string): Promise<BootSet> => {
  const firmware = join(folder, 'usr/lib/raspi-firmware');
  const broadcom = join(folder, 'usr/lib/linux-image-6.12/broadcom');
  const efi = join(folder, 'usr/lib/systemd/boot/efi');
  for (const path of [firmware, broadcom, efi]) await mkdir(path, { recursive: true });
  for (const name of ['start4.elf', 'fixup4.dat', 'start.elf']) await writeFile(join(firmware, name), name);
  for (const name of [...trees, 'bcm2837-rpi-3-b.dtb']) await writeFile(join(broadcom, name), name);
  await writeFile(join(efi, 'systemd-bootx64.efi'), 'loader');
  for (const name of ['kernel', 'u-boot.bin']) await writeFile(join(folder, name), name);
  return {
    ...{ kernelPath: join(folder, 'kernel'), initramfs: Buffer.from('initrd'), image, bootRoot: folder },
    ...{ firmwareFolder: null, ubootPath: join(folder, 'u-boot.bin') },
  };
};

const boardNamed = (name: string): Board => boards.find((board) => board.name === name) ?? assert.fail(name);

const fill = async (t: TestContext, name: string) => {
  const folder = await aFolder(t);
  const labels = await makeBootFolders(folder, boardNamed(name), await aBootSet(join(folder, 'packages')));
  return { folder, labels, read: (path: string) => readFile(join(folder, path), 'latin1') };
};

test('a Raspberry Pi with tryboot starts slot a by default and can try slot b once', async (t) => {
  const { folder, labels, read } = await fill(t, 'raspberry-pi-tryboot');
  assert.deepEqual(labels, ['bootconfig', 'boot_a', 'boot_b']);
  const autoboot = await read('bootconfig/autoboot.txt');
  assert.equal(autoboot.length, 512);
  assert.equal(autoboot.trimEnd(), '[all]\ntryboot_a_b=1\nboot_partition=2\n[tryboot]\nboot_partition=3');
  for (const label of ['boot_a', 'boot_b']) {
    const names = ['Image', ...trees, 'cmdline.txt', 'config.txt', 'fixup4.dat', 'initrd', 'start4.elf'];
    assert.deepEqual((await readdir(join(folder, label))).sort(), names.sort());
    assert.match(await read(`${label}/config.txt`), /^kernel=Image\ninitramfs initrd followkernel\n/m);
  }
});

test('the command line of a Pi has one line, comes back from a panic, and names the root of the factory slot alone', async (t) => {
  const { read } = await fill(t, 'raspberry-pi-tryboot');
  const board = boardNamed('raspberry-pi-tryboot');
  const [one, two] = [await read('boot_a/cmdline.txt'), await read('boot_b/cmdline.txt')];
  for (const text of [one, two]) assert.match(text, /^[^\n]* panic=10 [^\n]*\n$/);
  assert.ok(
    one.endsWith(
      ` otad.disk=${partitionUuid(board, 'boot_a')} otad.slot=a otad.root=${rootHex} otad.hashoffset=8192\n`,
    ),
  );
  assert.ok(two.endsWith(` otad.disk=${partitionUuid(board, 'boot_b')} otad.slot=b\n`));
});

test('a Raspberry Pi with U-Boot has it beside the firmware, and kernels in the partitions of the slots', async (t) => {
  const { folder, labels, read } = await fill(t, 'raspberry-pi-uboot');
  assert.deepEqual(labels, ['firmware', 'uboot-files', 'boot_a', 'boot_b']);
  assert.match(await read('firmware/config.txt'), /^kernel=u-boot\.bin$/m);
  assert.deepEqual((await readdir(join(folder, 'boot_b'))).sort(), ['Image', 'initrd']);
});

test('fw_printenv reads the environment of a new board: slot a confirmed, slot b out of the order and without a root', async (t) => {
  const { folder } = await fill(t, 'qemu-amd64-uboot');
  const config = join(folder, 'fw_env.config');
  const hex = environmentBytes.toString(16);
  const own = await readFile(join(folder, 'uboot-files/fw_env.config'), 'utf8');
  assert.equal(own, environmentNames.map((name) => `/boot/env/${name} 0x0 0x${hex}\n`).join(''));
  await writeFile(config, own.replaceAll('/boot/env', join(folder, 'uboot-files')));
  const { stdout } = await run('fw_printenv', ['-c', config]);
  assert.deepEqual(stdout.trim().split('\n').sort(), [
    'BOOT_A_LEFT=3',
    'BOOT_B_LEFT=0',
    'BOOT_ORDER=A',
    'otad_a_hashoffset=8192',
    `otad_a_root=${rootHex}`,
    'otad_seq=2',
  ]);
});

test('a board that has U-Boot on its disk is refused without one, and a Pi without its firmware', async (t) => {
  const folder = await aFolder(t);
  const set = await aBootSet(join(folder, 'packages'));
  const pi = boardNamed('raspberry-pi-uboot');
  await assert.rejects(makeBootFolders(join(folder, 'one'), pi, { ...set, ubootPath: null }), {
    code: 'IMAGE_UNUSABLE',
  });
  const other = { ...set, firmwareFolder: join(folder, 'packages/usr/lib/systemd') };
  await assert.rejects(makeBootFolders(join(folder, 'two'), pi, other), { code: 'IMAGE_UNUSABLE' });
});

const slotPlaces: Readonly<Record<Board['start']['kind'], (slot: string) => string>> = {
  'systemd-boot': (slot) => `esp/otad/${slot}`,
  'u-boot': (slot) => `boot_${slot}`,
  'pi-u-boot': (slot) => `boot_${slot}`,
  tryboot: (slot) => `boot_${slot}`,
};

for (const board of boards) {
  test(`${board.name}: what is published with the root is what the factory puts into the boot places, under the same names`, async (t) => {
    const folder = await aFolder(t);
    const set = await aBootSet(join(folder, 'packages'));
    await makeBootFolders(join(folder, 'disk'), board, set);
    await makeBootSetFolder(join(folder, 'boot'), board.root, set);
    const names = (await readdir(join(folder, 'boot'))).sort();
    assert.deepEqual(
      names,
      [kernelName(board.root), ...(board.root.architecture === 'arm64' ? trees : []), 'initrd'].sort(),
    );
    // U-Boot on a Pi hands on the device tree that it was started with.
    const placed = board.start.kind === 'pi-u-boot' ? names.filter((name) => !trees.includes(name)) : names;
    for (const slot of ['a', 'b']) {
      for (const name of placed) {
        const inPlace = await readFile(join(folder, 'disk', slotPlaces[board.start.kind](slot), name));
        assert.deepEqual(inPlace, await readFile(join(folder, 'boot', name)), name);
      }
    }
  });
}

test('the settings of the image name the folders that the boot places are mounted at', async () => {
  const { config } = await loadConfig(['image/layers/base/files/usr/lib/otad/config.d']);
  const { systemdBoot, uboot, tryboot } = config.bootloader;
  assert.deepEqual(systemdBoot.bootFolders, { a: '/efi/otad/a', b: '/efi/otad/b' });
  assert.deepEqual(uboot.bootFolders, { a: '/boot/a', b: '/boot/b' });
  assert.deepEqual(tryboot.bootFolders, uboot.bootFolders);
});
