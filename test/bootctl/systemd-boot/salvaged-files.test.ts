// What the check of a FAT file system leaves on an ESP after a power cut, and that boot control takes it away.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { createSystemdBootMachine, putFile } from './machine.ts';

const environment = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin`, MTOOLS_SKIP_CHECK: '1' };

const run = (program: string, ...words: readonly string[]): string => {
  const { status, stdout, stderr } = spawnSync(program, words, { encoding: 'utf8', env: environment });
  // fsck.vfat: 1 for mended.
  assert.ok(status === 0 || (program === 'fsck.vfat' && status === 1), `${program}: ${status}\n${stdout}${stderr}`);
  return stdout;
};

/** Names that fsck.vfat gives to the clusters of a file whose directory entry a cut took. */
const namesAfterCheck = (): readonly string[] => {
  const folder = mkdtempSync(join(tmpdir(), 'otad-fat-'));
  try {
    const image = join(folder, 'esp.img');
    const kernel = join(folder, 'kernel');
    writeFileSync(kernel, Buffer.alloc(300_000, 7));
    run('mkfs.vfat', '-C', image, '4096');
    run('mcopy', '-i', image, kernel, '::/KERNEL');
    const bytes = readFileSync(image);
    const entry = bytes.indexOf(Buffer.from('KERNEL     '));
    assert.ok(entry > 0);
    bytes.writeUInt8(0xe5, entry);
    writeFileSync(image, bytes);
    run('fsck.vfat', '-a', image);
    return run('mdir', '-b', '-i', image, '::/')
      .split('\n')
      .flatMap((line) => line.replace('::/', '').trim() || []);
  } finally {
    rmSync(folder, { recursive: true });
  }
};

test('what a check of the file system salvages after a cut is taken away, and nothing else', async (t) => {
  const names = namesAfterCheck();
  assert.equal(names.length, 1, names.join(' '));
  const { files, control, close } = await createSystemdBootMachine();
  t.after(close);
  const kept = ['FSCK.REC', 'FSCK0000.TXT', 'OLDFSCK0000.REC', 'kernel.img'];
  for (const name of [...names, ...kept]) await putFile(files.espPath, name, 'clusters');
  const { evidence } = await control.status(new AbortController().signal);
  for (const name of names) {
    assert.ok(!existsSync(join(files.espPath, name)), name);
    assert.ok(evidence.some((line) => line.includes(name)));
  }
  const left = await readdir(files.espPath, { withFileTypes: true });
  assert.deepEqual(
    left
      .filter((entry) => entry.isFile())
      .map(({ name }) => name)
      .sort(),
    [...kept].sort(),
  );
});
