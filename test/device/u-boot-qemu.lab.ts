// The boot script as compiled into U-Boot for a board, in QEMU's arm64 machine: a disk with a partition table, two copies
// of the environment as files and a boot partition for each slot. A small payload stands for the kernel.

import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { type SlotName, slotNames } from '../../agent/core/types.ts';
import { chooseByFlag, decodeCopy, encodeCopy, sequenceName, type Variables } from '../../bootctl/uboot/environment.ts';
import { restartsLine } from './lab/tally.ts';
import { startAgain } from './qemu.ts';
import { rootOf } from './u-boot-boards.ts';
import { buildUboot } from './u-boot-build.ts';

const run = promisify(execFile);
const build = await buildUboot('qemu-arm64');
const payloadSource = fileURLToPath(new URL('../../../test/device/u-boot-payload.S', import.meta.url));

const mebibyte = 1024 * 1024;
const cardBytes = 64 * mebibyte;
const copyNames = ['uboot.env', 'uboot-redund.env'] as const;
const envBytes = 0x4000;
/** In MiB from the start of the disk. */
const environmentStart = 1;
const partitionStart = { a: 12, b: 32 } as const;
/** An emulated power-on takes seconds; this is for a machine that is very busy. */
const powerOnMsMax = 180_000;
let restarts = 0;

const trialOfB: Variables = new Map([
  ...build.compiledIn,
  ['BOOT_ORDER', 'B A'],
  ['otad_trial', 'B'],
  ['otad_a_root', rootOf.a],
  ['otad_b_root', rootOf.b],
  ['otad_b_hashoffset', '8192'],
  [sequenceName, '7'],
]);

let folder = '';
const inFolder = (name: string): string => join(folder, name);

const makePayload = async (): Promise<void> => {
  const object = inFolder('payload.o');
  await run('aarch64-linux-gnu-gcc', ['-c', '-o', object, payloadSource]);
  await run('aarch64-linux-gnu-objcopy', ['-O', 'binary', '-j', '.text', object, inFolder('Image')]);
  await writeFile(inFolder('initrd'), 'no file system, and nobody opens it\n');
  // A kernel of which one byte of the magic number is wrong.
  const image = await readFile(inFolder('Image'));
  image[56] = 0;
  await writeFile(inFolder('Broken'), image);
  const source =
    '/dts-v1/; / { #address-cells = <2>; #size-cells = <2>; memory@40000000 { device_type = "memory"; reg = <0 0x40000000 0 0x10000000>; }; chosen { }; };';
  await writeFile(inFolder('board.dts'), source);
  await run(join(build.folder, 'dtc'), [
    '-q',
    '-I',
    'dts',
    '-O',
    'dtb',
    '-o',
    inFolder('board.dtb'),
    inFolder('board.dts'),
  ]);
};

/** A card whose slots in `sound` have a kernel that starts; null leaves the copies of the environment empty. */
const makeCard = async (variables: Variables | null, sound: readonly SlotName[]): Promise<string> => {
  const card = inFolder('card.img');
  await rm(card, { force: true });
  await (await open(card, 'w')).close();
  const handle = await open(card, 'r+');
  try {
    await handle.truncate(cardBytes);
  } finally {
    await handle.close();
  }
  const partitions = slotNames.flatMap((slot, index) => [
    '-n',
    `${index + 2}:${partitionStart[slot]}M:+16M`,
    '-c',
    `${index + 2}:boot_${slot}`,
  ]);
  await run('/usr/sbin/sgdisk', ['-n', `1:${environmentStart}M:+8M`, '-c', '1:environment', ...partitions, card]);
  const store = `${card}@@${environmentStart}M`;
  await run('mformat', ['-i', store, '-T', '16384', '::']);
  for (const [index, name] of copyNames.entries()) {
    if (variables === null) continue;
    await writeFile(inFolder(name), encodeCopy(variables, envBytes, index));
    await run('mcopy', ['-i', store, inFolder(name), `::${name}`]);
  }
  for (const slot of slotNames) {
    const place = `${card}@@${partitionStart[slot]}M`;
    await run('mformat', ['-i', place, '-T', '32768', '::']);
    for (const name of ['board.dtb', 'initrd']) await run('mcopy', ['-i', place, inFolder(name), `::${name}`]);
    await run('mcopy', ['-i', place, inFolder(sound.includes(slot) ? 'Image' : 'Broken'), '::Image']);
  }
  return card;
};

