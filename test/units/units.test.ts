import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chown, cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { listCheckFiles } from '../../agent/adapters/check-files.ts';
import { loadConfig } from '../../agent/config/config.ts';
import { messageIds } from '../../agent/log/message-ids.ts';
import { fwLockPath } from '../../bootctl/lock-file.ts';
import { rebootParamPathDefault } from '../../bootctl/tryboot/reboot-argument.ts';

const services = ['otad.service', 'otad-reboot.service', 'otad-reboot.path'];
// 1.6 with systemd 252; the weights move a little between releases. What remains is explained in the unit.
const exposureMax = 1.7;

let folder = '';
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'otad-units-'));
  for (const name of services) {
    const text = await readFile(join('units', name), 'utf8');
    // The program must exist to be verified; this machine may have its Node elsewhere.
    await writeFile(join(folder, name), text.replace('ExecStart=/usr/bin/node', `ExecStart=${process.execPath}`));
  }
});
after(() => rm(folder, { recursive: true }));

const unit = (): Promise<string> => readFile('units/otad.service', 'utf8');
const run = (program: string, ...parameters: readonly string[]) => {
  const { status, stdout, stderr, error } = spawnSync(program, parameters, { encoding: 'utf8' });
  assert.equal(error, undefined, `${program} is needed (Debian: apt install systemd)`);
  return { status, stdout, stderr };
};

