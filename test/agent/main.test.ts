// The daemon as a process: what it says to systemd and to the journal, and what it does where something it needs is not
// there. That it updates is shown in test/e2e.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { StatusBody } from '../../agent/api/schema.ts';
import { createClient, socketsAt } from '../../agent/cli/client.ts';
import { messageIds } from '../../agent/log/message-ids.ts';
import { parseFwEnvConfig } from '../../bootctl/uboot/fw-env-config.ts';
import { formatEnvironment } from '../../bootctl/uboot/medium.ts';
import { anEcdsaKey } from '../conformance/other-keys.ts';
import { setKeys } from '../conformance/publishing.ts';
import { type Datagram, runWithDatagrams } from '../support/datagrams.ts';
import { aRepository, signFile } from '../support/tuf-repository.ts';

const main = join(import.meta.dirname, '../../agent/main.js');
const startMsMax = 20_000;

const aBoard = async (folder: string): Promise<string> => {
  const place = (name: string): string => join(folder, name);
  for (const name of ['a', 'b', 'env']) {
    await writeFile(place(name), '');
    await truncate(place(name), 1 << 20);
  }
  await writeFile(place('fw_env.config'), `${place('env')} 0x0 0x1000\n${place('env')} 0x1000 0x1000\n`);
  const config = parseFwEnvConfig(`${place('env')} 0x0 0x1000\n${place('env')} 0x1000 0x1000\n`, 'TEST');
  await formatEnvironment(config, new Map(Object.entries({ BOOT_ORDER: 'A', BOOT_A_LEFT: '3', otad_seq: '1' })));
  await writeFile(place('device-id'), '0123456789abcdef0123456789abcdef\n');
  await writeFile(place('cmdline'), 'otad.slot=a\n');
  await mkdir(place('config'));
  const settings = {
    compatible: 'acme-gateway',
    baseUrls: ['http://127.0.0.1:9/'],
    slots: { a: { path: place('a') }, b: { path: place('b') } },
    bootloader: {
      kind: 'uboot',
      uboot: { fwEnvConfigPath: place('fw_env.config') },
      commandLinePath: place('cmdline'),
    },
    stateDir: place('state'),
    runDir: place('run'),
    deviceIdPath: place('device-id'),
    api: { controlGroup: null },
  };
  await writeFile(join(place('config'), '50-test.json'), JSON.stringify(settings));
  return place('config');
};

test('a daemon whose socket cannot be made says so and ends, instead of staying as half a daemon', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'otad-main-'));
  try {
    const configDir = await aBoard(folder);
    await mkdir(join(folder, 'run/status.sock'), { recursive: true });
    const { status, stderr } = spawnSync(process.execPath, [main, '--config-dir', configDir], {
      encoding: 'utf8',
      timeout: startMsMax,
      killSignal: 'SIGKILL',
    });
    assert.equal(status, 1, stderr);
    assert.match(stderr, /^otad: SOCKET_UNUSABLE: /);
  } finally {
    await rm(folder, { recursive: true });
  }
});

const wrongPath = (key: string, path: string): object =>
  key.split('.').reduceRight<unknown>((inner, name) => ({ [name]: inner }), path) as object;

for (const [key, file, code] of [
  ['uboot.fwEnvConfigPath', 'no-fw_env.config', 'BOOT_ENV_UNREADABLE'],
  ['commandLinePath', 'no-cmdline', 'BOOT_EVIDENCE_MISSING'],
] as const) {
  test(`a start without its ${key} names the file and the code`, async () => {
    const folder = await mkdtemp(join(tmpdir(), 'otad-main-'));
    try {
      const configDir = await aBoard(folder);
      await writeFile(
        join(configDir, '60-wrong.json'),
        JSON.stringify({ bootloader: wrongPath(key, join(folder, file)) }),
      );
      const { status, stderr } = spawnSync(process.execPath, [main, '--config-dir', configDir], {
        encoding: 'utf8',
        timeout: startMsMax,
        killSignal: 'SIGKILL',
      });
      assert.equal(status, 1, stderr);
      assert.match(stderr, new RegExp(`^otad: ${code}: .*${file}, errno: ENOENT`));
    } finally {
      await rm(folder, { recursive: true });
    }
  });
}

