import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { statusSchema } from '../../../agent/api/schema.ts';
import { createApi } from '../../../agent/api/server.ts';
import { aFailure, aProgress, aRecord, aRelease, aStagedState, FakeAgent } from '../api/fake-agent.ts';
import { apiOptions, openApi, temporaryDirectory } from '../api/open-api.ts';
import {
  assertExit,
  ended,
  otactl,
  otactlOnTerminal,
  otactlPath,
  printed,
  spawnOnTerminal,
  start,
  startOnTerminal,
} from './run-otactl.ts';

/** What ran in slot b before. */
const beforeRecord = aRecord(aRelease('0.9', 0), { status: 'activated' });
const bothGood = { slots: { a: { state: 'good', triesLeft: null }, b: { state: 'good', triesLeft: null } } } as const;

/** For tests that wait for output: a line that never comes must not wait for ever. */
const patience = { timeout: 30_000 };

const offer11 = { release: aRelease('1.1', 2), failure: null, reasons: [], installFailure: null } as const;

const checks: readonly (readonly [string, number, RegExp, Partial<FakeAgent['offer']>])[] = [
  ['nothing new is 2', 2, /1\.0 is the newest/, {}],
  ['a release that installs itself is 0', 0, /1\.1 is new and is being installed/, { ...offer11 }],
  [
    'a release that waits for a technician is 0',
    0,
    /otactl install/,
    { ...offer11, reasons: [{ code: 'manual-install', sentence: 'Installs are manual.' }] },
  ],
  [
    'a release that policy stands against is 3',
    3,
    /1\.1 is not installed now\. Held\./,
    { ...offer11, reasons: [{ code: 'hold', sentence: 'Held.' }] },
  ],
  [
    'a server that is gone is 1',
    1,
    /gone/,
    { release: null, reasons: [], failure: aFailure('HTTP_UNREACHABLE', 'The server is gone.') },
  ],
  [
    'metadata that does not verify is 5',
    5,
    /not signed\. \[METADATA_SIGNATURE_INVALID\]/,
    { release: null, reasons: [], failure: aFailure('METADATA_SIGNATURE_INVALID', 'It is not signed.') },
  ],
];

for (const [claim, code, pattern, offer] of checks) {
  test(`check waits for the end and says it: ${claim}`, async (t) => {
    const { agent, directory } = await openApi(t);
    agent.offer = { ...agent.offer, ...offer };
    assertExit(await otactl(directory, 'check'), code, pattern);
  });
}

test('check with a staged release is 4', async (t) => {
  const agent = new FakeAgent();
  agent.change(aStagedState());
  agent.offer = { ...offer11, reasons: [{ code: 'reboot-window', sentence: 'The window is closed.' }] };
  const { directory } = await openApi(t, agent);
  assertExit(await otactl(directory, 'check'), 4, /waits for its reboot\. Now: otactl reboot/);
});

test('check --json gives the result as a word', async (t) => {
  const { directory } = await openApi(t);
  const { code, out } = await otactl(directory, 'check', '--json');
  assert.equal(code, 2);
  assert.deepEqual(JSON.parse(out), { result: 'nothing-new', message: '1.0 is the newest release.', version: '1.0' });
});

test('check gives up after --timeout and says that otad goes on', async (t) => {
  const { agent, directory } = await openApi(t);
  agent.submit = async () => ({ isAccepted: true, message: 'Will be asked.' });
  assertExit(await otactl(directory, 'check', '--timeout', '0.5'), 1, /Not finished after 0\.5 s; otad goes on/);
});

test('check --no-wait returns at once', async (t) => {
  const { agent, directory } = await openApi(t);
  agent.submit = async () => ({ isAccepted: true, message: 'Will be asked.' });
  assertExit(await otactl(directory, 'check', '--no-wait'), 0, /Will be asked/);
});

test('install follows the download to its end', async (t) => {
  const { agent, directory } = await openApi(t);
  agent.offer = offer11;
  const { code, out } = await otactl(directory, 'install');
  assert.equal(code, 0);
  assert.match(out, /1\.1 is installed and verified in slot b\. Reboots when the window opens\.\n$/);
});

