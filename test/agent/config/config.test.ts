import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { loadConfig } from '../../../agent/config/config.ts';
import { socketPaths } from '../../../agent/config/schema.ts';
import { OtadError } from '../../../agent/core/errors.ts';
import { renderReference } from './reference-page.ts';

let root = '';
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'otad-config-'));
});
afterEach(() => rm(root, { recursive: true }));

const put = async (name: string, content: unknown): Promise<string> => {
  const file = join(root, name);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(
    file,
    typeof content === 'string' || content instanceof Uint8Array ? content : JSON.stringify(content),
  );
  return file;
};

const load = () => loadConfig(['usr', 'run', 'etc'].map((name) => join(root, name)));

const refusal = async (): Promise<OtadError> => {
  try {
    await load();
  } catch (error) {
    assert.ok(error instanceof OtadError, String(error));
    return error;
  }
  return assert.fail('nothing was refused');
};

describe('drop-ins', () => {
  test('missing folders give the defaults, each with its origin', async () => {
    const { config, origin } = await load();
    assert.deepEqual({ config, origin }, await loadConfig([]));
    assert.equal(origin['poll.intervalMs'], 'default');
    assert.equal(origin['slots.a.path'], 'default');
    assert.equal(origin['health.requiredDirs'], 'default');
  });

  test('apply by file name across folders, and merge objects', async () => {
    const late = await put('usr/50-site.json', { poll: { intervalMs: 5000 }, channel: 'beta' });
    const early = await put('etc/10-base.json', { poll: { intervalMs: 9000, jitter: 0.5 } });
    const { config, origin } = await load();
    assert.deepEqual(config.poll, { intervalMs: 5000, jitter: 0.5 });
    assert.equal(origin['poll.intervalMs'], late);
    assert.equal(origin['poll.jitter'], early);
    assert.equal(origin.channel, late);
    assert.equal(origin['backoff.minMs'], 'default');
  });

  test('of one file name only the later folder counts', async () => {
    await put('usr/10-default.json', { channel: 'vendor', triesMax: 2 });
    const file = await put('etc/10-default.json', { channel: 'local' });
    const { config, origin } = await load();
    assert.equal(config.channel, 'local');
    assert.equal(config.triesMax, 3);
    assert.equal(origin.channel, file);
  });

  test('a link to /dev/null masks a file', async () => {
    await put('usr/10-default.json', { channel: 'vendor' });
    await mkdir(join(root, 'etc'));
    await symlink('/dev/null', join(root, 'etc/10-default.json'));
    assert.equal((await load()).config.channel, 'stable');
  });

  test('lists are replaced whole, and null replaces an object', async () => {
    await put('usr/10.json', { health: { systemdUnits: ['a.service', 'b.service'] }, api: { tcp: { port: 8080 } } });
    const file = await put('usr/20.json', { health: { systemdUnits: ['c.service'] }, api: { tcp: null } });
    const { config, origin } = await load();
    assert.deepEqual(config.health.systemdUnits, ['c.service']);
    assert.equal(config.api.tcp, null);
    assert.equal(origin['api.tcp'], file);
    assert.ok(!('api.tcp.port' in origin));
  });

  test('other files and hidden files are left alone', async () => {
    await put('etc/README', 'not settings');
    await put('etc/.swp.json', '{');
    assert.deepEqual((await load()).config, (await loadConfig([])).config);
  });
});

describe('CONFIG_UNREADABLE', () => {
  const broken: readonly (readonly [what: string, content: string | Uint8Array, problem: RegExp])[] = [
    ['a missing brace', '{\n  "channel": "beta"\n', /line: 3, column: 1, problem: expected "," or "}", found the end/],
    ['a comment', '{\n  // channel\n}', /line: 2, column: 3, problem: expected a key in double quotes, found "\/"/],
    ['a trailing comma', '{ "triesMax": 3, }', /line: 1, column: 18, problem: expected a key/],
    [
      'a key given twice',
      '{"triesMax":1,\n"triesMax":2}',
      /line: 2, column: 1, problem: the key "triesMax" is given twice/,
    ],
    ['a bare word', '{"channel": beta}', /line: 1, column: 13, problem: expected a value, found "b"/],
    ['two values', '{} {}', /line: 1, column: 4, problem: expected the end of the file/],
    ['bottomless nesting', '{"a":'.repeat(5000), /nested deeper than 32 levels/],
    ['an unclosed string', '{"a": "b\n"}', /line: 1, column: 7, problem: a string is not closed/],
    ['a list', '[]', /problem: expected an object in braces/],
    ['an empty file, as a power cut leaves it', '', /the file is empty/],
    ['bytes that are no UTF-8', new Uint8Array([0x7b, 0xff, 0x7d]), /not UTF-8/],
    ['an oversize file', `{"channel":"${'a'.repeat(300_000)}"}`, /larger than 262144 bytes/],
  ];
  for (const [what, content, problem] of broken) {
    test(`names the file and the place of ${what}`, async () => {
      const file = await put('etc/10.json', content);
      const error = await refusal();
      assert.equal(error.code, 'CONFIG_UNREADABLE');
      assert.equal(error.details.file, file);
      assert.match(error.message, problem);
    });
  }

  test('is the answer to a folder that cannot be listed', async () => {
    await put('etc', 'a file in the place of the folder');
    const error = await refusal();
    assert.equal(error.code, 'CONFIG_UNREADABLE');
    assert.match(error.message, /ENOTDIR/);
  });
});

