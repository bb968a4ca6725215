import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, describe, test } from 'node:test';
import {
  type BootloaderSettings,
  type DeviceSettings,
  findBootloader,
  openBootDevice,
  unusableParts,
} from '../../../agent/adapters/boot-control.ts';
import { createBootInspector } from '../../../agent/adapters/boot-inspection.ts';
import { encodeVariable, variableFile } from '../../../bootctl/systemd-boot/efi-variables.ts';
import { formatEnvironment } from '../../../bootctl/uboot/medium.ts';
import { createEspFiles, putStart } from '../../bootctl/systemd-boot/machine.ts';
import { createTrybootMachine } from '../../bootctl/tryboot/machine.ts';
import { createUbootFiles } from '../../bootctl/uboot/machine.ts';
import { aVerity } from '../../support/builders.ts';

const { signal } = new AbortController();
const closers: (() => unknown)[] = [];
after(async () => {
  for (const close of closers) await close();
});

/** A board without any bootloader: two slots that are files, slot a running. */
const aBoard = async (over: Partial<BootloaderSettings> = {}) => {
  const folder = await mkdtemp(join(tmpdir(), 'otad-board-'));
  closers.push(() => rm(folder, { recursive: true }));
  const at = (name: string): string => join(folder, name);
  for (const name of ['a.img', 'b.img']) await writeFile(at(name), Buffer.alloc(64 * 1024));
  await writeFile(at('cmdline'), 'otad.slot=a panic=10\n');
  const bootloader: BootloaderSettings = {
    kind: 'auto',
    commandLinePath: at('cmdline'),
    uboot: { fwEnvConfigPath: at('fw_env.config'), bootFolders: null },
    systemdBoot: {
      ...{ espPath: at('efi'), efivarsPath: at('efivars'), entries: { a: 'otad-a', b: 'otad-b' } },
      bootFolders: null,
    },
    tryboot: {
      autobootPath: at('autoboot.txt'),
      bootFolders: { a: at('boot_a'), b: at('boot_b') },
      partitions: { a: 2, b: 3 },
      deviceTreePath: at('device-tree'),
      rebootParamPath: at('reboot-param'),
    },
    ...over,
  };
  const settings: DeviceSettings = {
    bootloader,
    slotPaths: { a: at('a.img'), b: at('b.img') },
    stateDir: folder,
    runDir: folder,
    rebootCommand: ['systemctl', 'reboot'],
  };
  return settings;
};

const uboot = async (): Promise<Pick<BootloaderSettings, 'uboot'> & { readonly envPaths: readonly string[] }> => {
  const files = await createUbootFiles(2);
  closers.push(files.close);
  await formatEnvironment(
    files.config,
    new Map(Object.entries({ bootcmd: 'run x', BOOT_ORDER: 'A B', BOOT_A_LEFT: '3', BOOT_B_LEFT: '3', otad_seq: '1' })),
  );
  return { uboot: { fwEnvConfigPath: files.configPath, bootFolders: null }, envPaths: files.envPaths };
};

const systemdBoot = async (): Promise<Pick<BootloaderSettings, 'systemdBoot'>> => {
  const files = await createEspFiles();
  closers.push(files.close);
  await putStart(files.espPath);
  await writeFile(variableFile(files.efivarsPath, 'LoaderInfo'), encodeVariable('systemd-boot 257'));
  return { systemdBoot: { ...files, entries: { a: 'otad-a', b: 'otad-b' }, bootFolders: null } };
};

const tryboot = async (): Promise<Pick<BootloaderSettings, 'tryboot'>> => {
  const { paths, close } = await createTrybootMachine();
  closers.push(close);
  return {
    tryboot: {
      autobootPath: paths.autoboot,
      bootFolders: paths.bootFolders,
      partitions: { a: 2, b: 3 },
      deviceTreePath: paths.deviceTree,
      rebootParamPath: paths.rebootParam,
    },
  };
};