test('install that fails verification is 5 and says why', async (t) => {
  const { agent, directory } = await openApi(t);
  agent.offer = { ...offer11, installFailure: aFailure('VERITY_ROOT_MISMATCH', 'The root is not the signed one.') };
  const result = await otactl(directory, 'install', '--json');
  assert.equal(result.code, 5);
  assert.deepEqual(JSON.parse(result.out), {
    result: 'failed',
    message: 'The root is not the signed one.',
    version: '1.1',
    code: 'VERITY_ROOT_MISMATCH',
  });
});

test('an older install failure is not taken for the one of this install', async (t) => {
  const { agent, directory } = await openApi(t);
  agent.note('install-failed', { code: 'DISK_FULL', reason: 'old' });
  assertExit(await otactl(directory, 'install'), 2, /newest/);
});

test('install of what is installed already is 4', async (t) => {
  const agent = new FakeAgent();
  agent.change(aStagedState());
  agent.offer = { ...offer11, reasons: [{ code: 'up-to-date', sentence: '1.1 is installed already.' }] };
  const { directory } = await openApi(t, agent);
  assertExit(await otactl(directory, 'install'), 4, /1\.1 is installed in slot b and waits for its reboot/);
});

test('reboot, confirm and release have 2 for nothing to do', async (t) => {
  const { directory } = await openApi(t);
  assertExit(await otactl(directory, 'reboot'), 2, /Nothing is staged\. \[NOTHING_TO_DO\]/);
  assertExit(await otactl(directory, 'confirm'), 2, /confirmed/);
  assertExit(await otactl(directory, 'release'), 2, /Nothing is held/);
});

test('reboot of a staged release is 0', async (t) => {
  const agent = new FakeAgent();
  agent.change(aStagedState());
  const { directory } = await openApi(t, agent);
  assertExit(await otactl(directory, 'reboot', '--yes'), 0, /Reboots into 1\.1/);
});

test('a busy agent is 6 for every command that changes something', async (t) => {
  const { agent, directory } = await openApi(t);
  agent.isBusy = true;
  for (const command of ['check', 'install', 'reboot', 'confirm', 'rollback', 'hold', 'release']) {
    assertExit(await otactl(directory, command), 6, /\[BUSY\]/);
  }
});

test('rollback shows from what to what and since when that is proven, and keeps the reason', async (t) => {
  const agent = new FakeAgent({ boot: bothGood });
  agent.change({ records: { a: aRecord(aRelease('1.0', 1)), b: beforeRecord } });
  agent.note('confirmed', { version: '0.9', slot: 'b' });
  const { directory } = await openApi(t, agent);
  const result = await otactl(directory, 'rollback', 'modem', 'is', 'down', '--yes');
  assertExit(result, 0, /The other slot verified\. The gateway reboots into slot b\./);
  assert.match(result.out, /^From {4}1\.0 in slot a, confirmed\nTo {6}0\.9 in slot b, confirmed 2026-11-20 12:00:00\n/);
  assert.match(
    result.out,
    /\nFirst {3}all of slot b is read back and verified; if a byte is wrong, nothing is changed\n/,
  );
  assert.match(result.out, /\nDenied {2}1\.0 is not installed again by itself: modem is down\n/);
  assert.deepEqual(agent.commands, [{ command: 'rollback', reason: 'modem is down' }]);
});

test('rollback without a system to return to is 3, says why and asks nobody', async (t) => {
  const agent = new FakeAgent();
  const { directory } = await openApi(t, agent);
  assertExit(await otactl(directory, 'rollback', '--yes'), 3, /\[NO_ROLLBACK_TARGET\]/);
  agent.commands.length = 0;
  const failed = aRecord(aRelease('1.2', 3), { status: 'denied', reason: 'the bus is dead' });
  agent.change({ records: { a: aRecord(aRelease('1.0', 1)), b: failed } });
  agent.note('installed', { version: '1.2', slot: 'b' });
  const result = await otactlOnTerminal(directory, ['rollback'], '');
  assertExit(result, 3, /To {4,}nothing: slot b holds 1\.2\. Denied: the bus is dead\..*\[NO_ROLLBACK_TARGET\]/s);
  assert.doesNotMatch(result.out, /\[y\/N\]|verified 2026/);
  assert.deepEqual(agent.commands, []);
});

