import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmod, writeFile } from 'node:fs/promises';
import { createServer, type RequestListener } from 'node:http';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import {
  configSchema,
  errorSchema,
  historySchema,
  slotsSchema,
  statusSchema,
  whySchema,
} from '../../../agent/api/schema.ts';
import { commandNames } from '../../../agent/cli/usage.ts';
import { aFailure, aRecord, aRelease, aStagedState, FakeAgent } from '../api/fake-agent.ts';
import { openApi, temporaryDirectory } from '../api/open-api.ts';
import { assertExit, ended, otactl, otactlOnTerminal, start } from './run-otactl.ts';

test('status shows what runs, both slots and what comes next', async (t) => {
  const agent = new FakeAgent();
  agent.change(aStagedState());
  const { directory } = await openApi(t, agent);
  const { code, out, err } = await otactl(directory, 'status');
  assert.deepEqual([code, err], [0, '']);
  assert.match(
    out,
    /^1\.0 runs in slot a, confirmed\.\n\nnow +1\.1 is staged in slot b\.\nnext +Reboots when the window opens\.\nto do +nothing\n/,
  );
  assert.match(out, /\n> a +1\.0 +good +verified +Runs now, confirmed\.\n/);
  assert.match(out, /\n {2}b +1\.1 +not bootable +verified +Staged: /);
  assert.match(out, /product +acme-gw, channel stable, otad 0\.1\.0/);
});

test('status says who holds updates, what needs attention and that the clock is not trusted', async (t) => {
  const agent = new FakeAgent({ moment: { isSynced: false } });
  agent.change({
    hold: { reason: 'measuring', sinceMs: 0 },
    attention: aFailure('SLOT_IO', 'Slot b is failing.'),
    denylist: [{ release: aRelease('1.2', 3), reason: 'x', timeMs: 0 }],
  });
  const { directory } = await openApi(t, agent);
  const { out } = await otactl(directory, 'status');
  assert.match(out, /attention +Slot b is failing\. \[SLOT_IO\]\nto do +\S.*\n/);
  assert.match(out, /held +since 1970-01-01 00:00:00~: measuring\n/);
  assert.match(out, /denied +1\.2/);
  assert.match(out, /clock +not synchronised/);
});

test('--json prints the body of the API for every command that looks', async (t) => {
  const { agent, directory } = await openApi(t);
  agent.note('started');
  const bodies = [
    ['status', statusSchema],
    ['slots', slotsSchema],
    ['history', historySchema],
    ['why', whySchema],
    ['config', configSchema],
  ] as const;
  for (const [command, schema] of bodies) {
    const { code, out } = await otactl(directory, command, '--json');
    assert.equal(code, 0, command);
    schema.parse(JSON.parse(out));
  }
});

