// When the initramfs reads a whole slot before it starts it, and what it does with what it finds: its own functions, run by its
// shell, on slots with real records and trees. dm-verity itself is veritysetup's `verify` here.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, open, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { sealImage, writeFactorySlot } from '../../image/factory-slot.ts';
import { aFolder } from '../publish/publisher-fixture.ts';

const run = promisify(execFile);
const folder = fileURLToPath(new URL('../../../image/initramfs', import.meta.url));
const blockBytes = 4096;
const imageBytes = 4 * blockBytes;
const slotBytes = 64 * blockBytes;
const sectorBytes = 512;

/** What the words print, with the script's functions. */
const call = async (at: string, words: string): Promise<string> => {
  const options = { env: { PATH: `${process.env.PATH}:/usr/sbin:/sbin:/usr/bin:/bin`, TMPDIR: at }, timeout: 20_000 };
  const text = `. "$0/find-slot"; . "$0/doubt-slot"; at=$1\n${words}\ntrue`;
  return (await run('busybox', ['sh', '-c', text, folder, at], options)).stdout.trim();
};

/** A start as init does it: in doubt or not; then it comes up, or not. */
const start = (at: string, slot: string, comesUp: boolean): Promise<string> =>
  call(at, `in_doubt "$at/starting" ${slot} && echo doubt; ${comesUp ? 'rm -f "$at/starting"' : ''}`);

test('a start is in doubt when the one before it, of the same slot, did not come up', async (t) => {
  const at = await aFolder(t);
  assert.equal(await start(at, 'a', true), '', 'the first of all');
  assert.equal(await start(at, 'a', false), '', 'after one that came up');
  assert.equal(await start(at, 'a', false), 'doubt', 'after one that did not');
  assert.equal(await start(at, 'a', false), 'doubt', 'and again: nothing is counted');
  assert.equal(await start(at, 'b', false), '', 'the other slot');
  assert.equal(await start(at, 'b', false), 'doubt', 'which has its own mark now');
  assert.equal(await start(at, 'a', true), '', 'of this one nothing is left');
  assert.equal(await start(at, 'a', true), '');
});

test('a cut in the middle of the mark says nothing of the slot', async (t) => {
  const at = await aFolder(t);
  await writeFile(join(at, 'starting'), '');
  assert.equal(await start(at, 'a', false), '');
  assert.equal(await readFile(join(at, 'starting'), 'utf8'), 'a\n');
});

test('where no mark can be kept each start is in doubt, and goes on', async (t) => {
  const at = await aFolder(t);
  await symlink('/dev/full', join(at, 'starting'));
  assert.equal(await start(at, 'a', false), 'doubt', 'no room');
  await rm(join(at, 'starting'));
  await mkdir(join(at, 'starting'));
  assert.equal(await start(at, 'a', false), 'doubt', 'no file');
});

test('a read error is told from a reading that took too long, which says nothing of the slot', async (t) => {
  const at = await aFolder(t);
  await writeFile(join(at, 'whole'), Buffer.alloc(imageBytes));
  await run('mkfifo', [join(at, 'slow')]);
  // Nothing is mapped at address 0: the kernel answers with EIO.
  const words = (device: string): string => `read_whole ${device} 1; echo $?`;
  assert.equal(await call(at, words('"$at/whole"')), '0');
  assert.equal(await call(at, words('/proc/self/mem')), '1');
  assert.notEqual(await call(at, `exec 4<> "$at/slow"; ${words('"$at/slow"')}`), '1');
});

test('the reading is given a minute and a second for each 2 MiB', async (t) => {
  const at = await aFolder(t);
  assert.equal(await call(at, 'read_seconds 0; read_seconds $((192 * 2048))'), '60\n156');
});

