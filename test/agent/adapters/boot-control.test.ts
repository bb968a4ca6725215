import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import {
  type BootloaderSettings,
  type DeviceSettings,
  findBootloader,
  missingParts,
  openBootDevice,
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
    uboot: { fwEnvConfigPath: at('fw_env.config') },
    systemdBoot: { espPath: at('efi'), efivarsPath: at('efivars'), entries: { a: 'otad-a', b: 'otad-b' } },
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
  return { uboot: { fwEnvConfigPath: files.configPath }, envPaths: files.envPaths };
};

const systemdBoot = async (): Promise<Pick<BootloaderSettings, 'systemdBoot'>> => {
  const files = await createEspFiles();
  closers.push(files.close);
  await putStart(files.espPath);
  await writeFile(variableFile(files.efivarsPath, 'LoaderInfo'), encodeVariable('systemd-boot 257'));
  return { systemdBoot: { ...files, entries: { a: 'otad-a', b: 'otad-b' } } };
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
      assert.deepEqual(await missingParts(settings.bootloader), []);
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
    const { bootloader } = await aBoard({ kind: 'tryboot' });
    const missing = await missingParts({ ...bootloader, commandLinePath: '/nonexistent' });
    assert.deepEqual(
      missing.map((line) => line.split(':')[0]),
      ['commandLinePath', 'tryboot.autobootPath', 'tryboot.bootFolders.a', 'tryboot.bootFolders.b'].map(
        (key) => `bootloader.${key}`,
      ),
    );
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