test('--check-config does not call settings right that this machine does not fit', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'otad-main-'));
  try {
    const configDir = await aBoard(folder);
    const check = () =>
      spawnSync(process.execPath, [main, '--check-config', '--config-dir', configDir], { encoding: 'utf8' });
    assert.deepEqual([check().status, check().stdout], [0, 'The settings are well formed.\n']);
    const wrong = { bootloader: wrongPath('uboot.fwEnvConfigPath', join(folder, 'no-fw_env.config')) };
    await writeFile(join(configDir, '60-wrong.json'), JSON.stringify(wrong));
    const { status, stdout } = check();
    assert.equal(status, 0);
    assert.match(
      stdout,
      /^The settings are well formed, but this machine does not fit them\.\nNot usable on this machine: .*no-fw_env\.config/,
    );
  } finally {
    await rm(folder, { recursive: true });
  }
});

/** A root that is sound but for the kind of its only root key. */
const ecdsaRoot = (): Uint8Array => {
  const key = anEcdsaKey();
  const { root } = aRepository();
  setKeys(root, 'root', [key]);
  return signFile(root, [key]);
};

/** The first status of a daemon that is coming up. */
const firstStatus = async (runDir: string): Promise<StatusBody> => {
  const api = createClient(socketsAt(runDir), 1000);
  const over = AbortSignal.timeout(startMsMax);
  for (;;) {
    const status = await api.get<StatusBody>('/v1/status').catch(() => null);
    if (status !== null) return status;
    over.throwIfAborted();
    await delay(20);
  }
};

for (const [what, content] of [
  ['without a trust root', null],
  ['with a damaged trust root', '{"signed":'],
  ['with a trust root of an ECDSA key', ecdsaRoot()],
] as const) {
  test(`${what} it runs, and says that nothing is installed`, async () => {
    const folder = await mkdtemp(join(tmpdir(), 'otad-main-'));
    const root = join(folder, 'root.json');
    if (content !== null) await writeFile(root, content);
    const args = [main, '--config-dir', await aBoard(folder), '--trust-root', root];
    const child = spawn(process.execPath, args, { stdio: 'ignore' });
    const ended = once(child, 'exit');
    try {
      const { attention } = await firstStatus(join(folder, 'run'));
      assert.equal(attention?.code, 'TRUST_ROOT_MISSING');
      assert.match(attention.message, /nothing is installed/i);
    } finally {
      child.kill();
      await ended;
      await rm(folder, { recursive: true });
    }
  });
}

test('under systemd it says that it is up, feeds the watchdog, and writes its history to the journal', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'otad-main-'));
  try {
    const configDir = await aBoard(folder);
    const started = `MESSAGE_ID=${messageIds.started}`;
    const saying = (datagrams: readonly Datagram[], name: string, line: string): boolean =>
      datagrams.some((datagram) => datagram.name === name && `${datagram.bytes}`.split('\n').includes(line));
    const isAllSaid = (datagrams: readonly Datagram[]): boolean =>
      saying(datagrams, 'notify', 'READY=1') &&
      saying(datagrams, 'notify', 'WATCHDOG=1') &&
      saying(datagrams, 'journal', started);
    const args = ['--config-dir', configDir, '--trust-root', join(folder, 'none.json')];
    const { datagrams, exitCode } = await runWithDatagrams(main, args, {
      names: ['journal', 'notify'],
      env: { WATCHDOG_USEC: '200000' },
      end: { when: isAllSaid, endMs: startMsMax },
    });
    const said = datagrams.map(({ name, bytes }) => `${name}: ${bytes}`);
    assert.ok(isAllSaid(datagrams), said.join('\n'));
    const firstNotice = said.find((text) => text.startsWith('notify: '));
    assert.match(firstNotice ?? '', /^notify: READY=1\nSTATUS=./, 'nothing is told before it is up');
    const entry = said.find((text) => text.includes(started)) ?? '';
    for (const line of ['OTAD_HISTORY=started', 'SYSLOG_IDENTIFIER=otad', 'PRIORITY=6', 'OTAD_SLOT=a']) {
      assert.ok(entry.split('\n').includes(line), `${line} is not in ${entry}`);
    }
    assert.equal(said.filter((text) => text === 'notify: STOPPING=1').length, 1);
    assert.equal(exitCode, 0);
  } finally {
    await rm(folder, { recursive: true });
  }
});