/** Two slots that the factory could have written. */
const aBoard = async (t: TestContext): Promise<string> => {
  const at = await aFolder(t);
  const image = join(at, 'image');
  const bytes = Buffer.alloc(imageBytes, 'gateway');
  // As squashfs says its length.
  bytes.writeBigUInt64LE(BigInt(imageBytes), 40);
  await writeFile(image, bytes);
  const sealed = await sealImage(image, '07'.repeat(32));
  await mkdir(join(at, 'dev/mapper'), { recursive: true });
  for (const [number, label] of [
    [2, 'system_a'],
    [3, 'system_b'],
  ] as const) {
    const diskPath = join(at, `dev/vda${number}`);
    await writeFile(diskPath, Buffer.alloc(slotBytes));
    const place = { diskPath, offsetBytes: 0, sizeBytes: slotBytes };
    await writeFactorySlot(place, image, sealed, { releaseId: 'gw-1', compatible: 'gw', version: '1', sequence: 1 });
    const entry = join(at, 'devices/vda', `vda${number}`);
    await mkdir(entry, { recursive: true });
    await mkdir(join(at, 'sys/class/block'), { recursive: true });
    await writeFile(join(entry, 'uevent'), `PARTNAME=${label}\n`);
    await writeFile(join(entry, 'size'), `${slotBytes / sectorBytes}\n`);
    await symlink(entry, join(at, 'sys/class/block', `vda${number}`));
  }
  return at;
};

const rot = async (at: string, name: string, offsetBytes: number): Promise<void> => {
  const handle = await open(join(at, 'dev', name), 'r+');
  await handle.write('X', offsetBytes);
  await handle.close();
};

/** Opens nothing, and maps what verifies. */
const veritysetup = `veritysetup() {
  case $1 in
    open) command veritysetup verify "$2" "$4" "$5" "$6" > /dev/null 2>&1 && ln -s "$2" "$at/dev/mapper/$3" ;;
    close) rm "$at/dev/mapper/$2" ;;
  esac
}`;

test('the other slot counts as whole by its own record, and when every byte of it is what it should be', async (t) => {
  const at = await aBoard(t);
  const ask = (): Promise<string> => call(at, `${veritysetup}; is_whole vda3 10 && echo whole`);
  assert.equal(await ask(), 'whole');
  await rot(at, 'vda3', 3 * blockBytes);
  assert.equal(await ask(), '', 'a rotten block');
  await rot(at, 'vda3', slotBytes - 2 * blockBytes + 100);
  assert.equal(await ask(), '', 'no record');
});

interface Found {
  /** The slot that was opened. */
  readonly device: string;
  readonly otherStarts?: boolean;
  readonly bootloaderListens?: boolean;
}

/** What the initramfs does with a slot in doubt, word by word. */
const settle = (at: string, { device, otherStarts = true, bootloaderListens = true }: Found): Promise<string> =>
  call(
    at,
    `${veritysetup}
slot=a disk=vda
feed_for() { echo "feed $1"; }; say() { echo "said: $*"; }; refuse() { echo "refused: $*"; }; start_again() { echo again; }
other_starts() { ${otherStarts}; }; leave_slot() { echo left; ${bootloaderListens}; }
settle_doubt vda2 ${device}`,
  );

const problem = 'a part of /dev/vda2 cannot be read, or is not what its root says';
const rotten = '/proc/self/mem';
const reads = 'feed 180\nsaid: slot a may not have come up the last time: it is read to the end first';
const stays = `${reads}\nsaid: ${problem}; no slot is better, so it is started all the same`;

test('a slot in doubt that can be read is started', async (t) => {
  const at = await aBoard(t);
  assert.equal(await settle(at, { device: '"$at/dev/vda2"' }), reads);
});

test('a slot that cannot be read is left for one that is whole', async (t) => {
  const at = await aBoard(t);
  assert.equal(await settle(at, { device: rotten }), `${reads}\nleft\nrefused: ${problem}\nagain`);
});

test('a slot that cannot be read is started all the same where nothing is better', async (t) => {
  const at = await aBoard(t);
  assert.equal(
    await settle(at, { device: rotten, otherStarts: false }),
    stays,
    'the bootloader would not start the other',
  );
  const deaf = stays.replace(reads, `${reads}\nleft`);
  assert.equal(await settle(at, { device: rotten, bootloaderListens: false }), deaf, 'the bootloader cannot be told');
  await rot(at, 'vda3', blockBytes);
  assert.equal(await settle(at, { device: rotten }), stays, 'the other one is rotten as well');
});