describe('the bootloader', () => {
  for (const [kind, traces] of [
    ['uboot', uboot],
    ['systemd-boot', systemdBoot],
    ['tryboot', tryboot],
  ] as const) {
    test(`is found by its traces, opened and read: ${kind}`, async () => {
      const settings = await aBoard(await traces());
      assert.deepEqual(await unusableParts(settings.bootloader, settings.rebootCommand), []);
      const device = await openBootDevice(settings);
      assert.equal(device.found.kind, kind);
      const status = await device.boot.status(signal);
      assert.equal(status.booted, 'a');
      assert.equal(status.primary, 'a');
      assert.deepEqual(status.witnesses?.[0], { name: 'kernel command line', says: 'otad.slot=a', slot: 'a' });
      const inspect = createBootInspector({ device, settings: settings.bootloader, slotPaths: settings.slotPaths });
      const { bootloader, problems, records } = await inspect(signal);
      assert.deepEqual([bootloader, problems], [kind, []]);
      assert.ok(
        records.length > 0 && records.every(({ value }) => !value.startsWith('(cannot')),
        JSON.stringify(records),
      );
    });
  }

  test('that says so in its own variable counts before a file that lies about', async () => {
    const settings = await aBoard({ ...(await uboot()), ...(await systemdBoot()) });
    assert.equal((await findBootloader(settings.bootloader)).kind, 'systemd-boot');
  });

  test('is not guessed: two traces or none name the setting that decides', async () => {
    const none = await aBoard();
    await assert.rejects(findBootloader(none.bootloader), {
      code: 'CONFIG_INVALID',
      message: /bootloader\.kind.*no .*fw_env\.config, no .*autoboot\.txt and no LoaderInfo/,
    });
    const both = await aBoard({ ...(await uboot()), ...(await tryboot()) });
    await assert.rejects(findBootloader(both.bootloader), { code: 'CONFIG_INVALID', message: /found: both/ });
    assert.equal((await findBootloader({ ...both.bootloader, kind: 'tryboot' })).kind, 'tryboot');
  });

  test('whose files are missing is told setting by setting', async () => {
    const { bootloader, rebootCommand } = await aBoard({ kind: 'tryboot' });
    const missing = await unusableParts({ ...bootloader, commandLinePath: '/nonexistent' }, rebootCommand);
    assert.deepEqual(
      missing.map((line) => line.split(':')[0]),
      ['commandLinePath', 'tryboot.autobootPath', 'tryboot.bootFolders.a', 'tryboot.bootFolders.b'].map(
        (key) => `bootloader.${key}`,
      ),
    );
  });

  test('whose fw_env.config lies on raw flash is told with the line, one that names a missing copy as well', async () => {
    const { bootloader, rebootCommand } = await aBoard({ kind: 'uboot' });
    const path = bootloader.uboot.fwEnvConfigPath;
    await writeFile(path, '# board\n/dev/mtd0 0 4000\n');
    const [flash, ...others] = await unusableParts(bootloader, rebootCommand);
    assert.match(flash ?? '', /^bootloader\.uboot\.fwEnvConfigPath: .*line: 2.*raw flash/);
    assert.deepEqual(others, []);
    await writeFile(path, `${path} 0 40\n/nonexistent/env 0 40\n`);
    assert.deepEqual(await unusableParts(bootloader, rebootCommand), [
      `bootloader.uboot.fwEnvConfigPath: ${path} line 2 names /nonexistent/env, which is not there`,
    ]);
  });

  test('that needs the argument of the reboot is told of a command that drops it', async () => {
    const { bootloader } = await aBoard(await tryboot());
    const [line, ...others] = await unusableParts(bootloader, ['reboot']);
    assert.match(line ?? '', /reboot\.command.*systemctl reboot/);
    assert.deepEqual(others, []);
  });

  test('is told nothing about a slot that could not be written', async () => {
    const traces = await uboot();
    const settings = await aBoard(traces);
    const { boot } = await openBootDevice({
      ...settings,
      slotPaths: { a: settings.slotPaths.a, b: settings.slotPaths.a },
    });
    const before = await Promise.all(traces.envPaths.map((path) => readFile(path)));
    await assert.rejects(boot.invalidate('b', signal), {
      code: 'CONFIG_INVALID',
      message: /both slots are the same device/,
    });
    await assert.rejects(boot.activate('b', 3, aVerity('c'), signal), { code: 'CONFIG_INVALID' });
    await assert.rejects(boot.invalidate('a', signal), { code: 'SLOT_RUNNING' });
    assert.deepEqual(await Promise.all(traces.envPaths.map((path) => readFile(path))), before);
  });

  test('of an image-rota disk writes nothing while links, labels and settings mean different partitions', async () => {
    const traces = await tryboot();
    const settings = await aBoard(traces);
    const devPath = join(settings.stateDir, 'dev');
    const link = async (name: string, node: string): Promise<void> => {
      const path = join(devPath, 'disk', name);
      await mkdir(dirname(path), { recursive: true });
      await writeFile(join(devPath, node), '');
      await rm(path, { force: true });
      await symlink(join(devPath, node), path);
    };
    for (const [slot, use, boot, system] of [
      ['a', 'active', 'mmcblk0p2', 'mmcblk0p4'],
      ['b', 'other', 'mmcblk0p3', 'mmcblk0p5'],
    ] as const) {
      await link(`by-partlabel/boot_${slot}`, boot);
      await link(`by-partlabel/system_${slot}`, system);
      await link(`by-slot/${use}/boot`, boot);
      await link(`by-slot/${use}/system`, system);
    }
    const { boot } = await openBootDevice({ ...settings, devPath });
    await boot.invalidate('b', signal);

    const before = await readFile(traces.tryboot.autobootPath);
    const renumbered = { ...settings.bootloader, tryboot: { ...traces.tryboot, partitions: { a: 2, b: 4 } } };
    const other = await openBootDevice({ ...settings, devPath, bootloader: renumbered });
    await assert.rejects(other.boot.invalidate('b', signal), {
      code: 'BOOT_EVIDENCE_CONFLICT',
      message: /mmcblk0p3.*bootloader\.tryboot\.partitions: a 2, b 4/,
    });

    await link('by-partlabel/boot_b', 'nvme0n1p3');
    for (const write of [() => boot.invalidate('b', signal), () => boot.activate('b', 3, aVerity('c'), signal)]) {
      await assert.rejects(write(), { code: 'BOOT_EVIDENCE_CONFLICT', message: /mmcblk0p3.*nvme0n1p3/ });
    }
    assert.deepEqual(await readFile(traces.tryboot.autobootPath), before);
    const device = await openBootDevice({ ...settings, devPath });
    const inspect = createBootInspector({ device, settings: settings.bootloader, slotPaths: settings.slotPaths });
    const { status, problems } = await inspect(signal);
    assert.equal(status?.booted, 'a');
    assert.deepEqual(
      problems.map(({ code }) => code),
      ['BOOT_EVIDENCE_CONFLICT'],
    );
  });

  test('that cannot be read is a problem in the look at it, beside what is known of the slots', async () => {
    const traces = await uboot();
    const settings = await aBoard(traces);
    const device = await openBootDevice(settings);
    const inspect = createBootInspector({ device, settings: settings.bootloader, slotPaths: settings.slotPaths });
    await writeFile(settings.bootloader.commandLinePath, 'quiet\n');
    const { status, problems, slots } = await inspect(signal);
    assert.equal(status, null);
    assert.equal(problems[0]?.code, 'BOOT_EVIDENCE_MISSING');
    assert.equal(slots.b.sizeBytes, 64 * 1024);
  });
});