test('rollback whose target does not verify is 5 and says why', async (t) => {
  const agent = new FakeAgent({ boot: bothGood });
  agent.change({ records: { a: aRecord(aRelease('1.0', 1)), b: beforeRecord } });
  agent.rollbackFailure = aFailure('SLOT_READBACK_MISMATCH', 'Block 7 is wrong.');
  const { directory } = await openApi(t, agent);
  assertExit(await otactl(directory, 'rollback', '--yes'), 5, /Block 7 is wrong/);
  // The failure of the rollback before is not taken for the one of this.
  agent.rollbackFailure = null;
  assertExit(await otactl(directory, 'rollback', '--yes'), 0, /verified/);
});

test('--dry-run shows and asks and orders nothing', async (t) => {
  const agent = new FakeAgent({ boot: bothGood });
  agent.change({ records: { a: aRecord(aRelease('1.0', 1)), b: beforeRecord } });
  const { directory } = await openApi(t, agent);
  assertExit(await otactl(directory, 'rollback', '--dry-run'), 0, /To {6}0\.9 in slot b/);
  assertExit(await otactl(directory, 'mark-bad', '--dry-run'), 0, /Bad {5}slot b, 0\.9/);
  agent.change({}, null, { slots: { ...bothGood.slots, b: { state: 'bad', triesLeft: 0 } } });
  assertExit(
    await otactl(directory, 'rollback', '--dry-run'),
    3,
    /not bootable until activated\..*\[NO_ROLLBACK_TARGET\]/s,
  );
  assertExit(
    await otactl(directory, 'mark-bad', 'a', '--dry-run'),
    3,
    /which runs now\nThen +nothing: .*\[NO_ROLLBACK_TARGET\]/s,
  );
  assert.deepEqual(agent.commands, []);
});

test('mark-bad names the slot, keeps the reason, and says when the running one is left', async (t) => {
  const agent = new FakeAgent();
  agent.change({ records: { a: aRecord(aRelease('1.0', 1)), b: beforeRecord } });
  const { directory } = await openApi(t, agent);
  assertExit(await otactl(directory, 'mark-bad', '--reason', 'flash errors', '--yes'), 0, /Slot b is marked bad\.\n$/);
  assertExit(
    await otactl(directory, 'mark-bad', 'A', '--yes'),
    0,
    /Slot a is marked bad\. The next reboot starts 0\.9\. .*otactl reboot/,
  );
  assertExit(await otactl(directory, 'mark-bad', 'c'), 64, /'c' is no slot/);
  assert.deepEqual(agent.commands, [
    { command: 'mark-bad', slot: null, reason: 'flash errors' },
    { command: 'mark-bad', slot: 'a', reason: null },
  ]);
});

test('boot status tells witnesses, slots, devices and problems, and everything with --verbose', async (t) => {
  const agent = new FakeAgent({ boot: { witnesses: [{ name: 'root device', says: '/dev/mmcblk0p2', slot: 'a' }] } });
  agent.change({ records: { a: aRecord(aRelease('1.0', 1)), b: beforeRecord } });
  agent.note('confirmed', { version: '1.0', slot: 'a' });
  const { directory } = await openApi(t, agent);
  const { code, out } = await otactl(directory, 'boot', 'status');
  assert.equal(code, 0);
  for (const fact of [
    /^bootloader {2}U-Boot; \/etc\/fw_env\.config is there$/m,
    /^> a {5}good {3}- {6}1\.0 {6}confirmed 2026-11-20 12:00:00$/m,
    /by-partlabel\/system_b -> \/dev\/mmcblk0p3 \(label system_b, 512\.0 MiB\)/,
    /^root device {2}a {5}\/dev\/mmcblk0p2$/m,
    /^No problem was found\.$/m,
  ]) {
    assert.match(out, fact);
  }
  assert.doesNotMatch(out, /BOOT_ORDER/);
  assert.match((await otactl(directory, 'boot', '--verbose')).out, /^BOOT_ORDER=A B$/m);
  assert.equal(JSON.parse((await otactl(directory, 'boot', '--json')).out).records[0].name, 'BOOT_ORDER');
  assertExit(await otactl(directory, 'boot', 'order'), 64, /does not understand 'order'/);
});

