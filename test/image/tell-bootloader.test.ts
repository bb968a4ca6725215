// What the initramfs asks a bootloader and tells it, on the disk that was booted: its own functions, run by its shell. A partition
// is a folder here, and a mount is a link to it.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { padAutoboot, parseAutoboot } from '../../bootctl/tryboot/autoboot-txt.ts';
import { withSlotArguments } from '../../bootctl/tryboot/command-line-file.ts';
import { contractVerity } from '../contract/boot-control.ts';
import { aFolder } from '../publish/publisher-fixture.ts';

const run = promisify(execFile);
const folder = fileURLToPath(new URL('../../../image/initramfs', import.meta.url));

const mounts = `mount() { rmdir "$at/boot/env" && ln -s "$5" "$at/boot/env"; }
umount() { rm "$1"; mkdir "$1"; }`;

/** What the words print on a board whose slot b was started. */
const call = async (at: string, words: string): Promise<string> => {
  const options = { env: { PATH: `${process.env.PATH}:/usr/sbin:/sbin:/usr/bin:/bin`, TMPDIR: at } };
  const sourced = 'for name in find-slot leave-slot tell-bootloader; do . "$0/$name"; done';
  const text = `${sourced}; at=$1; slot=b disk=vda trial=\n${mounts}\n${words}\ntrue`;
  return (await run('busybox', ['sh', '-c', text, folder, at], options)).stdout.trim();
};

/** A disk with these partitions, each a folder with these files. */
const aDisk = async (
  t: TestContext,
  partitions: Readonly<Record<string, Readonly<Record<string, string | Uint8Array>>>>,
): Promise<string> => {
  const at = await aFolder(t);
  await mkdir(join(at, 'sys/class/block'), { recursive: true });
  for (const [index, [label, files]] of Object.entries(partitions).entries()) {
    const name = `vda${index + 1}`;
    const entry = join(at, 'devices/vda', name);
    await mkdir(entry, { recursive: true });
    await writeFile(join(entry, 'uevent'), `PARTNAME=${label}\n`);
    await writeFile(join(entry, 'partition'), `${index + 1}\n`);
    await symlink(entry, join(at, 'sys/class/block', name));
    await mkdir(join(at, 'dev', name), { recursive: true });
    for (const [file, content] of Object.entries(files)) await writeFile(join(at, 'dev', name, file), content);
  }
  return at;
};

const autoboot = padAutoboot('[all]\ntryboot_a_b=1\nboot_partition=3\n[tryboot]\nboot_partition=2');
const bootFiles = (isWhole: boolean): Readonly<Record<string, string>> => ({
  'cmdline.txt': withSlotArguments('panic=10\n', 'a', isWhole ? contractVerity('a') : null),
  'config.txt': 'kernel=Image\n',
  Image: 'kernel',
});
const aPi = (t: TestContext, isWhole: boolean): Promise<string> =>
  aDisk(t, { bootconfig: { 'autoboot.txt': autoboot }, boot_a: bootFiles(isWhole), boot_b: {} });

const defaultOf = async (at: string): Promise<number | null | undefined> =>
  parseAutoboot(await readFile(join(at, 'dev/vda1/autoboot.txt')))?.default;

test('tryboot: the other slot becomes the default when it is whole', async (t) => {
  const at = await aPi(t, true);
  assert.equal(await call(at, 'bootloader; other_starts && echo yes; leave_slot && echo told'), 'tryboot\nyes\ntold');
  assert.equal(await defaultOf(at), 2);
});

test('tryboot: a slot that cannot be opened stays the default beside one that is being written', async (t) => {
  const at = await aPi(t, false);
  assert.equal(await call(at, 'other_starts && echo yes; leave_slot && echo told'), '');
  assert.equal(await defaultOf(at), 3);
});

test('tryboot: of a slot on trial the firmware knows already', async (t) => {
  const at = await aPi(t, true);
  const flag = join(at, 'proc/device-tree/chosen/bootloader');
  await mkdir(flag, { recursive: true });
  await writeFile(join(flag, 'tryboot'), Buffer.from([0, 0, 0, 1]));
  assert.equal(await call(at, 'leave_slot && echo told'), 'told');
  assert.equal(await defaultOf(at), 3);
});

test('a disk of no bootloader that is known, or without the partition of the other slot, tells nobody', async (t) => {
  assert.equal(await call(await aDisk(t, {}), 'bootloader; other_starts && echo yes; leave_slot && echo told'), '');
  const at = await aDisk(t, { bootconfig: { 'autoboot.txt': autoboot } });
  assert.equal(await call(at, 'other_starts && echo yes; leave_slot && echo told'), '');
  assert.equal(await defaultOf(at), 3);
});