describe('CONFIG_INVALID', () => {
  const wrong: readonly (readonly [content: unknown, key: string, expected: string, found: string])[] = [
    [{ poll: { intervalMs: 'x' } }, 'poll.intervalMs', 'a whole number from 1000 to 2592000000', '"x"'],
    [{ triesMax: 10 }, 'triesMax', 'a whole number from 1 to 9', '10'],
    [{ baseUrls: ['ftp://x'] }, 'baseUrls.0', 'an http:// or https:// URL without query or fragment', '"ftp://x"'],
    [
      { windows: { timeZone: 'Mars/Base' } },
      'windows.timeZone',
      'a time zone name such as "Europe/Vienna", or null',
      '"Mars/Base"',
    ],
    [{ slots: { a: { path: 'slot-a' } } }, 'slots.a.path', 'an absolute path', '"slot-a"'],
    [{ bootloader: { kind: 'grub' } }, 'bootloader.kind', '"auto" or "uboot" or "systemd-boot" or "tryboot"', '"grub"'],
    [{ api: { tcp: {} } }, 'api.tcp.port', 'a whole number from 0 to 65535', 'nothing'],
    [{ poll: 3 }, 'poll', 'an object', '3'],
    [{ health: { deadlineMs: 1_500_001 } }, 'health.deadlineMs', 'at most health.deadlineMaxMs (1500000)', '1500001'],
    [{ backoff: { minMs: 5000, maxMs: 500 } }, 'backoff.maxMs', 'at least backoff.minMs (5000)', '500'],
    [{ slots: { a: { path: '/x' }, b: { path: '/x' } } }, 'slots.b.path', 'another one than slot a has', '"/x"'],
    [
      { bootloader: { tryboot: { bootFolders: { b: '/boot/a' } } } },
      'bootloader.tryboot.bootFolders.b',
      'another one than slot a has',
      '"/boot/a"',
    ],
    [
      { bootloader: { tryboot: { partitions: { b: 2 } } } },
      'bootloader.tryboot.partitions.b',
      'another one than slot a has',
      '2',
    ],
    [
      { bootloader: { systemdBoot: { entries: { b: 'otad-a' } } } },
      'bootloader.systemdBoot.entries.b',
      'another one than slot a has',
      '"otad-a"',
    ],
    [{ reboot: { command: [] } }, 'reboot.command', 'a list of 1 to 32 items, each a text', '[]'],
  ];
  for (const [content, key, expected, found] of wrong) {
    test(`names file, key, expected and found for ${JSON.stringify(content)}`, async () => {
      const file = await put('etc/10.json', content);
      const { code, details } = await refusal();
      assert.deepEqual({ code, ...details }, { code: 'CONFIG_INVALID', file, key, expected, found });
    });
  }

  test('refuses windows that are no cron expression of five fields', async () => {
    for (const window of ['* 25 * * *', '* * * *', '0 * 2 * * *', '0 0 30 2 *', '@daily', '']) {
      await put('etc/10.json', { windows: { reboot: window } });
      const error = await refusal();
      assert.equal(error.details.key, 'windows.reboot', window);
      assert.match(error.message, /cron expression of five fields/);
    }
  });

  const mistyped: readonly (readonly [content: string, key: string, meant: string | null])[] = [
    ['{"pol": {}}', 'pol', 'poll'],
    ['{"poll": {"interval_ms": 5000}}', 'poll.interval_ms', 'poll.intervalMs'],
    ['{"intervalMs": 5000}', 'intervalMs', 'poll.intervalMs'],
    ['{"triseMax": 2}', 'triseMax', 'triesMax'],
    ['{"colour": "blue"}', 'colour', null],
    ['{"__proto__": {"channel": "x"}}', '__proto__', null],
  ];
  for (const [content, key, meant] of mistyped) {
    test(`refuses the unknown key ${key} and ${meant === null ? 'suggests nothing' : `suggests ${meant}`}`, async () => {
      const file = await put('etc/10.json', content);
      const { code, details } = await refusal();
      assert.deepEqual(
        { code, file: details.file, key: details.key, suggestion: details.suggestion },
        { code: 'CONFIG_INVALID', file, key, suggestion: meant === null ? null : `did you mean ${meant}?` },
      );
    });
  }

  test('blames the file that set the value, not the one that set its neighbour', async () => {
    await put('usr/10.json', { poll: { jitter: 0.2 } });
    const file = await put('run/20.json', { poll: { intervalMs: 1 } });
    assert.equal((await refusal()).details.file, file);
  });

  test('a later good value mends an earlier bad one', async () => {
    await put('usr/10.json', { triesMax: 99 });
    await put('etc/90.json', { triesMax: 2 });
    assert.equal((await load()).config.triesMax, 2);
  });
});

test('the sockets lie in the run directory', () => {
  assert.deepEqual(socketPaths({ runDir: '/run/otad' }), {
    status: '/run/otad/status.sock',
    control: '/run/otad/control.sock',
  });
});

test('docs/reference/config.md is what the schema says', async () => {
  assert.equal(await readFile('docs/reference/config.md', 'utf8'), renderReference());
});
