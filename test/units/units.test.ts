import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmod, chown, cp, mkdir, mkdtemp, open, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { listCheckFiles } from '../../agent/adapters/check-files.ts';
import { loadConfig } from '../../agent/config/config.ts';
import { messageIds } from '../../agent/log/message-ids.ts';
import { fwLockPath } from '../../bootctl/lock-file.ts';
import { rebootParamPathDefault } from '../../bootctl/tryboot/reboot-argument.ts';

const services = [
  'otad.service',
  'otad-boot.socket',
  'otad-boot.service',
  'otad-gate.service',
  'otad-deadman.timer',
  'otad-deadman.service',
  'otad-reboot.path',
  'otad-reboot.service',
];
// With systemd 252, 1.4 and 0.4 for the first two; the weights move a little between releases. What remains is explained in
// the units. The other three are root's, or nobody asks them anything; a reboot takes one capability more with systemd-boot.
const exposureMax = {
  'otad.service': 1.5,
  'otad-boot.service': 1,
  'otad-gate.service': 1,
  'otad-deadman.service': 1.5,
  'otad-reboot.service': 1.3,
} as const;
const bootloaders = ['uboot', 'systemd-boot', 'tryboot'] as const;

/** How far a unit is open to the rest of the system, of 10, with the drop-ins that lie beside it. */
const exposureOf = (place: string, name: string): number => {
  const { stdout } = run('systemd-analyze', 'security', '--no-pager', '--offline=true', join(place, name));
  return Number(/exposure level for [^:]+: ([0-9.]+)/.exec(stdout)?.[1] ?? assert.fail(stdout));
};

let folder = '';
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'otad-units-'));
  for (const name of services) {
    const text = await readFile(join('units', name), 'utf8');
    // The program must exist to be verified; this machine may have its Node elsewhere.
    const here = text
      .replace('ExecStart=/usr/bin/node', `ExecStart=${process.execPath}`)
      .replaceAll('=/usr/lib/otad/trial', `=${resolve('units/trial')}`);
    await writeFile(join(folder, name), here);
  }
});
after(() => rm(folder, { recursive: true }));

const unit = (): Promise<string> => readFile('units/otad.service', 'utf8');
const run = (program: string, ...parameters: readonly string[]) => {
  const { status, stdout, stderr, error } = spawnSync(program, parameters, { encoding: 'utf8' });
  assert.equal(error, undefined, `${program} is needed (Debian: apt install systemd)`);
  return { status, stdout, stderr };
};

/** What systemd-analyze verify has against units. Older releases ignore these keys. */
const complaintsIn = (stderr: string): readonly string[] =>
  stderr.split('\n').filter((line) => line !== '' && !/Unknown key (?:name )?'(?:OpenFile|WantsMountsFor)'/.test(line));

