import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { loadConfig } from '../../agent/config/config.ts';
import { enabled } from '../../image/agent-layer.ts';

const systemUnits = '/usr/lib/systemd/system';
const minuteMs = 60_000;

let folder = '';
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'otad-start-order-'));
});
after(() => rm(folder, { recursive: true }));

/** A folder with our units, whose programs are there, and these of systemd. */
const aPlace = async (name: string, ...others: readonly string[]): Promise<string> => {
  const place = join(folder, name);
  await mkdir(place);
  for (const file of await readdir('units')) {
    if (!/\.(?:service|socket|timer|path)$/.test(file)) continue;
    const text = await readFile(join('units', file), 'utf8');
    const here = text
      .replace('ExecStart=/usr/bin/node', `ExecStart=${process.execPath}`)
      .replaceAll('=/usr/lib/otad/trial', `=${resolve('units/trial')}`);
    await writeFile(join(place, file), here);
  }
  for (const other of others) await cp(join(systemUnits, other), join(place, other));
  return place;
};

/** What systemd itself makes of a unit, what it adds by itself included. */
const loadedUnit = (place: string, name: string) => {
  const { status, stdout, stderr } = spawnSync('systemd-analyze', ['verify', '--man=no', join(place, name)], {
    encoding: 'utf8',
    env: { ...process.env, SYSTEMD_LOG_LEVEL: 'debug', SYSTEMD_LOG_TARGET: 'console' },
  });
  assert.equal(status, 0, stderr);
  const values = (key: string): readonly string[] =>
    [...stdout.matchAll(new RegExp(`^\\s+${key}: (\\S+)`, 'gm'))].map(([, value = '']) => value);
  assert.deepEqual(values('Fragment Path'), [join(place, name)]);
  return { values, stderr };
};

const pulls = ['Requires', 'Requisite', 'BindsTo', 'Wants', 'After'];

describe("the dead man's timer and its service", () => {
  // There before any unit is started, each of them.
  const always = ['system.slice', 'systemd-journald.socket'];

  test('wait for nothing of the start, whatever part of it may hang or fail', async () => {
    const place = await aPlace('waits');
    const timer = loadedUnit(place, 'otad-deadman.timer');
    const service = loadedUnit(place, 'otad-deadman.service');
    for (const key of pulls) {
      assert.deepEqual(timer.values(key), [], key);
      assert.deepEqual(
        service.values(key).filter((name) => !always.includes(name)),
        [],
        key,
      );
    }
  });

  test('are ended by the shutdown and by nothing else, emergency and rescue mode included', async () => {
    const place = await aPlace('ends');
    for (const name of ['otad-deadman.timer', 'otad-deadman.service']) {
      const { values } = loadedUnit(place, name);
      assert.deepEqual(values('Conflicts'), ['shutdown.target'], name);
      assert.ok(values('Before').includes('shutdown.target'), name);
      assert.deepEqual(values('IgnoreOnIsolate'), ['yes'], name);
      assert.deepEqual([...values('PartOf'), ...values('StopPropagatedFrom')], [], name);
    }
  });

  test('are part of every start from its first moment, without a circle', async () => {
    const place = await aPlace('circle', 'sysinit.target');
    await mkdir(join(place, 'sysinit.target.wants'));
    await symlink('../otad-deadman.timer', join(place, 'sysinit.target.wants/otad-deadman.timer'));
    const { values, stderr } = loadedUnit(place, 'sysinit.target');
    assert.ok(values('Wants').includes('otad-deadman.timer'));
    assert.doesNotMatch(stderr, /cycle/);
    assert.match(stderr, /otad-deadman\.timer\/start/);
  });

  test('need no folder that is mounted or made during the start', async () => {
    const text = await readFile('units/otad-deadman.service', 'utf8');
    assert.doesNotMatch(text, /^(?:PrivateTmp|PrivateDevices|\w+Directory|User|DynamicUser)=/m);
  });

  test('leave the longest trial that otad takes five minutes for the start and the last checks', async () => {
    const { values } = loadedUnit(await aPlace('time'), 'otad-deadman.timer');
    const [time = '', ...others] = values('OnStartupSec');
    assert.deepEqual([others, values('OnBootSec'), values('OnActiveSec')], [[], [], []]);
    const minutes = Number(/^([0-9]+)min$/.exec(time)?.[1]);
    const { config } = await loadConfig(['units']);
    assert.equal(minutes * minuteMs, config.health.deadlineMaxMs + 5 * minuteMs);
    assert.ok(config.health.deadlineMs <= config.health.deadlineMaxMs);
  });
});

test('otad waits for no clock: where no time server answers it starts all the same', async () => {
  const { values } = loadedUnit(await aPlace('clock'), 'otad.service');
  for (const key of pulls) {
    const clocks = values(key).filter((name) => /^(?:time-|systemd-time)/.test(name));
    assert.deepEqual(clocks, [], key);
  }
});

test('the image has the links that systemctl enable makes', async () => {
  const root = join(folder, 'root');
  await mkdir(join(root, systemUnits), { recursive: true });
  const units = (await readdir('units')).filter((file) => /\.(?:service|socket|timer|path)$/.test(file));
  const wanted: string[] = [];
  for (const unit of units) {
    await cp(join('units', unit), join(root, systemUnits, unit));
    if (/^\[Install\]$/m.test(await readFile(join('units', unit), 'utf8'))) wanted.push(unit);
  }
  const { status, stderr } = spawnSync('systemctl', [`--root=${root}`, 'enable', ...wanted], { encoding: 'utf8' });
  assert.equal(status, 0, stderr);
  const links: string[] = [];
  const etc = join(root, 'etc/systemd/system');
  for (const target of await readdir(etc)) {
    for (const unit of await readdir(join(etc, target))) links.push(`${target}/${unit}`);
  }
  assert.deepEqual(links.sort(), [...enabled].sort());
});
