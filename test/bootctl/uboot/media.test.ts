// The adapter on the media that a board has: raw block devices at offsets (loop devices, where this process may make them),
// plain files, and files on FAT, which this kernel need not know: what is tried is that they are only ever written in place.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { open, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { createUbootControl } from '../../../bootctl/uboot/control.ts';
import { decodeCopy, encodeCopy } from '../../../bootctl/uboot/environment.ts';
import { type FwEnvConfig, parseFwEnvConfig } from '../../../bootctl/uboot/fw-env-config.ts';
import { formatEnvironment } from '../../../bootctl/uboot/medium.ts';
import { applyModel } from '../../../bootctl/uboot/variables.ts';
import { contractStart, contractVerity } from '../../contract/boot-control.ts';
import { reportNotRun } from '../../support/not-run.ts';
import { fwPrintenv, fwSetenv } from './fw-tools.ts';
import { createUbootFiles, factoryVariables } from './machine.ts';

const { signal } = new AbortController();
const folder = mkdtempSync(join(tmpdir(), 'otad-media-'));
const run = (command: string, ...args: readonly string[]) => spawnSync(command, args, { encoding: 'utf8' });
const start = applyModel(factoryVariables, contractStart);
const envBytes = 0x2000;

const configure = async (lines: string): Promise<{ readonly path: string; readonly config: FwEnvConfig }> => {
  const path = join(folder, 'fw_env.config');
  await writeFile(path, lines);
  return { path, config: parseFwEnvConfig(lines, path) };
};

const controlOf = (config: FwEnvConfig) =>
  createUbootControl({
    config,
    evidence: { slot: 'a', root: null, evidence: [] },
    lockPath: join(folder, 'lock'),
  });

// Not a multiple of 4096: the last copy ends in half a block.
const deviceBytes = 0x100000 + 0x200;
const disk = join(folder, 'disk');
const attach = async (...options: readonly string[]): Promise<string | null> => {
  const made = run('losetup', '--find', '--show', ...options, disk);
  return made.status === 0 ? made.stdout.trim() : null;
};
await writeFile(disk, Buffer.alloc(deviceBytes, 0xa5));
const device = await attach();
const readOnly = await attach('--read-only');
after(() => {
  for (const path of [device, readOnly]) if (path !== null) run('losetup', '--detach', path);
  rmSync(folder, { recursive: true });
});