describe('the units', () => {
  test('are clean for systemd-analyze verify, but for keys that older releases do not know', () => {
    const files = services.map((name) => join(folder, name));
    const { status, stderr } = run('systemd-analyze', 'verify', '--man=no', ...files);
    assert.deepEqual(complaintsIn(stderr), []);
    assert.equal(status, 0);
  });

  for (const [name, most] of Object.entries(exposureMax)) {
    test(`${name} is exposed no more than ${most} of 10`, () => {
      const level = exposureOf(folder, name);
      assert.ok(level <= most, `${level}`);
    });
  }

  test('are not called failed when the reboot that they ask for ends them', async () => {
    for (const name of ['otad-reboot.service', 'otad-deadman.service']) {
      const text = await readFile(join('units', name), 'utf8');
      assert.match(text, /^Type=oneshot$/m);
      assert.match(text, /^SuccessExitStatus=SIGTERM$/m);
    }
  });

  test('log under their own names, and not as node', async () => {
    for (const name of services) {
      const text = await readFile(join('units', name), 'utf8');
      if (!/^ExecStart=\S*node /m.test(text)) continue;
      assert.ok(text.includes(`\nSyslogIdentifier=${name.replace('.service', '')}\n`), name);
    }
  });

  test('name a document that the image has', async () => {
    for (const name of services) {
      const text = await readFile(join('units', name), 'utf8');
      assert.match(text, /^Documentation=file:\/usr\/share\/doc\/otad\/README\.md$/m, name);
    }
    const { stdout } = run(process.execPath, 'dist/agent/otactl.js', '--help');
    const readme = await readFile('units/README.md', 'utf8');
    for (const [, command] of readme.matchAll(/^ {4}otactl ([a-z]+) /gm)) {
      assert.match(stdout, new RegExp(`^  ${command} `, 'm'));
    }
    for (const unit of readme.match(/otad[a-z-]*\.(?:service|socket|timer|path)/g) ?? []) {
      assert.ok((services as readonly string[]).includes(unit), unit);
    }
  });

  test('pass the sockets by the names that the agent looks for', async () => {
    const lines = (await unit()).split('\n').filter((line) => line.startsWith('OpenFile='));
    assert.deepEqual(lines, [
      'OpenFile=/run/systemd/journal/socket:journal:graceful',
      'OpenFile=/run/systemd/notify:notify:graceful',
    ]);
  });

  test('run as the user that sysusers makes, in the folders that tmpfiles makes', async () => {
    const users = await readFile('units/otad.sysusers', 'utf8');
    assert.match(users, /^u otad [0-9]+ ".*" \/var\/lib\/otad$/m);
    assert.match(users, /^m otad otad-admin$/m);
    assert.doesNotMatch(users, /^m .* otad$|^m .* otad-boot$|^m otad-boot /m);
    assert.match(await unit(), /^User=otad$/m);
    assert.match(users, /^u otad-boot [0-9]+ ".*" \/var\/lib\/otad-boot$/m);
    assert.match(await readFile('units/otad-boot.service', 'utf8'), /^User=otad-boot$/m);
    const lines = (await readFile('units/otad.tmpfiles', 'utf8')).split('\n').filter((line) => /^[^#]/.test(line));
    for (const line of lines)
      assert.match(
        line,
        /^(?:[df] \/[a-z_/.-]+ [02][0-7]{3}|Z \/var\/lib\/[a-z-]+ -) (root root|otad otad|otad otad-admin|otad-boot otad-boot) -$/,
      );
    const { config } = await loadConfig(['units']);
    for (const needed of [config.stateDir, config.runDir, '/var/lib/otad-boot', '/run/otad-boot']) {
      assert.ok(
        lines.some((line) => line.split(' ')[1] === needed),
        needed,
      );
    }
  });

  test('let the boot helper enter the state folder, where it reads boot files, and list nothing', async () => {
    const { config } = await loadConfig(['units']);
    const text = await readFile('units/otad.tmpfiles', 'utf8');
    assert.match(text, new RegExp(`^d ${config.stateDir} 0711 otad otad -$`, 'm'));
    assert.match(await unit(), /^StateDirectoryMode=0711$/m);
    assert.match(await unit(), /^UMask=0077$/m);
  });

  test('sysusers makes the user and the group in an empty system', async () => {
    const root = join(folder, 'root');
    await mkdir(join(root, 'usr/lib/sysusers.d'), { recursive: true });
    await mkdir(join(root, 'etc'));
    await cp('units/otad.sysusers', join(root, 'usr/lib/sysusers.d/otad.conf'));
    const { status, stderr } = run('systemd-sysusers', `--root=${root}`);
    assert.equal(status, 0, stderr);
    assert.match(await readFile(join(root, 'etc/passwd'), 'utf8'), /^otad:.*:\/var\/lib\/otad:.*nologin$/m);
    const groups = await readFile(join(root, 'etc/group'), 'utf8');
    assert.match(groups, /^otad-admin:.*:otad$/m);
    // Who is in the group otad may ask the helper, who is in otad-boot may write the bootloader's medium.
    assert.match(groups, /^otad:[^:]*:[0-9]+:$/m);
    assert.match(groups, /^otad-boot:[^:]*:[0-9]+:$/m);
  });

  test('a system user more, before ours or after, moves none of ours', async () => {
    const idsWith = async (name: string, others: Readonly<Record<string, string>>): Promise<readonly string[]> => {
      const root = join(folder, name);
      await mkdir(join(root, 'usr/lib/sysusers.d'), { recursive: true });
      await mkdir(join(root, 'etc'));
      await cp('units/otad.sysusers', join(root, 'usr/lib/sysusers.d/otad.conf'));
      for (const [file, text] of Object.entries(others)) await writeFile(join(root, 'usr/lib/sysusers.d', file), text);
      const { status, stderr } = run('systemd-sysusers', `--root=${root}`);
      assert.equal(status, 0, stderr);
      const text = `${await readFile(join(root, 'etc/passwd'), 'utf8')}${await readFile(join(root, 'etc/group'), 'utf8')}`;
      return text.split('\n').flatMap((line) => /^otad[^:]*:x:[0-9]+/.exec(line) ?? []);
    };
    const alone = await idsWith('ids-alone', {});
    assert.equal(alone.length, 5);
    const more = { 'another.conf': 'u another -\ng more -\n', 'zulu.conf': 'u zulu -\n' };
    assert.deepEqual(await idsWith('ids-with-others', more), alone);
  });

  test('tmpfiles gives the state back to users whose numbers have changed', async (context) => {
    if (process.getuid?.() !== 0) return context.diagnostic('not run: needs root');
    const root = join(folder, 'moved');
    await mkdir(join(root, 'etc'), { recursive: true });
    await writeFile(join(root, 'etc/passwd'), 'root:x:0:0::/:\notad:x:591:591::/:\notad-boot:x:592:592::/:\n');
    await writeFile(join(root, 'etc/group'), 'root:x:0:\notad-admin:x:590:\notad:x:591:\notad-boot:x:592:\n');
    await mkdir(join(root, 'usr/lib/tmpfiles.d'), { recursive: true });
    await cp('units/otad.tmpfiles', join(root, 'usr/lib/tmpfiles.d/otad.conf'));
    const kept = { otad: [998, 591], 'otad-boot': [997, 592] } as const;
    const inner = { metadata: 0o700, 'metadata/root.json': 0o600 } as const;
    const modesOf = (name: string) => ({ '.': name === 'otad' ? 0o711 : 0o700, ...inner });
    for (const [name, [before]] of Object.entries(kept)) {
      const home = join(root, 'var/lib', name);
      await mkdir(join(home, 'metadata'), { recursive: true });
      await writeFile(join(home, 'metadata/root.json'), '{}');
      for (const [path, mode] of Object.entries(modesOf(name))) {
        await chmod(join(home, path), mode);
        await chown(join(home, path), before, before);
      }
    }
    const { status, stderr } = run('systemd-tmpfiles', `--root=${root}`, '--create', '--prefix=/var/lib');
    assert.equal(status, 0, stderr);
    for (const [name, [, now]] of Object.entries(kept)) {
      for (const [path, wanted] of Object.entries(modesOf(name))) {
        const { uid, gid, mode } = await stat(join(root, 'var/lib', name, path));
        assert.deepEqual([uid, gid, mode & 0o7777], [now, now, wanted], `${name}/${path}`);
      }
    }
  });

  test('tmpfiles makes the lock of fw_setenv, which the sandbox of the helper may not make', async () => {
    assert.match(await readFile('units/otad-boot.service', 'utf8'), /^ProtectSystem=strict$/m);
    const runLock = fwLockPath.replace(/^\/var\/lock\//, '/run/lock/');
    assert.match(await readFile('units/otad.tmpfiles', 'utf8'), new RegExp(`^f ${runLock} 0644 root root -$`, 'm'));
  });

  test('the reboot service can remove a request from the folder that belongs to the helper', async (context) => {
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

describe('the split of otad and its boot helper', () => {
  const text = (name: string): Promise<string> => readFile(join('units', name), 'utf8');

  test('the socket of the settings is the one that systemd makes, for the group of otad and nobody else', async () => {
    const { config } = await loadConfig(['units']);
    const socket = await text('otad-boot.socket');
    assert.match(socket, new RegExp(`^ListenStream=${config.bootloader.helperSocket}$`, 'm'));
    for (const line of ['SocketUser=root', 'SocketGroup=otad', 'SocketMode=0660', 'FileDescriptorName=boot']) {
      assert.match(socket, new RegExp(`^${line}$`, 'm'));
    }
  });

  test('otad has a network and no bootloader, the helper a bootloader and no network', async () => {
    const [agent, helper] = [await text('otad.service'), await text('otad-boot.service')];
    assert.doesNotMatch(agent, /mtd|efi|\/boot|fw_env/);
    assert.doesNotMatch(agent, /^ReadWritePaths=(?!\/run\/otad$)/m);
    for (const line of [
      'PrivateNetwork=yes',
      'IPAddressDeny=any',
      'RestrictAddressFamilies=none',
      'CapabilityBoundingSet=',
    ]) {
      assert.match(helper, new RegExp(`^${line}$`, 'm'));
    }
    assert.doesNotMatch(helper, /^DeviceAllow=.*w/m);
    for (const file of await readdir('units')) {
      if (/^(?:uboot|systemd-boot|tryboot)$/.test(file))
        assert.ok(!(await readdir(join('units', file))).includes('otad.conf'));
    }
  });

  test('a helper that fails is started again for ever, in time and no faster, and the socket stays', async () => {
    const helper = await text('otad-boot.service');
    // While a restart is due systemd lets a start wait for it, so the request that is still there does not start it at once.
    for (const line of ['StartLimitIntervalSec=0', 'Restart=on-failure', 'RestartSec=10s']) {
      assert.match(helper, new RegExp(`^${line}$`, 'm'));
    }
    assert.match(await text('otad-boot.socket'), /^TriggerLimitIntervalSec=0$/m);
  });

  test('udev gives the running slot to nobody, the other one to otad, and the helper reads both', async () => {
    const rules = await text('60-otad.rules');
    assert.match(rules, /"system_a\|system_b", OWNER="otad-boot", GROUP="otad", MODE="0460"$/m);
    for (const slot of ['a', 'b']) {
      assert.match(
        rules,
        new RegExp(`^ENV\\{PARTNAME\\}=="system_${slot}", ENV\\{otad.slot\\}=="${slot}", MODE="0440"$`, 'm'),
      );
    }
    // An import that finds nothing ends its line, and with it whatever else stands there.
    for (const name of ['otad.slot', 'rauc.slot'])
      assert.match(rules, new RegExp(`^IMPORT\\{cmdline\\}="${name}"$`, 'm'));
    assert.doesNotMatch(rules, /uboot.env.*GROUP="otad"/);
  });
});

describe('a trial, by what the bootloader left', () => {
  const bootCount = 'sys/firmware/efi/efivars/LoaderBootCountPath-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f';
  const flag = 'proc/device-tree/chosen/bootloader/tryboot';
  const confirmed = 'run/otad-boot/confirmed';
  let number = 0;
  const aRoot = async (files: Readonly<Record<string, string | Uint8Array>>): Promise<string> => {
    number += 1;
    const root = join(folder, `boot-${number}`);
    for (const [name, content] of Object.entries({ 'proc/cmdline': 'quiet otad.slot=b\n', ...files })) {
      await mkdir(dirname(join(root, name)), { recursive: true });
      await writeFile(join(root, name), content);
    }
    return root;
  };
  const trial = (root: string, word: string) =>
    spawnSync('/bin/sh', ['units/trial', word], { env: { PATH: '/usr/bin:/bin', OTAD_ROOT: root }, timeout: 20_000 })
      .status;

  const trials = {
    'U-Boot': { 'proc/cmdline': 'console=ttyS0 otad.slot=b otad.root=00 otad.trial=1\n' },
    'U-Boot, last of a line without end': { 'proc/cmdline': 'otad.trial=1' },
    'systemd-boot': { [bootCount]: 'x' },
    tryboot: { [flag]: Uint8Array.of(0, 0, 0, 1) },
  } as const;
  const others = {
    'a confirmed slot': {},
    'no command line': { 'proc/cmdline': '' },
    'a word that only looks like it': { 'proc/cmdline': 'otad.trial=10 xotad.trial=1 otad.trial=\n' },
    'the default of tryboot': { [flag]: Uint8Array.of(0, 0, 0, 0) },
    'a flag that is cut': { [flag]: Uint8Array.of(1) },
  } as const;

  for (const [name, files] of Object.entries(trials)) {
    test(`${name}: pending until the helper's stamp is there`, async () => {
      const root = await aRoot(files);
      assert.equal(trial(root, 'pending'), 0);
      await mkdir(join(root, 'run/otad-boot'), { recursive: true });
      await writeFile(join(root, confirmed), '');
      assert.equal(trial(root, 'pending'), 1);
      assert.equal(trial(root, 'wait'), 0);
    });
  }
  for (const [name, files] of Object.entries(others)) {
    test(`${name} is none, and is not waited for`, async () => {
      const root = await aRoot(files);
      assert.equal(trial(root, 'pending'), 1);
      assert.equal(trial(root, 'wait'), 0);
    });
  }

  test('the gate opens when the stamp is made', async () => {
    const root = await aRoot(trials['U-Boot']);
    const gate = spawn('/bin/sh', ['units/trial', 'wait'], { env: { PATH: '/usr/bin:/bin', OTAD_ROOT: root } });
    const exit = once(gate, 'exit');
    await mkdir(join(root, 'run/otad-boot'), { recursive: true });
    assert.equal(gate.exitCode, null);
    await writeFile(join(root, confirmed), '');
    assert.deepEqual(await exit, [0, null]);
  });

  test('an end by SIGTERM, which the unit takes for a good one, is no yes', async () => {
    assert.match(await readFile('units/otad-deadman.service', 'utf8'), /^SuccessExitStatus=SIGTERM$/m);
    const root = await aRoot({});
    const path = join(root, 'proc/cmdline');
    await rm(path);
    run('mkfifo', path);
    const asked = spawn('/bin/sh', ['units/trial', 'pending'], { env: { PATH: '/usr/bin:/bin', OTAD_ROOT: root } });
    const exit = once(asked, 'exit');
    // Open when the script reads: it waits for a line then.
    const line = await open(path, 'w');
    // A reader that stays: the script may be gone before the line is written.
    const reader = await open(path, 'r');
    asked.kill('SIGTERM');
    await line.write('otad.trial=1\n');
    assert.deepEqual(await exit, [1, null]);
    await line.close();
    await reader.close();
  });

  test('the dead man asks it first, and anything but a clear yes is a no', async () => {
    const text = await readFile('units/otad-deadman.service', 'utf8');
    assert.match(text, /^ExecCondition=\/usr\/lib\/otad\/trial pending$/m);
    assert.equal(trial(await aRoot({}), 'nonsense'), 64);
    // systemd takes 1 to 254 for no, and 255 or a signal for a failure, which here does nothing either.
    assert.doesNotMatch(text, /^(FailureAction|SuccessAction|OnFailure)=/m);
    assert.match(text, /^SystemCallErrorNumber=EPERM$/m);
  });

  test('the gate stands before boot-complete.target and waits as long as it takes', async () => {
    const text = await readFile('units/otad-gate.service', 'utf8');
    for (const line of ['Before=boot-complete.target', 'RequiredBy=boot-complete.target', 'TimeoutStartSec=infinity']) {
      assert.match(text, new RegExp(`^${line}$`, 'm'));
    }
  });
});

describe('the drop-ins of a bootloader', () => {
  const dropIns = [
    ['uboot/otad-boot.conf', 'otad-boot.service'],
    ['systemd-boot/otad-boot.conf', 'otad-boot.service'],
    ['systemd-boot/otad-reboot.conf', 'otad-reboot.service'],
    ['tryboot/otad-boot.conf', 'otad-boot.service'],
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
    assert.deepEqual(complaintsIn(stderr), []);
    assert.equal(status, 0);
  });

  for (const bootloader of bootloaders) {
    test(`${bootloader}: with them as installed no unit is exposed more than it may be`, async () => {
      const place = join(folder, `as-installed-${bootloader}`);
      await mkdir(place);
      for (const name of services) await cp(join(folder, name), join(place, name));
      const installed = dropIns.filter(([source]) => source.startsWith(`${bootloader}/`));
      assert.deepEqual(
        installed.map(([source]) => source).sort(),
        (await readdir(join('units', bootloader)))
          .filter((file) => file.endsWith('.conf'))
          .map((file) => `${bootloader}/${file}`),
      );
      for (const [source, service] of installed) {
        await mkdir(join(place, `${service}.d`), { recursive: true });
        await cp(join('units', source), join(place, `${service}.d/50-${bootloader}.conf`));
      }
      if (bootloader === 'systemd-boot') {
        // Were the drop-ins not read, all of this would measure the bare units once more.
        assert.ok(exposureOf(place, 'otad-reboot.service') > exposureOf(folder, 'otad-reboot.service'));
      }
      for (const [name, most] of Object.entries(exposureMax)) {
        const level = exposureOf(place, name);
        assert.ok(level <= most, `${name}: ${level}`);
      }
    });
  }

  test('let the helper write where its settings say that boot control lies', async () => {
    const { config } = await loadConfig(['units', 'units/tryboot']);
    const { systemdBoot, tryboot } = config.bootloader;
    const writable = async (source: string): Promise<readonly string[]> =>
      (/^ReadWritePaths=(.*)$/m.exec(await readFile(join('units', source), 'utf8'))?.[1] ?? '').split(' ');
    assert.deepEqual(await writable('systemd-boot/otad-boot.conf'), [`-${systemdBoot.espPath}`]);
    const folders = [dirname(tryboot.autobootPath), tryboot.bootFolders.a, tryboot.bootFolders.b];
    assert.deepEqual(
      await writable('tryboot/otad-boot.conf'),
      folders.map((path) => `-${path}`),
    );
    assert.equal(dirname(tryboot.rebootParamPath), '/run/otad-boot', 'otad-boot.service may write there as it is');
  });

  test('hand the argument that the helper left to the place where systemd looks', async () => {
    const { config } = await loadConfig(['units', 'units/tryboot']);
    const text = await readFile('units/tryboot/otad-reboot.conf', 'utf8');
    const { rebootParamPath } = config.bootloader.tryboot;
    assert.match(text, new RegExp(`^ExecStart=-/usr/bin/cp ${rebootParamPath} ${rebootParamPathDefault}$`, 'm'));
    const request = config.reboot.command.at(-1);
    assert.match(text, new RegExp(`^ExecStart=/usr/bin/rm -f ${request} ${rebootParamPathDefault}$`, 'm'));
    assert.match(text, /^ExecStart=\/usr\/bin\/systemctl --no-block start .*reboot\.target$/m);
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

  test('has one entry for each kind of entry that has a message id, and no other', async () => {
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