test('hold and release change what status says', async (t) => {
  const { directory } = await openApi(t);
  assertExit(await otactl(directory, 'hold', 'measuring', 'until', 'Friday'), 0, /held/);
  assertExit(await otactl(directory, 'status'), 0, /measuring until Friday/);
  assertExit(await otactl(directory, 'release'), 0, /go on/);
});

test('undeny takes a version or an id, and asks for the id when two releases have one version', async (t) => {
  const agent = new FakeAgent();
  const deny = (id: string, version: string) => ({ release: { id, version, sequence: 3 }, reason: 'x', timeMs: 0 });
  agent.change({ denylist: [deny('x1', '1.2'), deny('y1', '1.3'), deny('y2', '1.3')] });
  const { directory } = await openApi(t, agent);
  assertExit(await otactl(directory, 'undeny', '1.2'), 0, /tried again/);
  assertExit(await otactl(directory, 'undeny', '1.3'), 64, /y1 y2/);
  assertExit(await otactl(directory, 'undeny', 'y2'), 0, /tried again/);
  assertExit(await otactl(directory, 'undeny', '9.9'), 2, /not on the denylist/);
});

test('a question on a terminal is taken for no unless it is answered with yes', async (t) => {
  const agent = new FakeAgent({ boot: bothGood });
  agent.change(aStagedState());
  const { directory } = await openApi(t, agent);
  const atRest = { phase: { kind: 'idle' }, staged: null, records: { a: null, b: beforeRecord } } as const;
  for (const [command, answer] of [
    ['rollback', 'n\n'],
    ['reboot', '\n'],
    ['install', 'nope\n'],
  ] as const) {
    agent.change(command === 'rollback' ? atRest : aStagedState());
    assertExit(await otactlOnTerminal(directory, [command], answer), 1, /\[y\/N\].*Nothing was changed/s);
  }
  assert.equal(agent.commands.length, 0);
  assertExit(await otactlOnTerminal(directory, ['reboot'], 'yes\n'), 0, /Reboot now into 1\.1 in slot b\?/);
  agent.change(atRest);
  assertExit(
    await otactlOnTerminal(directory, ['rollback'], 'y\n'),
    0,
    /From .*To .*Go back to 0\.9 and reboot now\? \[y\/N\].*The other slot verified/s,
  );
  assert.deepEqual(
    agent.commands.map((each) => each.command),
    ['reboot', 'rollback'],
  );
});

