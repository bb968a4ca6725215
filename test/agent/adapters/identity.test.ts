import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import {
  deviceIdOf,
  parseOsRelease,
  readBootId,
  readDeviceId,
  readOsRelease,
  wavePercent,
} from '../../../agent/adapters/identity.ts';
import { agentVersion } from '../../../agent/version.ts';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'otad-identity-'));
});
afterEach(() => rm(folder, { recursive: true }));

const put = async (name: string, content: string): Promise<string> => {
  await writeFile(join(folder, name), content);
  return join(folder, name);
};

describe('the device id', () => {
  test('is what openssl makes of the machine id and otad’s own id', async () => {
    const machineId = '0123456789abcdef0123456789abcdef';
    await put('application', '');
    await writeFile(join(folder, 'application'), Buffer.from('5f1c2a7e9d0b4c638e44f0b8a1d36c97', 'hex'));
    const printed = execFileSync(
      'openssl',
      ['dgst', '-sha256', '-mac', 'HMAC', '-macopt', `hexkey:${machineId}`, join(folder, 'application')],
      { encoding: 'utf8' },
    );
    const hex = /([0-9a-f]{64})\s*$/.exec(printed)?.[1] ?? '';
    // All but the digits that mark a version 4 UUID.
    const unmarked = (id: string): string => `${id.slice(0, 12)}${id.slice(13, 16)}${id.slice(17, 32)}`;
    const id = await readDeviceId(await put('machine-id', `${machineId}\n`));
    assert.equal(unmarked(id), unmarked(hex));
    assert.match(id, /^[0-9a-f]{12}4[0-9a-f]{3}[89ab][0-9a-f]{15}$/);
    assert.ok(!id.includes(machineId.slice(0, 8)));
  });

  test('may come from any text of the gateway’s own', () => {
    const ids = ['SN-0001', 'SN-0002', '0123456789ABCDEF0123456789ABCDEF'].map(deviceIdOf);
    assert.equal(new Set(ids).size, 3);
  });

  test('is refused where there is none yet', async () => {
    for (const path of [await put('empty', '\n'), await put('early', 'uninitialized\n'), join(folder, 'missing')]) {
      await assert.rejects(readDeviceId(path), { code: 'CONFIG_UNREADABLE' });
    }
  });
});

test('the boot id is the kernel’s', async () => {
  assert.equal(await readBootId(), (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim());
  assert.equal(await readBootId(await put('boot_id', 'boot-7\n')), 'boot-7');
});

describe('the place in a rollout', () => {
  const places = (release: string): readonly number[] =>
    Array.from({ length: 10_000 }, (_, n) => wavePercent(deviceIdOf(`SN-${n}`), release));

  test('is spread evenly over [0, 100)', () => {
    const all = places('r-1');
    assert.ok(all.every((place) => place >= 0 && place < 100));
    for (let tenth = 0; tenth < 10; tenth++) {
      const count = all.filter((place) => Math.floor(place / 10) === tenth).length;
      assert.ok(count > 880 && count < 1120, `${tenth}: ${count}`);
    }
  });

  test('is the same each time, and another one for each release', () => {
    assert.equal(wavePercent('device', 'r-1'), wavePercent('device', 'r-1'));
    const [first, second] = [places('r-1'), places('r-2')];
    const bothEarly = first.filter((place, n) => place < 10 && (second[n] ?? 0) < 10).length;
    assert.ok(bothEarly < 160, `${bothEarly}`);
  });
});

describe('os-release', () => {
  const text = [
    '# comment',
    'NAME="A \\"quoted\\" \\$name"',
    "IMAGE_ID='gateway'",
    'IMAGE_VERSION=1.2',
    'EMPTY=',
    'lower=x',
    'SPACED = x',
    'OTAD_BUILD_TIME=1760000000',
    'OTAD_RELEASE="acme-gw-1.2"',
    'OTAD_SEQUENCE=7',
    '  OTAD_COMPATIBLE="acme-gw"  ',
    'DOUBLE=1',
    'DOUBLE=2',
  ].join('\n');

  test('is read as a shell would', () => {
    assert.deepEqual(Object.fromEntries(parseOsRelease(text)), {
      NAME: 'A "quoted" $name',
      IMAGE_ID: 'gateway',
      IMAGE_VERSION: '1.2',
      EMPTY: '',
      OTAD_BUILD_TIME: '1760000000',
      OTAD_RELEASE: 'acme-gw-1.2',
      OTAD_SEQUENCE: '7',
      OTAD_COMPATIBLE: 'acme-gw',
      DOUBLE: '2',
    });
  });

  test('agrees with sh on this machine’s own file', async () => {
    const own = await readFile('/etc/os-release', 'utf8');
    for (const [name, value] of parseOsRelease(own)) {
      const shell = execFileSync('sh', ['-c', `. /etc/os-release; printf %s "$${name}"`], {
        encoding: 'utf8',
        env: {},
      });
      assert.equal(value, shell, name);
    }
  });

  test('of the first readable path counts, and none gives nulls', async () => {
    const file = await put('os-release', text);
    assert.deepEqual(await readOsRelease([join(folder, 'missing'), file]), {
      imageId: 'gateway',
      imageVersion: '1.2',
      compatible: 'acme-gw',
      hardwareRevision: null,
      buildTimeS: 1_760_000_000,
      release: { id: 'acme-gw-1.2', version: '1.2', sequence: 7 },
    });
    const none = {
      imageId: null,
      imageVersion: null,
      compatible: null,
      hardwareRevision: null,
      buildTimeS: 0,
      release: null,
    };
    assert.deepEqual(await readOsRelease([join(folder, 'missing')]), none);
  });
});

test('the agent’s version is the package’s', async () => {
  assert.equal(agentVersion, JSON.parse(await readFile('package.json', 'utf8')).version);
});
