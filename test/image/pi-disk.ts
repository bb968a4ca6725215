// What must hold for a disk image of a Raspberry Pi, looked at with the programs that a technician would take.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { Board } from '../../image/boards.ts';
import { planDisk } from '../../image/partitions.ts';

const run = promisify(execFile);

const sgdisk = async (...words: readonly string[]): Promise<string> => (await run('sgdisk', words)).stdout;

interface Partition {
  names(): Promise<readonly string[]>;
  head(name: string, lengthBytes: number): Promise<Buffer>;
}

const openFat = (disk: string, offsetBytes: number): Partition => {
  const image = ['-i', `${disk}@@${offsetBytes}`];
  const env = { ...process.env, MTOOLS_SKIP_CHECK: '1' };
  return {
    names: async () =>
      (await run('mdir', [...image, '-b', '::'], { env })).stdout.split('\n').map((line) => line.slice(3)),
    head: async (name, lengthBytes) => {
      const options = { env, encoding: 'buffer', maxBuffer: 128 * 1024 * 1024 } as const;
      return (await run('mcopy', [...image, `::${name}`, '-'], options)).stdout.subarray(0, lengthBytes);
    },
  };
};

const kernelMagicOffset = 0x38;
const zstdMagic = '28b52ffd';
const treeMagic = 'd00dfeed';

const checkKernel = async (partition: Partition): Promise<void> => {
  const kernel = await partition.head('Image', kernelMagicOffset + 4);
  assert.equal(kernel.toString('latin1', kernelMagicOffset), 'ARM\x64', 'a kernel for arm64 that is not packed');
  assert.equal((await partition.head('initrd', 4)).toString('hex'), zstdMagic);
};

/** The firmware's files, and device trees of a Pi 4 and its module. */
const checkFirmware = async (partition: Partition): Promise<void> => {
  const names = await partition.names();
  for (const name of ['start4.elf', 'fixup4.dat', 'config.txt']) assert.ok(names.includes(name), name);
  const trees = names.filter((name) => name.endsWith('.dtb'));
  for (const name of ['bcm2711-rpi-4-b.dtb', 'bcm2711-rpi-cm4-io.dtb'])
    assert.ok(trees.includes(name), trees.join(' '));
  for (const name of trees) assert.equal((await partition.head(name, 4)).toString('hex'), treeMagic, name);
};

export const checkPiDisk = async (disk: string, board: Board): Promise<void> => {
  assert.match(await sgdisk('-v', disk), /No problems found/);
  const { partitions } = planDisk(board);
  const fat = (label: string): Partition =>
    openFat(disk, partitions.find((known) => known.label === label)?.offsetBytes ?? assert.fail(label));
  for (const { number, label } of partitions) {
    assert.match(await sgdisk('-i', String(number), disk), new RegExp(`^Partition name: '${label}'$`, 'm'));
  }
  for (const label of ['boot_a', 'boot_b']) await checkKernel(fat(label));
  if (board.start.kind === 'tryboot') {
    assert.deepEqual((await fat('bootconfig').names()).filter(Boolean), ['autoboot.txt']);
    for (const label of ['boot_a', 'boot_b']) await checkFirmware(fat(label));
    const line = String(await fat('boot_a').head('cmdline.txt', 4096));
    assert.match(line, /otad\.slot=a otad\.root=[0-9a-f]{64}|otad\.root=[0-9a-f]{64}.* otad\.slot=a/);
  } else {
    await checkFirmware(fat('firmware'));
    assert.ok((await fat('firmware').names()).includes('u-boot.bin'));
    const names = await fat('uboot-files').names();
    for (const name of ['uboot.env', 'uboot-redund.env', 'fw_env.config']) assert.ok(names.includes(name), name);
  }
};
