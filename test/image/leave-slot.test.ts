// What the initramfs does where no bootloader counts: run by the shell that it has on a board, with the tools that it has
// there, on the files of a bootloader; what follows is decided by the twins of the bootloaders.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { SlotName } from '../../agent/core/types.ts';
import { activate, type BootModel, invalidate, markBad, markGood } from '../../bootctl/model.ts';
import { encodeSlotEntry, type SlotEntry } from '../../bootctl/systemd-boot/slot-entry.ts';
import { padAutoboot, parseAutoboot } from '../../bootctl/tryboot/autoboot-txt.ts';
import { withSlotArguments } from '../../bootctl/tryboot/command-line-file.ts';
import { sequenceName } from '../../bootctl/uboot/environment.ts';
import { formatEnvironment } from '../../bootctl/uboot/medium.ts';
import { powerOn } from '../../bootctl/uboot/power-on.ts';
import { applyModel } from '../../bootctl/uboot/variables.ts';
import { createUbootFiles } from '../bootctl/uboot/machine.ts';
import { contractStart, contractVerity } from '../contract/boot-control.ts';
import { aFolder } from '../publish/publisher-fixture.ts';

const run = promisify(execFile);
const script = fileURLToPath(new URL('../../../image/initramfs/leave-slot', import.meta.url));

/** Exit status of one of the script's functions. */
const call = async (scratch: string, ...words: readonly string[]): Promise<number> => {
  const text = '. "$0"; "$@"';
  const path = `${process.env.PATH}:/usr/sbin:/sbin:/usr/bin:/bin`;
  const options = { env: { PATH: path, TMPDIR: scratch } };
  return run('busybox', ['sh', '-u', '-c', text, script, ...words], options).then(
    () => 0,
    ({ code }: { code: number }) => code,
  );
};

/** Two confirmed slots, of which b is the newer one. */
const bothGood = markGood(activate(contractStart, 'b', 3, contractVerity('b')), 'b');

const aUbootBoard = async (t: TestContext, model: BootModel = bothGood) => {
  const files = await createUbootFiles(2);
  t.after(() => files.close());
  const known = new Map([
    ['bootcmd', 'run otad_script'],
    [sequenceName, '9f'],
  ]);
  await formatEnvironment(files.config, applyModel(known, model));
  return files;
};

test('U-Boot: a confirmed slot that the initramfs refuses each time gives way to the other one', async (t) => {
  const { config, configPath, folder } = await aUbootBoard(t);
  const started: (SlotName | null)[] = [];
  for (let start = 1; start <= 5; start += 1) {
    const { slot, cmdline } = await powerOn(config);
    started.push(slot);
    assert.doesNotMatch(cmdline, /otad\.trial/);
    if (slot === 'b') assert.equal(await call(folder, 'leave_by_try', configPath, 'b'), 0);
  }
  assert.deepEqual(started, ['b', 'b', 'b', 'a', 'a']);
  const { stdout } = await run('fw_printenv', ['-c', configPath, 'BOOT_B_LEFT', sequenceName]);
  assert.equal(stdout, `BOOT_B_LEFT=0\n${sequenceName}=a2\n`);
});

test('U-Boot: without an environment, or without tries, nothing is written', async (t) => {
  const { config, configPath, envPaths, folder } = await aUbootBoard(t);
  for (let start = 1; start <= 3; start += 1) assert.equal(await call(folder, 'leave_by_try', configPath, 'b'), 0);
  const before = await Promise.all(envPaths.map((path) => readFile(path)));
  assert.notEqual(await call(folder, 'leave_by_try', configPath, 'b'), 0);
  assert.notEqual(await call(folder, 'leave_by_try', join(folder, 'none'), 'b'), 0);
  assert.deepEqual(await Promise.all(envPaths.map((path) => readFile(path))), before);
  assert.equal((await powerOn(config)).slot, 'a');
});

test('systemd-boot: the other slot is asked for once, and a slot on trial leads back by its counter', async (t) => {
  const vars = await aFolder(t);
  const vendor = '4a67b082-0a4c-41cf-b6c7-440b29bb8c4f';
  const asked = join(vars, `LoaderEntryOneShot-${vendor}`);
  assert.equal(await call(vars, 'leave_by_one_shot', vars, 'a'), 0);
  const bytes = await readFile(asked);
  // Attributes of the variable, then the pattern of an entry in UTF-16 with its end.
  assert.equal(bytes.readUInt32LE(0), 7);
  assert.equal(bytes.subarray(4).toString('utf16le'), 'otad-b*\0');
  await writeFile(join(vars, `LoaderBootCountPath-${vendor}`), '');
  await writeFile(asked, 'untouched');
  assert.equal(await call(vars, 'leave_by_one_shot', vars, 'a'), 0);
  assert.equal(await readFile(asked, 'utf8'), 'untouched');
});