/** `hasDied`: the emulator ended by itself and not well, so its console says nothing of U-Boot. */
const runOnce = (
  card: string,
): Promise<{ readonly isOff: boolean; readonly hasDied: boolean; readonly text: string }> =>
  new Promise((done, fail) => {
    const args = [
      ...['-machine', 'virt', '-cpu', 'cortex-a53', '-m', '256', '-nodefaults', '-display', 'none', '-no-user-config'],
      ...['-bios', join(build.folder, 'u-boot-redundant.bin'), '-serial', 'stdio', '-no-reboot'],
      ...['-drive', `if=none,id=disk,format=raw,file=${card}`, '-device', 'virtio-blk-device,drive=disk'],
    ];
    const child = spawn('qemu-system-aarch64', args, { stdio: ['ignore', 'pipe', 'pipe'], timeout: powerOnMsMax });
    let text = '';
    const keep = (bytes: Buffer): void => {
      text += bytes.toString('latin1');
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    child.on('error', fail);
    // Killed: it was given its time.
    child.on('close', (code) => done({ isOff: code === 0, hasDied: code !== 0 && !child.killed, text }));
  });

/** What the console says until the machine is off. An emulator that dies starts again from the same card. */
const powerOn = async (card: string): Promise<string> => {
  const before = await readFile(card);
  const start = async () => {
    await writeFile(card, before);
    return runOnce(card);
  };
  const { run: last, restarts: again } = await startAgain(start, ({ hasDied }) => hasDied);
  restarts += again;
  if (last.isOff) return last.text.replaceAll('\r', '');
  const what = last.hasDied ? `died ${again + 1} times` : `was not done in ${powerOnMsMax} ms`;
  throw new Error(`QEMU ${what}:\n${last.text.slice(-4000)}`);
};

/** Both copies as they are on the disk; null: absent or not valid. */
const readCopies = async (card: string) => {
  const copies = [];
  for (const name of copyNames) {
    const path = inFolder(`read-${name}`);
    await rm(path, { force: true });
    await run('mcopy', ['-i', `${card}@@${environmentStart}M`, `::${name}`, path]).catch(() => {});
    copies.push(decodeCopy(await readFile(path).catch(() => Buffer.alloc(0)), true));
  }
  return copies;
};

const readEnvironment = async (card: string): Promise<Variables | null> => {
  const copies = await readCopies(card);
  const chosen = chooseByFlag(copies);
  return chosen === null ? null : (copies[chosen]?.variables ?? null);
};

const startedWith = (console: string): string => {
  const found = /^@kernel (.*)$/m.exec(console)?.[1];
  assert.ok(found !== undefined, console);
  return found;
};

describe('U-Boot on a board in QEMU', () => {
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'otad-qemu-'));
    await makePayload();
  });
  after(async () => {
    console.log(restartsLine(restarts));
    await rm(folder, { recursive: true, force: true });
  });

  it('starts the kernel of the slot on trial with its root, and has counted it before', async () => {
    const card = await makeCard(trialOfB, ['a', 'b']);
    assert.equal(
      startedWith(await powerOn(card)),
      `otad.slot=b otad.root=${rootOf.b} otad.hashoffset=8192 otad.trial=1`,
    );
    const saved = await readEnvironment(card);
    assert.equal(saved?.get('BOOT_B_LEFT'), '2');
    assert.equal(saved?.get(sequenceName), '8');
    // The copy that held the environment before is untouched.
    assert.equal((await readCopies(card))[1]?.variables.get('BOOT_B_LEFT'), '3');
  });

  it('takes the other slot in the same power-on when the kernel of the first is broken', async () => {
    const card = await makeCard(trialOfB, ['a']);
    const console = await powerOn(card);
    assert.equal(startedWith(console), `otad.slot=a otad.root=${rootOf.a}`);
    assert.match(console, /otad: slot B could not be started/);
  });

  it('starts a slot with nothing but what is compiled in', async () => {
    const card = await makeCard(null, ['b']);
    assert.equal(startedWith(await powerOn(card)), 'otad.slot=b otad.trial=1');
    const saved = await readEnvironment(card);
    assert.deepEqual([saved?.get('BOOT_A_LEFT'), saved?.get('BOOT_B_LEFT')], ['2', '2']);
  });

  it('boots a confirmed slot without a write', async () => {
    const card = await makeCard(new Map([...trialOfB].filter(([name]) => name !== 'otad_trial')), ['a', 'b']);
    const untouched = await readFile(card);
    assert.equal(startedWith(await powerOn(card)), `otad.slot=b otad.root=${rootOf.b} otad.hashoffset=8192`);
    assert.ok(untouched.equals(await readFile(card)));
  });
});