const describeDevices = (path: string, readOnlyPath: string): void => {
  const layouts: readonly (readonly [claim: string, lines: string])[] = [
    ['from the start and from the end', `${path} 0x40000 0x2000\n${path} -0x2000 0x2000\n`],
    ['both from the end', `${path} -0x4000 0x2000\n${path} -0x2000 0x2000\n`],
    ['on no boundary but that of a sector', `${path} 0x40200 0x2000\n${path} 0x42200 0x2000\n`],
    ['on no boundary at all', `${path} 1027 0x2000\n${path} 0x7777 0x2000\n`],
    ['at the very start, in one copy', `${path} 0 0x2000\n`],
    ['in one copy at the end', `${path} -0x2000 0x2000 0x200 2\n`],
  ];
  for (const [claim, lines] of layouts) {
    it(`reads and writes with fw_setenv at the same place: ${claim}`, async () => {
      const { path: configPath, config } = await configure(lines);
      await formatEnvironment(config, start);
      const control = controlOf(config);
      for (const tries of [1, 2, 3]) {
        await control.activate('b', tries, contractVerity('b'), signal);
        assert.equal((await fwPrintenv(configPath))?.get('BOOT_B_LEFT'), String(tries));
        await fwSetenv(configPath, new Map([['note', String(tries)]]));
        assert.deepEqual((await control.status(signal)).slots.b, { state: 'pending', triesLeft: tries });
      }
      assert.equal((await fwPrintenv(configPath))?.get('note'), '3');
    });
  }

  it('touches no byte outside its copies', async () => {
    await writeFile(disk, Buffer.alloc(deviceBytes, 0xa5));
    const { config } = await configure(`${path} 0x40200 0x2000\n${path} -0x2000 0x2000\n`);
    await formatEnvironment(config, start);
    await controlOf(config).activate('b', 3, contractVerity('b'), signal);
    const bytes = await readFile(path);
    assert.equal(bytes.length, deviceBytes);
    bytes.fill(0xa5, 0x40200, 0x40200 + envBytes).fill(0xa5, deviceBytes - envBytes);
    assert.ok(bytes.every((byte) => byte === 0xa5));
  });

  it('sees what the medium holds, not what the page cache remembers', async () => {
    const { config } = await configure(`${path} 0x40000 0x2000\n`);
    await formatEnvironment(config, start);
    const cached = await open(path, 'r');
    try {
      await cached.read(Buffer.alloc(0x50000), 0, 0x50000, 0);
      const beneath = await open(disk, 'r+');
      await beneath.write(encodeCopy(new Map([...start, ['BOOT_ORDER', 'B']]), envBytes, null), 0, envBytes, 0x40000);
      await beneath.sync();
      await beneath.close();
      const { primary } = await controlOf(config).status(signal);
      // Without tries b is no primary; the order shows that the new bytes were read.
      assert.equal(primary, 'a');
      assert.equal((await controlOf(config).status(signal)).slots.a.state, 'bad');
    } finally {
      await cached.close();
    }
  });

  it('refuses two lines that turn out to be one place: by two names, or from both ends', async () => {
    const alias = join(folder, 'alias');
    await symlink(path, alias);
    const lines = [
      `${path} 0x40000 0x2000\n${alias} 0x40000 0x2000\n`,
      `${path} 0x40000 0x2000\n${alias} 0x41000 0x2000\n`,
      `${path} ${deviceBytes - envBytes} 0x2000\n${path} -0x2000 0x2000\n`,
    ];
    for (const text of lines) {
      const { config } = await configure(text);
      const before = await readFile(disk);
      await assert.rejects(controlOf(config).markGood('a', signal), {
        code: 'BOOT_ENV_UNSUPPORTED',
        message: /line: 2/,
      });
      assert.deepEqual(await readFile(disk), before);
    }
  });

  it('finds out after the write that a file and a device over it are one place', async () => {
    const { config } = await configure(`${disk} 0x40000 0x2000\n${path} 0x40000 0x2000\n`);
    // As two copies would stand there, if they were two.
    await writeFile(disk, Buffer.alloc(deviceBytes));
    const handle = await open(disk, 'r+');
    await handle.write(encodeCopy(start, envBytes, 1), 0, envBytes, 0x40000);
    await handle.close();
    await assert.rejects(controlOf(config).activate('b', 3, contractVerity('b'), signal), { code: 'BOOT_WRITE_LOST' });
  });

  it('uses the other copy when a line lies past the end, and refuses an offset before the start', async () => {
    await formatEnvironment((await configure(`${path} 0x0 0x2000\n${path} 0x40000 0x2000\n`)).config, start);
    const { config } = await configure(`${path} 0x0 0x2000\n${path} 0x200000 0x2000\n`);
    const status = await controlOf(config).status(signal);
    assert.equal(status.slots.a.state, 'good');
    assert.match(status.evidence.join('\n'), /copy 2 of 2 .* ends before the copy does/);
    const before = await configure(`${path} -0x200000 0x2000\n`);
    await assert.rejects(controlOf(before.config).status(signal), {
      code: 'BOOT_ENV_UNSUPPORTED',
      message: /before the start/,
    });
  });

  it('says that a write-protected device cannot be written, and goes on reading it', async () => {
    await formatEnvironment((await configure(`${path} 0x0 0x2000\n${path} 0x40000 0x2000\n`)).config, start);
    const { config } = await configure(`${readOnlyPath} 0x0 0x2000\n${readOnlyPath} 0x40000 0x2000\n`);
    assert.equal((await controlOf(config).status(signal)).primary, 'a');
    await assert.rejects(controlOf(config).activate('b', 3, contractVerity('b'), signal), {
      code: 'BOOT_ENV_UNWRITABLE',
    });
  });
};