describe('the units', () => {
  test('are clean for systemd-analyze verify, but for the key that older releases do not know', () => {
    const files = services.map((name) => join(folder, name));
    const { status, stderr } = run('systemd-analyze', 'verify', '--man=no', ...files);
    const complaints = stderr.split('\n').filter((line) => line !== '' && !line.includes("Unknown key 'OpenFile'"));
    assert.deepEqual(complaints, []);
    assert.equal(status, 0);
  });

  for (const name of ['otad.service', 'otad-reboot.service']) {
    test(`${name} is exposed no more than ${exposureMax} of 10`, () => {
      const { stdout } = run('systemd-analyze', 'security', '--no-pager', '--offline=true', join(folder, name));
      const level = /exposure level for [^:]+: ([0-9.]+)/.exec(stdout)?.[1];
      assert.ok(Number(level) <= exposureMax, stdout);
    });
  }

  test('pass the sockets by the names that the agent looks for', async () => {
    const lines = (await unit()).split('\n').filter((line) => line.startsWith('OpenFile='));
    assert.deepEqual(lines, [
      'OpenFile=/run/systemd/journal/socket:journal:graceful',
      'OpenFile=/run/systemd/notify:notify:graceful',
    ]);
  });

  test('run as the user that sysusers makes, in the folders that tmpfiles makes', async () => {
    const users = await readFile('units/otad.sysusers', 'utf8');
    assert.match(users, /^u otad - ".*" \/var\/lib\/otad$/m);
    assert.match(users, /^m otad otad-admin$/m);
    assert.match(await unit(), /^User=otad$/m);
    const lines = (await readFile('units/otad.tmpfiles', 'utf8')).split('\n').filter((line) => /^[^#]/.test(line));
    for (const line of lines) assert.match(line, /^[df] \/[a-z_/.]+ 0[0-7]{3} (root root|otad otad) -$/);
    const { config } = await loadConfig(['units']);
    for (const needed of [config.stateDir, config.runDir]) {
      assert.ok(
        lines.some((line) => line.split(' ')[1] === needed),
        needed,
      );
    }
  });

  test('sysusers makes the user and the group in an empty system', async () => {
    const root = join(folder, 'root');
    await mkdir(join(root, 'usr/lib/sysusers.d'), { recursive: true });
    await mkdir(join(root, 'etc'));
    await cp('units/otad.sysusers', join(root, 'usr/lib/sysusers.d/otad.conf'));
    const { status, stderr } = run('systemd-sysusers', `--root=${root}`);
    assert.equal(status, 0, stderr);
    assert.match(await readFile(join(root, 'etc/passwd'), 'utf8'), /^otad:.*:\/var\/lib\/otad:.*nologin$/m);
    assert.match(await readFile(join(root, 'etc/group'), 'utf8'), /^otad-admin:.*:otad$/m);
  });

  test('tmpfiles makes the lock of fw_setenv, which the sandbox of otad may not make', async () => {
    assert.match(await unit(), /^ProtectSystem=strict$/m);
    const runLock = fwLockPath.replace(/^\/var\/lock\//, '/run/lock/');
    assert.match(await readFile('units/otad.tmpfiles', 'utf8'), new RegExp(`^f ${runLock} 0644 root root -$`, 'm'));
  });

  test('the reboot service can remove a request from the folder that belongs to otad', async (context) => {
    const text = await readFile('units/otad-reboot.service', 'utf8');
    const kept = /^CapabilityBoundingSet=(.*)$/m.exec(text)?.[1] ?? '';
    const capabilities = kept.split(' ').flatMap((name) => (name === '' ? [] : `+${name.slice(4).toLowerCase()}`));
    const requests = join(folder, 'requests');
    await mkdir(requests, { mode: 0o755 });
    await writeFile(join(requests, 'reboot-requested'), '');
    if (process.getuid?.() === 0) {
      await chown(requests, 4242, 4242);
      const bounding = ['-all', ...capabilities].join(',');
      const remove = ['rm', '-f', join(requests, 'reboot-requested')];
      const { status, stderr } = run('setpriv', `--bounding-set=${bounding}`, '--inh-caps=-all', ...remove);
      assert.equal(status, 0, stderr);
    } else {
      context.diagnostic('the removal itself not run: needs root');
    }
    assert.deepEqual(capabilities, ['+dac_override']);
  });

  test('the shipped reboot request is the file that the path unit watches and its service removes', async () => {
    const { config } = await loadConfig(['units']);
    const file = config.reboot.command.at(-1);
    assert.match(await readFile('units/otad-reboot.path', 'utf8'), new RegExp(`^PathExists=${file}$`, 'm'));
    assert.match(
      await readFile('units/otad-reboot.service', 'utf8'),
      new RegExp(`^ExecStart=/usr/bin/rm -f ${file}$`, 'm'),
    );
  });
});

describe('the drop-ins of a bootloader', () => {
  const dropIns = [
    ['systemd-boot/otad.conf', 'otad.service'],
    ['tryboot/otad.conf', 'otad.service'],
    ['tryboot/otad-reboot.conf', 'otad-reboot.service'],
  ] as const;

  test('are clean for systemd-analyze verify, each installed where its first line says', async () => {
    const place = join(folder, 'with-drop-ins');
    await mkdir(place);
    for (const name of services) await cp(join(folder, name), join(place, name));
    for (const [source, service] of dropIns) {
      const name = `${source.split('/')[0]}.conf`;
      const text = await readFile(join('units', source), 'utf8');
      assert.ok(text.startsWith(`# /usr/lib/systemd/system/${service}.d/${name}: `), source);
      await mkdir(join(place, `${service}.d`), { recursive: true });
      await writeFile(join(place, `${service}.d`, name), text);
    }
    const files = services.map((name) => join(place, name));
    const { status, stderr } = run('systemd-analyze', 'verify', '--man=no', ...files);
    const complaints = stderr.split('\n').filter((line) => line !== '' && !line.includes("Unknown key 'OpenFile'"));
    assert.deepEqual(complaints, []);
    assert.equal(status, 0);
  });

  test('let otad write where its settings say that boot control lies', async () => {
    const { config } = await loadConfig(['units', 'units/tryboot']);
    const { systemdBoot, tryboot } = config.bootloader;
    const writable = async (source: string): Promise<readonly string[]> =>
      (/^ReadWritePaths=(.*)$/m.exec(await readFile(join('units', source), 'utf8'))?.[1] ?? '').split(' ');
    assert.deepEqual(await writable('systemd-boot/otad.conf'), [`-${systemdBoot.espPath}`]);
    const folders = [dirname(tryboot.autobootPath), tryboot.bootFolders.a, tryboot.bootFolders.b];
    assert.deepEqual(
      await writable('tryboot/otad.conf'),
      folders.map((path) => `-${path}`),
    );
    assert.equal(dirname(tryboot.rebootParamPath), config.runDir, 'otad.service may write there as it is');
  });

  test('hand the argument that otad left to the place where systemd looks', async () => {
    const { config } = await loadConfig(['units', 'units/tryboot']);
    const text = await readFile('units/tryboot/otad-reboot.conf', 'utf8');
    const { rebootParamPath } = config.bootloader.tryboot;
    assert.match(text, new RegExp(`^ExecStart=-/usr/bin/cp ${rebootParamPath} ${rebootParamPathDefault}$`, 'm'));
    const request = config.reboot.command.at(-1);
    assert.match(text, new RegExp(`^ExecStart=/usr/bin/rm -f ${request} ${rebootParamPathDefault}$`, 'm'));
    assert.match(text, /^ExecStart=\/usr\/bin\/systemctl --no-block reboot$/m);
  });
});

test('the shipped health.d folders hold documents and no checks', async () => {
  assert.deepEqual(await readdir('units/health.d'), ['required.d', 'wanted.d']);
  const folders = ['units/health.d/required.d', 'units/health.d/wanted.d'];
  assert.deepEqual(await listCheckFiles(folders, process.getuid?.() ?? 0), []);
});

describe('the journal catalog', () => {
  const entries = async (): Promise<ReadonlyMap<string, string>> => {
    const text = await readFile('units/otad.catalog', 'utf8');
    return new Map(
      [...text.matchAll(/^# ([a-z-]+)\n-- ([0-9a-f]{32})\nSubject: .+$/gm)].map((m) => [m[1] ?? '', m[2] ?? '']),
    );
  };

  test('has one entry for each kind of history, and no other', async () => {
    assert.deepEqual(Object.fromEntries(await entries()), messageIds);
    const ids = Object.values(messageIds);
    assert.equal(new Set(ids).size, ids.length);
    const marks = (await readFile('units/otad.catalog', 'utf8')).match(/^-- /gm) ?? [];
    assert.equal(marks.length, ids.length);
  });

  test('is taken by journalctl with every id', async () => {
    const root = join(folder, 'catalog');
    await mkdir(join(root, 'usr/lib/systemd/catalog'), { recursive: true });
    await mkdir(join(root, 'var/lib/systemd/catalog'), { recursive: true });
    await cp('units/otad.catalog', join(root, 'usr/lib/systemd/catalog/otad.catalog'));
    const { status, stderr } = run('journalctl', '--update-catalog', `--root=${root}`);
    assert.equal(status, 0, stderr);
    const { stdout } = run('journalctl', '--list-catalog', `--root=${root}`);
    const listed = stdout.split('\n').flatMap((line) => line.match(/^[0-9a-f]{32}/) ?? []);
    assert.deepEqual(listed.sort(), Object.values(messageIds).sort());
  });
});