test('a terminal gets colours and a bar, unless NO_COLOR says no', patience, async (t) => {
  const { agent, directory } = await openApi(t);
  assert.ok((await otactlOnTerminal(directory, ['status'], '')).out.includes('\u001b[32m'));
  assert.ok(!(await otactlOnTerminal(directory, ['status'], '', { NO_COLOR: '1' })).out.includes('\u001b['));
  agent.offer = offer11;
  let goOn = () => {};
  agent.gate = new Promise((resolve) => {
    goOn = resolve;
  });
  const child = startOnTerminal(directory, ['install', '-y'], '');
  t.after(() => child.kill('SIGKILL'));
  const done = ended(child);
  await printed(child, /\r.*\[#{12}-{12}\] +50\.0 % {2}4\.0 KiB of 8\.0 KiB/);
  goOn();
  assert.equal((await done).code, 0);
});

/** A folder that looks like a copy of a repository, for as long as nobody reads it. */
const aCopy = async (t: TestContext): Promise<string> => {
  const folder = await temporaryDirectory(t);
  await mkdir(join(folder, 'metadata'));
  await writeFile(join(folder, 'metadata/timestamp.json'), '{}');
  return folder;
};

test(
  'Ctrl-C stops an install from a folder, says that it goes on there, and leaves no connection',
  patience,
  async (t) => {
    const parked: Socket[] = [];
    const { agent, directory } = await openApi(t, new FakeAgent(), {
      parkFolder: (_id, socket) => void parked.push(socket.resume()),
    });
    agent.offer = offer11;
    agent.gate = new Promise(() => {});
    const child = start(['install', await aCopy(t), '--yes'], { env: { OTAD_SOCKET_DIR: directory } });
    t.after(() => child.kill('SIGKILL'));
    const done = ended(child);
    await printed(child, /50 %|50\.0 %/);
    const gone = Promise.all(parked.map((socket) => once(socket, 'end')));
    child.kill('SIGINT');
    assertExit(await done, 1, /stopped; what is written is kept, and the same command goes on there\) \[CANCELLED\]/);
    assert.equal((await gone).length, 4);
  },
);

test('Ctrl-C stops the watching of an install from the server, and the install goes on', patience, async (t) => {
  const { agent, directory } = await openApi(t);
  agent.offer = offer11;
  agent.gate = new Promise(() => {});
  const child = start(['install', '--yes'], { env: { OTAD_SOCKET_DIR: directory } });
  t.after(() => child.kill('SIGKILL'));
  const done = ended(child);
  await printed(child, /50 %|50\.0 %/);
  child.kill('SIGINT');
  assertExit(await done, 1, /watching: stopped, install: goes on; .*\[CANCELLED\]/);
  assert.equal(agent.snapshot().state.phase.kind, 'fetching');
});

for (const [key, name] of [
  ['\x03', 'Ctrl-C'],
  ['\x04', 'Ctrl-D'],
] as const) {
  test(`${name} at a question changes nothing, and is no bug`, patience, async (t) => {
    const { agent, directory } = await openApi(t);
    const child = spawnOnTerminal([otactlPath(), 'install'], { OTAD_SOCKET_DIR: directory });
    t.after(() => child.kill('SIGKILL'));
    const done = ended(child);
    await printed(child, /\[y\/N\]/);
    child.stdin?.end(key);
    assertExit(await done, 1, /no answer was given, so nothing was done\)\s+\[CANCELLED\]/);
    assert.deepEqual(agent.commands, []);
  });
}

test('install with a version instead of a folder says what to type, unless a folder is called like it', async (t) => {
  const { agent, directory } = await openApi(t);
  for (const word of ['1.2', 'v2', '2026.11-1'])
    assertExit(
      await otactl(directory, 'install', word),
      64,
      /no folder '.*', and a version cannot be chosen.*otactl undeny/,
    );
  assertExit(await otactl(directory, 'install', './1.2'), 1, /is the stick mounted\?/);
  assert.deepEqual(agent.commands, []);
});

test('watch prints each step, waits for otad to come back, and ends with Ctrl-C as done', patience, async (t) => {
  const directory = await temporaryDirectory(t);
  const agent = new FakeAgent();
  const first = await createApi(apiOptions(agent, directory));
  const child = start(['watch'], { env: { OTAD_SOCKET_DIR: directory } });
  t.after(() => child.kill('SIGKILL'));
  const done = ended(child);
  await printed(child, /1\.0 runs in slot a, confirmed/);
  agent.change({}, aProgress({ totalBytes: 100, doneBytes: 50 }));
  await printed(child, /\[#+-+\] +50\.0 %/);
  await first.close();
  await printed(child, /went away/);
  agent.change(aStagedState());
  const second = await createApi(apiOptions(agent, directory));
  t.after(() => second.close());
  await printed(child, /1\.1 is staged/);
  child.kill('SIGINT');
  assert.equal((await done).code, 0);
});

test('watch --json prints one status a line', patience, async (t) => {
  const { directory } = await openApi(t);
  const child = start(['watch', '--json'], { env: { OTAD_SOCKET_DIR: directory } });
  t.after(() => child.kill('SIGKILL'));
  const done = ended(child);
  await printed(child, /\n/);
  child.kill('SIGINT');
  const { code, out } = await done;
  assert.equal(code, 0);
  for (const line of out.trimEnd().split('\n')) statusSchema.parse(JSON.parse(line));
});