describe('U-Boot environment on a raw block device', () => {
  if (device !== null && readOnly !== null) describeDevices(device, readOnly);
  else reportNotRun('an environment on a block device', 'two loop devices (root and loop-control)');
});

describe('U-Boot environment in files', () => {
  it('is written in place: same file, same size, no other file, so that FAT has nothing to allocate or rename', async () => {
    const files = await createUbootFiles(2);
    try {
      await formatEnvironment(files.config, start);
      const facts = async () => [
        (await readdir(files.folder)).filter((name) => name !== 'lock'),
        await Promise.all(files.envPaths.map(async (path) => [(await stat(path)).ino, (await stat(path)).size])),
      ];
      const before = await facts();
      const control = createUbootControl({
        config: files.config,
        evidence: { slot: 'a', root: null, evidence: [] },
        lockPath: join(files.folder, 'lock'),
      });
      for (const tries of [1, 2, 3, 4]) await control.activate('b', tries, contractVerity('b'), signal);
      await control.invalidate('b', signal);
      assert.deepEqual(await facts(), before);
    } finally {
      await files.close();
    }
  });

  it('leaves what lies behind the copy in a longer file alone', async () => {
    const path = join(folder, 'longer');
    await writeFile(path, Buffer.alloc(envBytes + 100, 0x5a));
    const { config } = await configure(`${path} 0 0x2000\n`);
    await formatEnvironment(config, start);
    const bytes = await readFile(path);
    assert.equal(decodeCopy(bytes.subarray(0, envBytes), false)?.variables.get('BOOT_ORDER'), 'A');
    assert.deepEqual(bytes.subarray(envBytes), Buffer.alloc(100, 0x5a));
  });

  const hasFat = run('mkfs.vfat', '--help').error === undefined && run('mcopy', '-V').error === undefined;
  if (hasFat) {
    it('two files in a FAT image, written at their clusters, leave a clean file system with both files in it', async () => {
      const image = join(folder, 'fat');
      await writeFile(image, Buffer.alloc(4 * 1024 * 1024));
      assert.equal(run('mkfs.vfat', '-n', 'BOOT', image).status, 0);
      for (const [index, name] of ['uboot.env', 'uboot-redund.env'].entries()) {
        await writeFile(join(folder, name), Buffer.alloc(envBytes, `marker ${index} `));
        assert.equal(run('mcopy', '-i', image, join(folder, name), `::/${name}`).status, 0);
      }
      const bytes = await readFile(image);
      const offsets = [0, 1].map((index) => bytes.indexOf(Buffer.alloc(envBytes, `marker ${index} `)));
      const { config } = await configure(offsets.map((offset) => `${image} ${offset} 0x2000\n`).join(''));
      await formatEnvironment(config, start);
      await controlOf(config).activate('b', 3, contractVerity('b'), signal);
      assert.equal(run('fsck.vfat', '-n', image).status, 0);
      const names = ['uboot.env', 'uboot-redund.env'];
      for (const name of names)
        assert.equal(run('mcopy', '-n', '-o', '-i', image, `::/${name}`, join(folder, name)).status, 0);
      const copies = await Promise.all(names.map(async (name) => decodeCopy(await readFile(join(folder, name)), true)));
      assert.deepEqual(
        copies.map((copy) => copy?.variables.get('BOOT_ORDER')),
        ['A', 'B A'],
      );
    });
  } else reportNotRun('an environment inside a FAT image', 'mkfs.vfat and mtools (dosfstools, mtools)');
});
