// What the initramfs does where no bootloader counts: run by the shell that it has on a board, with the tools that it has
// there, on the files of a bootloader; what follows is decided by the twins of the bootloaders.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { SlotName } from '../../agent/core/types.ts';
import { activate, markGood } from '../../bootctl/model.ts';
import { padAutoboot, parseAutoboot } from '../../bootctl/tryboot/autoboot-txt.ts';
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

/** A board with two confirmed slots, of which b is the newer one. */
const aUbootBoard = async (t: TestContext) => {
  const files = await createUbootFiles(2);
  t.after(() => files.close());
  const model = markGood(activate(contractStart, 'b', 3, contractVerity('b')), 'b');
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