test('tryboot: the other partition becomes the default, in one sector, and all else stays', async (t) => {
  const folder = await aFolder(t);
  const path = join(folder, 'autoboot.txt');
  const text = '# ours\n[all]\ntryboot_a_b=1\nboot_partition=2\n[tryboot]\nboot_partition=3';
  await writeFile(path, padAutoboot(text));
  assert.equal(await call(folder, 'leave_by_default', path, '2', '3'), 0);
  const found = parseAutoboot(await readFile(path));
  assert.equal(found?.text, text.replace('=2', '=x').replace('=3', '=2').replace('=x', '=3'));
  assert.deepEqual([found?.default, found?.trial, found?.isPadded], [3, 2, true]);
  // A slot that is not the default is none that a reset comes back to.
  const before = await readFile(path);
  assert.notEqual(await call(folder, 'leave_by_default', path, '4', '3'), 0);
  assert.notEqual(await call(folder, 'leave_by_default', path, '', '3'), 0);
  assert.deepEqual(await readFile(path), before);
});

test('U-Boot: the other slot would be started when it stands in the order with a try and a root', async (t) => {
  const asks = async (model: BootModel): Promise<number> => {
    const { configPath, folder } = await aUbootBoard(t, model);
    return call(folder, 'starts_by_try', configPath, 'a');
  };
  assert.equal(await asks(bothGood), 0);
  assert.notEqual(await asks(invalidate(bothGood, 'a', 'b')), 0, 'what is being written');
  assert.notEqual(await asks(markBad(bothGood, 'a')), 0, 'what was given up');
  const { configPath, folder } = await aUbootBoard(t);
  await run('fw_setenv', ['-c', configPath, 'BOOT_A_LEFT', '0']);
  assert.notEqual(await call(folder, 'starts_by_try', configPath, 'a'), 0, 'without a try');
  await run('fw_setenv', ['-c', configPath, 'BOOT_A_LEFT', '3']);
  await run('fw_setenv', ['-c', configPath, 'otad_a_root']);
  assert.notEqual(await call(folder, 'starts_by_try', configPath, 'a'), 0, 'without a root');
});

test('systemd-boot: the other slot would be started when its entry is live, not bad, and has a try', async (t) => {
  const esp = await aFolder(t);
  const entries = join(esp, 'loader/entries');
  const asks = async (name: string, state: SlotEntry['state']): Promise<number> => {
    await rm(entries, { recursive: true, force: true });
    await mkdir(entries, { recursive: true });
    const boot = { key: 'linux', path: '/otad/b/linux' } as const;
    const entry = { state, rank: 2, boot, verity: contractVerity('b'), rest: ['options panic=10'] };
    await writeFile(join(entries, name), encodeSlotEntry(entry, 'b'));
    return call(esp, 'starts_by_entry', esp, 'b');
  };
  for (const name of ['otad-b.conf', 'otad-b+3-0.conf', 'otad-b+1-2.conf']) {
    assert.equal(await asks(name, 'live'), 0, name);
    for (const state of ['parked', 'bad'] as const) assert.notEqual(await asks(name, state), 0, `${state}: ${name}`);
  }
  assert.notEqual(await asks('otad-b+0-3.conf', 'live'), 0, 'without a try');
  assert.notEqual(await asks('otad-a.conf', 'live'), 0, 'the entry of another slot');
});

test('tryboot: the other partition is started when it is whole, has a root, and is not being changed', async (t) => {
  const { rootHex } = contractVerity('b');
  const whole: Readonly<Record<string, string>> = {
    'cmdline.txt': withSlotArguments('console=tty1 panic=10\n', 'b', contractVerity('b')),
    'config.txt': 'arm_64bit=1\nkernel=Image\r\ninitramfs initrd followkernel\n',
    Image: 'kernel',
    initrd: 'initramfs',
  };
  const asks = async (changes: Readonly<Record<string, string | null>>): Promise<number> => {
    const folder = await aFolder(t);
    for (const [name, text] of Object.entries({ ...whole, ...changes })) {
      if (text !== null) await writeFile(join(folder, name), text);
    }
    return call(folder, 'starts_by_folder', folder);
  };
  const good: readonly Readonly<Record<string, string | null>>[] = [
    {},
    { 'otad-set': `${rootHex} 6 Image\n${rootHex} 9 initrd\n` },
    { 'config.txt': 'arm_64bit=1\n', Image: null, 'kernel8.img': 'kernel' },
  ];
  for (const changes of good) assert.equal(await asks(changes), 0, JSON.stringify(changes));
  const wrong: readonly Readonly<Record<string, string | null>>[] = [
    { 'cmdline.txt': withSlotArguments(whole['cmdline.txt'] ?? '', 'b', null) },
    { 'cmdline.txt': null },
    { Image: null },
    { Image: '' },
    { initrd: null },
    { initrd: '' },
    { 'otad-set': 'not whole: it is being changed\n' },
    { 'otad-set': '' },
    { 'config.txt': null },
  ];
  for (const changes of wrong) assert.notEqual(await asks(changes), 0, JSON.stringify(changes));
});