test('why prints the reasons as sentences', async (t) => {
  const agent = new FakeAgent();
  agent.change({ denylist: [{ release: aRelease('1.2', 3), reason: 'app-serves failed', timeMs: 0 }] });
  const { directory } = await openApi(t, agent);
  assertExit(await otactl(directory, 'why'), 0, /denylist: 1\.2 is denied here .*otactl undeny 1\.2 {2}\(1970-01-01 /);
});

test('history shows the newest entries, and marks times of a clock that was not synchronised', async (t) => {
  const { agent, directory } = await openApi(t);
  agent.note('started', { isTimeSynced: false, reason: 'oldest' });
  agent.note('confirmed', { version: '1.0', slot: 'a' });
  agent.note('install-failed', { version: '1.1', slot: 'b', reason: 'no', code: 'DISK_FULL' });
  const all = await otactl(directory, 'history');
  assertExit(
    all,
    0,
    /^TIME +WHAT +VERSION +SLOT +REASON\n2026-11-20 12:00:00 +install-failed +1\.1 +b +no \[DISK_FULL\]\n/,
  );
  assert.match(all.out, /2026-11-20 12:00:00~ +started .*oldest\n\n~ the clock was not synchronised/);
  const one = await otactl(directory, 'history', '--limit', '1');
  assert.deepEqual(one.out.trimEnd().split('\n').slice(2), [
    '',
    'There may be older entries: otactl history --limit 5',
  ]);
});

test('slots shows device, root and offset, and config every setting with its origin', async (t) => {
  const { directory } = await openApi(t);
  assertExit(
    await otactl(directory, 'slots'),
    0,
    /slot a +\/dev\/disk\/by-partlabel\/system_a\nverity root +10c+\nhash offset +8192\n/,
  );
  assertExit(await otactl(directory, 'config'), 0, /source\.baseUrl +"https:\/\/updates\.example\/gw" +\/etc\/otad\//);
});

test('of a reason that was just given history says only what it left out', async (t) => {
  const { agent, directory } = await openApi(t);
  agent.note('install-failed', { version: '1.2', reason: 'It is wrong. 2.0 MiB came.', code: 'DISK_FULL' });
  agent.note('denied', { version: '1.2', reason: 'It is wrong.' });
  const { out } = await otactl(directory, 'history');
  assert.match(out, /denied +1\.2 +- +It is wrong\.\n.*1\.2 +- +\(as above\) 2\.0 MiB came\. \[DISK_FULL\]\n/);
});

test('history says a reason once, and explains the mark once when every time is doubtful', async (t) => {
  const { agent, directory } = await openApi(t);
  for (const type of ['health-failed', 'denied', 'rolled-back'] as const)
    agent.note(type, { isTimeSynced: false, version: '1.2', reason: 'the bus is dead' });
  const { out } = await otactl(directory, 'history');
  assert.match(out, /rolled-back +1\.2 +- +the bus is dead\n.*denied +1\.2 +- +\(as above\)\n.*\(as above\)\n/);
  assert.ok(!out.includes('~'));
  assert.match(out, /\n\nThe clock was not synchronised at any of these times; they may be wrong\.\n$/);
});

test('config names first the settings files that are left out', async (t) => {
  const problem = { ...aFailure('CONFIG_INVALID', 'Not valid. (file: 95.json, key: poll)'), class: 'config' } as const;
  const { directory } = await openApi(t, new FakeAgent(), { configProblems: [problem] });
  assertExit(await otactl(directory, 'config'), 0, /^Left out: .*95\.json.*\[CONFIG_INVALID\]\n\nKEY/);
  assertExit(await otactl(directory, 'status'), 0, /attention +Not valid.*\[CONFIG_INVALID\]\nto do +.*--check-config/);
});

test('long lines are wrapped on a terminal under their column, and nowhere else', async (t) => {
  const agent = new FakeAgent();
  const reason = 'field bus can1 does not answer; '.repeat(8).trim();
  agent.change({ records: { a: null, b: aRecord(aRelease('1.2', 3), { status: 'denied', reason }) } });
  agent.note('rolled-back', { version: '1.2', reason });
  const { directory } = await openApi(t, agent);
  for (const command of ['status', 'history']) {
    const { out } = await otactlOnTerminal(directory, [command], '', { NO_COLOR: '1' });
    for (const line of out.split(/\r?\n/)) assert.ok(line.length <= 80, `${command}: ${line}`);
    assert.match(out, /\n {30,}\S/, command);
    assert.ok((await otactl(directory, command)).out.includes(reason), command);
  }
});

test('watch ends after --timeout', async (t) => {
  const { directory } = await openApi(t);
  assertExit(await otactl(directory, 'watch', '--timeout', '0.5'), 0, /1\.0 runs in slot a/);
});

test('control sequences from outside never reach the terminal', async (t) => {
  const { agent, directory } = await openApi(t);
  const nasty = '\u001b]0;owned\u0007\u001b[2Jx\u202ey';
  agent.note('halted', { reason: nasty, version: nasty });
  agent.change({ attention: aFailure('SLOT_IO', nasty), hold: { reason: nasty, sinceMs: 0 } });
  for (const command of ['status', 'why', 'history']) {
    const { out } = await otactl(directory, command);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: exactly these must not be there.
    assert.doesNotMatch(out, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/, command);
  }
});

test('without otad every command says how to start it', async () => {
  // No machine of tests runs otad as a service.
  for (const command of ['status', 'check', 'watch', 'hold']) {
    assertExit(await ended(start([command])), 1, /otad is not running: .*systemctl start otad.*\[AGENT_UNREACHABLE\]/);
  }
});

test('where somebody has named the place of the sockets, nobody is told to start a service', async (t) => {
  const directory = await temporaryDirectory(t);
  for (const [options, name] of [
    [['--socket', directory], '--socket'],
    [[], 'OTAD_SOCKET_DIR'],
  ] as const) {
    const result = await otactl(directory, 'status', ...options);
    assertExit(result, 1, new RegExp(`Nobody answers at ${directory}/status.sock. ${name} names that place`));
    assert.match(result.err, /while its gateway reboots, nobody answers; try again then\. \[AGENT_UNREACHABLE\]/);
    assert.doesNotMatch(result.err, /systemctl/);
  }
  const { code, out } = await otactl(directory, 'status', '--json');
  assert.equal(code, 1);
  assert.equal(errorSchema.parse(JSON.parse(out)).error.code, 'AGENT_UNREACHABLE');
});

test('a user who may not use the control socket is told about sudo and the group', async (t) => {
  const { api, directory } = await openApi(t);
  const env = { OTAD_SOCKET_DIR: directory };
  // Root passes every mode; nobody does not.
  const isRoot = process.getuid?.() === 0;
  await chmod(directory, 0o755);
  if (!isRoot) await chmod(api.addresses.control, 0);
  const uid = isRoot ? { uid: 65_534 } : {};
  assertExit(await ended(start(['status'], { env, ...uid })), 0, /runs in slot a/);
  assertExit(await ended(start(['hold'], { env, ...uid })), 3, /sudo.*otad-admin/);
});

const serveAt = async (t: TestContext, listener: RequestListener): Promise<string> => {
  const directory = await temporaryDirectory(t);
  const server = createServer(listener).listen(join(directory, 'status.sock'));
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return directory;
};

const strange: readonly (readonly [string, RequestListener])[] = [
  ['is not JSON', (_, response) => void response.end('<html>')],
  ['is not an object', (_, response) => void response.end('5')],
  ['is an error of no known shape', (_, response) => void response.writeHead(500).end('{"error":{"code":"toString"}}')],
  [
    'breaks off',
    (_, response) => {
      response.writeHead(200, { 'content-length': '100' }).write('{');
      setImmediate(() => response.destroy());
    },
  ],
  [
    'never ends',
    (_, response) => {
      const more = () => {
        if (response.destroyed) return;
        if (response.write('x'.repeat(65_536))) setImmediate(more);
        else response.once('drain', more);
      };
      more();
    },
  ],
];

for (const [claim, listener] of strange) {
  test(`an answer that ${claim} is an error, not a crash`, async (t) => {
    const directory = await serveAt(t, listener);
    const { code, err } = await otactl(directory, 'status');
    assert.equal(code, 1);
    assert.match(err, /\[AGENT_UNREACHABLE\]\n$/);
    assert.doesNotMatch(err, /\n {4}at /);
  });
}

test('an otad that does not answer is given up after --timeout', async (t) => {
  const directory = await serveAt(t, () => {});
  assertExit(await otactl(directory, 'status', '--timeout', '0.3'), 1, /did not answer .* within 0\.3 s/);
});

test('--socket names a directory or one socket, and wins over the environment', async (t) => {
  const { api, directory } = await openApi(t);
  assertExit(await otactl('/nowhere', 'status', '--socket', directory), 0, /runs in slot a/);
  assertExit(await otactl('/nowhere', 'hold', '--socket', api.addresses.control), 0, /held/);
  assertExit(await otactl('/nowhere', 'hold', '--socket', api.addresses.status), 3, /read-only/);
});

test('a pipe that closes early is no error', async (t) => {
  const { directory } = await openApi(t);
  const child = start(['status'], { env: { OTAD_SOCKET_DIR: directory } });
  child.stdout?.destroy();
  assert.equal((await ended(child)).code, 0);
});

test('wrong usage is 64, says what is meant and changes nothing', async (t) => {
  const { agent, directory } = await openApi(t);
  assertExit(await otactl(directory), 64, /^otactl needs a command\.\nHelp: otactl --help\n$/);
  const typo = await otactl(directory, 'statsu');
  assertExit(typo, 64, /^otactl has no command 'statsu'\. Did you mean: otactl status\nHelp: otactl status --help\n$/);
  assert.equal(typo.out, '');
  assertExit(await otactl(directory, 'reboot', '--force'), 64, /no option '--force'/);
  assertExit(await otactl(directory, 'completion', 'tcsh'), 64, /no completion for 'tcsh'/);
  assert.equal(agent.commands.length, 0);
});

test('help goes to standard output and is no error', async (t) => {
  const directory = await temporaryDirectory(t);
  for (const args of [['--help'], ['help', 'rollback'], ['rollback', '-h']]) {
    const { code, out, err } = await otactl(directory, ...args);
    assert.deepEqual([code, err], [0, '']);
    assert.match(out, /^(otactl: |Usage: otactl rollback \[REASON\])/);
  }
});

test('--version names the version', async (t) => {
  assertExit(await otactl(await temporaryDirectory(t), '--version'), 0, /^otactl 0\.1\.0\n$/);
});

test('the bash completion completes commands and the options of a command', async (t) => {
  const directory = await temporaryDirectory(t);
  const { out } = await otactl(directory, 'completion', 'bash');
  const script = join(directory, 'completion');
  await writeFile(script, out);
  const complete = (words: readonly string[]) =>
    spawnSync(
      'bash',
      [
        '--norc',
        '-c',
        `. "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _otactl; echo "\${COMPREPLY[*]}"`,
        script,
        ...words,
      ],
      { encoding: 'utf8' },
    ).stdout.trim();
  assert.equal(complete(['otactl', 'rel']), 'release');
  assert.equal(complete(['otactl', 'history', '--li']), '--limit');
  assert.equal(complete(['otactl', '--json', 'rollback', '--y']), '--yes');
  assert.equal(complete(['otactl', 'completion', 'f']), 'fish');
});

test('completion for zsh and fish names every command', async (t) => {
  const directory = await temporaryDirectory(t);
  for (const shell of ['zsh', 'fish']) {
    const { out } = await otactl(directory, 'completion', shell);
    for (const name of commandNames) assert.ok(out.includes(name), `${shell} ${name}`);
  }
});
