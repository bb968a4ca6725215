import assert from 'node:assert/strict';
import { chmod, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { createHealth, type HealthOptions } from '../../../agent/adapters/health.ts';
import { OtadError } from '../../../agent/core/errors.ts';
import type { CheckResult } from '../../../agent/core/types.ts';

/** Far beyond any answer: only a check that is never ended takes this long. */
const hangMs = 60_000;

let root = '';
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'otad-health-'));
});
afterEach(() => rm(root, { recursive: true }));

/** Time passes only in pauses, at once. */
const aClock = (): HealthOptions['clock'] => {
  let monoMs = 0;
  return {
    now: () => ({ monoMs, wallMs: 0, isSynced: true, random: 0, windows: { download: true, reboot: true } }),
    setTimer(delayMs, fire) {
      const handle = setImmediate(() => {
        monoMs += delayMs;
        fire();
      });
      return { cancel: () => clearImmediate(handle) };
    },
  };
};

const put = async (name: string, script: string, mode = 0o755): Promise<string> => {
  const file = join(root, name);
  await mkdir(join(file, '..'), { recursive: true });
  await writeFile(file, `#!/bin/sh\n${script}\n`);
  await chmod(file, mode);
  return file;
};

const health = (over: Partial<HealthOptions> = {}) =>
  createHealth({
    requiredDirs: [join(root, 'usr/required.d'), join(root, 'etc/required.d')],
    wantedDirs: [join(root, 'usr/wanted.d')],
    checkTimeoutMs: 5000,
    retryMs: 1000,
    systemdUnits: [],
    hasFetchedMetadata: () => true,
    fetchMetadata: () => Promise.resolve(),
    clock: aClock(),
    ...over,
  });

interface Asked {
  readonly purpose?: 'baseline' | 'trial';
  readonly deadlineMs?: number;
  readonly extraChecks?: readonly string[];
  readonly signal?: AbortSignal;
}

const assess = async (over: Partial<HealthOptions> = {}, asked: Asked = {}): Promise<readonly CheckResult[]> => {
  const { purpose = 'trial', deadlineMs = 10_000, extraChecks = [], signal = new AbortController().signal } = asked;
  return (await health(over).assess({ purpose, deadlineMs, extraChecks }, signal)).results;
};

const verdicts = (results: readonly CheckResult[]): Readonly<Record<string, string | null>> =>
  Object.fromEntries(
    results.map((result) => [`${result.isRequired ? 'required' : 'wanted'} ${result.name}`, result.reason]),
  );

/** A check that counts its runs in a file and does as `body` says for run $n. */
const counting = (name: string, body: string): Promise<string> =>
  put(name, `echo x >> ${root}/runs; n=$(wc -l < ${root}/runs); ${body}`);
const runs = async (): Promise<number> => (await readFile(join(root, 'runs'), 'utf8')).length / 2;

describe('checks', () => {
  test('run in the order of their names, later folders replacing earlier ones', async () => {
    await put('usr/required.d/20-b', `echo b >> ${root}/order`);
    await put('usr/required.d/10-a', `echo vendor >> ${root}/order`);
    await put('etc/required.d/10-a', `echo local >> ${root}/order`);
    await put('usr/required.d/30-c', 'exit 1');
    await symlink('/dev/null', join(root, 'etc/required.d/30-c'));
    await put('usr/wanted.d/10-w', `echo w >> ${root}/order; exit 3`);
    assert.deepEqual(verdicts(await assess()), {
      'required agent-fetched-metadata': null,
      'required 10-a': null,
      'required 20-b': null,
      'wanted 10-w': 'exit status 3',
    });
    assert.equal(await readFile(join(root, 'order'), 'utf8'), 'local\nb\nlocal\nb\nw\n');
  });

  test('with no folder at all only the built-in one is there', async () => {
    assert.deepEqual(verdicts(await assess()), { 'required agent-fetched-metadata': null });
  });

  test('that may not be run fail instead of being skipped; documents are no checks', async () => {
    await put('usr/required.d/10-open', 'exit 0', 0o757);
    await put('usr/required.d/20-plain', 'exit 0', 0o644);
    await mkdir(join(root, 'usr/required.d/30-folder'));
    await symlink('/nowhere', join(root, 'usr/required.d/40-dangling'));
    await put('usr/required.d/README', 'words', 0o644);
    await put('usr/required.d/notes.md', 'words', 0o644);
    await put('usr/required.d/.hidden', 'exit 1');
    await put('usr/required.d/50-old.dpkg-old', 'exit 1');
    assert.deepEqual(verdicts(await assess()), {
      'required agent-fetched-metadata': null,
      'required 10-open': 'may be written by others, so it is not run',
      'required 20-plain': 'is not executable',
      'required 30-folder': 'is no regular file',
      'required 40-dangling': 'cannot be read: ENOENT',
    });
  });

  test('in a folder that cannot be read count as failed, and the result names the folder and the error', async () => {
    await put('usr/required.d/10-a', 'exit 0');
    await writeFile(join(root, 'etc'), 'a file where a folder was wanted');
    await symlink('wanted.d', join(root, 'usr/wanted.d'));
    const results = await assess();
    assert.deepEqual(verdicts(results), {
      'required agent-fetched-metadata': null,
      [`required ${join(root, 'etc/required.d')}`]: 'folder cannot be read: ENOTDIR',
      'required 10-a': null,
      [`wanted ${join(root, 'usr/wanted.d')}`]: 'folder cannot be read: ELOOP',
    });
    assert.ok(results.every((result) => result.isPassed === (result.reason === null)));
  });

  test('in a folder without permission count as failed', async () => {
    const folder = join(root, 'usr/required.d');
    await mkdir(folder, { recursive: true });
    await chmod(folder, 0);
    await chmod(root, 0o711);
    // Root passes every mode; nobody does not.
    const isRoot = process.getuid?.() === 0;
    if (isRoot) process.seteuid?.(65_534);
    try {
      assert.equal(verdicts(await assess({ wantedDirs: [] }))[`required ${folder}`], 'folder cannot be read: EACCES');
    } finally {
      if (isRoot) process.seteuid?.(0);
      await chmod(folder, 0o755);
    }
  });

  for (const [kind, isRequired] of [
    ['required', true],
    ['wanted', false],
  ] as const) {
    test(`beyond the limit of 64 count as failed ${kind} ones instead of being left out`, async () => {
      const folder = join(root, 'many');
      for (let n = 10; n < 76; n++) await put(`many/${n}-x`, 'exit 0', 0o644);
      const results = await assess(
        isRequired ? { requiredDirs: [folder], wantedDirs: [] } : { requiredDirs: [], wantedDirs: [folder] },
      );
      const limit = results.find(({ name }) => name === join(folder, '*'));
      assert.equal(limit?.reason, '66 checks, of which only 64 are run');
      assert.deepEqual([limit?.isRequired, limit?.isPassed], [isRequired, false]);
      assert.deepEqual(
        results.filter(({ name }) => name.startsWith('7')).map(({ name }) => name),
        ['70-x', '71-x', '72-x', '73-x'],
      );
    });
  }

  test('that are masked do not count towards the limit', async () => {
    await mkdir(join(root, 'etc/required.d'), { recursive: true });
    for (let n = 10; n < 74; n++) await put(`usr/required.d/${n}-x`, 'exit 1');
    for (let n = 10; n < 74; n++) await symlink('/dev/null', join(root, `etc/required.d/${n}-x`));
    await put('usr/required.d/80-x', 'exit 0');
    assert.deepEqual(verdicts(await assess()), { 'required agent-fetched-metadata': null, 'required 80-x': null });
  });

  test('give the last line of their output as the reason, cleaned and cut', async () => {
    await put('usr/required.d/10', 'echo first; printf "modem \\033[31mdown\\n\\n" >&2; exit 7');
    await put('usr/required.d/20', 'head -c 300000 /dev/zero | tr "\\0" x; exit 1');
    await put('usr/required.d/30', 'kill -KILL $$');
    const found = verdicts(await assess());
    assert.equal(found['required 10'], 'exit status 7: modem [31mdown');
    assert.equal(found['required 20'], `exit status 1: ${'x'.repeat(200)}`);
    assert.equal(found['required 30'], 'ended by SIGKILL');
  });

  test('see neither the sockets nor the settings of the agent', async () => {
    await put('usr/required.d/10', 'test -z "$NOTIFY_SOCKET$LISTEN_FDS$HOME" || { env; exit 1; }; test "$(pwd)" = /');
    process.env.NOTIFY_SOCKET = '/run/systemd/notify';
    try {
      assert.equal(verdicts(await assess())['required 10'], null);
    } finally {
      delete process.env.NOTIFY_SOCKET;
    }
  });

  test('that hang are ended with all that they started', { timeout: hangMs }, async () => {
    await put(
      'usr/required.d/10',
      `trap "" TERM; sh -c 'trap "" TERM; echo $$ > ${root}/inner; sleep 600' & wait; sleep 600`,
    );
    const found = verdicts(await assess({ checkTimeoutMs: 300 }, { deadlineMs: 1 }));
    assert.match(found['required 10'] ?? '', /^no answer within 300 ms/);
    const inner = Number(await readFile(join(root, 'inner'), 'utf8'));
    // Gone, or dead and not yet collected by whoever adopted it.
    const status = await readFile(`/proc/${inner}/stat`, 'utf8').catch(() => `${inner} (sh) Z`);
    assert.match(status, /\) Z/);
  });

  test('that leave something behind holding their output do not hold the verdict', { timeout: hangMs }, async () => {
    // It ends with the folder of this test.
    await put('usr/required.d/10', `setsid sh -c 'while [ -d ${root} ]; do sleep 0.1; done' & exit 0`);
    assert.equal(verdicts(await assess({}, { deadlineMs: 1 }))['required 10'], null);
  });
});

describe('required checks', () => {
  test('are repeated until they pass in two rounds in a row', async () => {
    await counting('usr/required.d/10', 'test $n -ge 3');
    assert.equal(verdicts(await assess())['required 10'], null);
    assert.equal(await runs(), 4);
  });

  test('must pass in two rounds even when the first one is good', async () => {
    await counting('usr/required.d/10', 'test $n -ne 2');
    assert.equal(verdicts(await assess())['required 10'], null);
    assert.equal(await runs(), 4);
  });

  test('that flap have failed, and the reason says so', async () => {
    await counting('usr/required.d/10', 'test $((n % 2)) -eq 1 || { echo down; exit 1; }');
    const found = verdicts(await assess({}, { deadlineMs: 2500 }));
    assert.equal(found['required 10'], 'passed only once before the deadline; before that: exit status 1: down');
    assert.equal(await runs(), 3);
  });

  test('that never pass are given up at the deadline', async () => {
    await counting('usr/required.d/10', 'exit 1');
    const results = await assess({}, { deadlineMs: 5000 });
    assert.equal(results.find((result) => result.name === '10')?.isPassed, false);
    assert.equal(await runs(), 5);
  });

  test('must pass in two rounds even when the deadline is over', async () => {
    await counting('usr/required.d/10', 'exit 0');
    assert.equal(verdicts(await assess({}, { deadlineMs: 0 }))['required 10'], null);
    assert.equal(await runs(), 2);
  });

  test('cut short by the deadline give the reason that they had in their full time', async () => {
    await counting('usr/required.d/10', 'test $n -eq 1 || exec sleep 60; echo no readings; exit 1');
    const found = verdicts(await assess({ checkTimeoutMs: 1200 }, { deadlineMs: 2000 }));
    assert.equal(found['required 10'], 'exit status 1: no readings');
  });

  test('that pass only the first of two rounds after the deadline have failed', async () => {
    await counting('usr/required.d/10', 'test $n -eq 1');
    assert.equal(verdicts(await assess({}, { deadlineMs: 0 }))['required 10'], 'exit status 1');
  });

  test('keep nobody waiting who cancels', async () => {
    await put('usr/required.d/10', 'sleep 600');
    const cancel = new AbortController();
    const running = assess({}, { signal: cancel.signal });
    setTimeout(() => cancel.abort(), 50);
    await assert.rejects(running, { code: 'CANCELLED' });
  });
});

describe('a baseline', () => {
  test('is one round: it excuses only what fails at this moment', async () => {
    await counting('usr/required.d/10', 'exit 1');
    assert.equal(verdicts(await assess({}, { purpose: 'baseline' }))['required 10'], 'exit status 1');
    assert.equal(await runs(), 1);
  });

  test('gives each check its whole time, so that a slow one is not taken for one that fails', async () => {
    await put('usr/required.d/10', 'sleep 600');
    const found = verdicts(await assess({ checkTimeoutMs: 1100 }, { purpose: 'baseline', deadlineMs: 0 }));
    assert.equal(found['required 10'], 'no answer within 1100 ms');
  });
});

describe('checks that a release asks for', () => {
  test('become required, and an unknown one fails', async () => {
    await put('usr/wanted.d/10-w', 'exit 1');
    const found = verdicts(await assess({}, { deadlineMs: 1, extraChecks: ['10-w', '../../bin/true', '99-none'] }));
    assert.deepEqual(found, {
      'required agent-fetched-metadata': null,
      'required 10-w': 'exit status 1',
      'required ../../bin/true': 'this system has no such check',
      'required 99-none': 'this system has no such check',
    });
  });
});

describe('agent-fetched-metadata', () => {
  test('fetches by itself until it has succeeded', async () => {
    let calls = 0;
    const fetchMetadata = (): Promise<void> => {
      calls += 1;
      return calls < 3 ? Promise.reject(new OtadError('HTTP_UNREACHABLE')) : Promise.resolve();
    };
    const found = verdicts(await assess({ hasFetchedMetadata: () => calls >= 3, fetchMetadata }));
    assert.equal(found['required agent-fetched-metadata'], null);
    assert.equal(calls, 3);
  });

  test('asks the server afresh in a baseline, so that an outage there excuses one on the new system', async () => {
    const offline = {
      hasFetchedMetadata: () => true,
      fetchMetadata: () => Promise.reject(new OtadError('HTTP_UNREACHABLE')),
    };
    const found = async (purpose: 'baseline' | 'trial') =>
      verdicts(await assess(offline, { purpose, deadlineMs: 0 }))['required agent-fetched-metadata'];
    assert.match((await found('baseline')) ?? '', /could not be reached/);
    assert.equal(await found('trial'), null);
  });

  test('is tried again until the deadline, whatever stands in the way', async () => {
    let calls = 0;
    const fetchMetadata = (): Promise<void> => {
      calls += 1;
      return Promise.reject(new OtadError(calls % 2 === 0 ? 'HTTP_UNREACHABLE' : 'CAPTIVE_PORTAL'));
    };
    await assess({ hasFetchedMetadata: () => false, fetchMetadata }, { deadlineMs: 300_000 });
    assert.equal(calls, 300);
  });

  test('says why it cannot, and ends a fetch that takes too long', async () => {
    const refused = {
      hasFetchedMetadata: () => false,
      fetchMetadata: () => Promise.reject(new OtadError('CAPTIVE_PORTAL')),
    };
    assert.match(verdicts(await assess(refused))['required agent-fetched-metadata'] ?? '', /captive portal/);
    const hanging = {
      hasFetchedMetadata: () => false,
      checkTimeoutMs: 30,
      fetchMetadata: (signal: AbortSignal) =>
        new Promise<void>((_, reject) => {
          const keepAlive = setTimeout(() => undefined, 60_000);
          signal.addEventListener('abort', () => {
            clearTimeout(keepAlive);
            reject(new OtadError('CANCELLED'));
          });
        }),
    };
    const found = verdicts(await assess(hanging, { deadlineMs: 0 }));
    assert.equal(found['required agent-fetched-metadata'], 'no metadata within 30 ms');
  });
});

describe('systemd-units-active', () => {
  test('names the units that are not', async () => {
    const systemctlPath = await put(
      'systemctl',
      'test "$1 $2" = "is-active --" || exit 9\nshift 2\nbad=0\nfor u; do case $u in up*) echo active;; *) echo failed; bad=3;; esac; done\nexit $bad',
    );
    const units = (...systemdUnits: readonly string[]) => assess({ systemctlPath, systemdUnits }, { deadlineMs: 1 });
    assert.equal(verdicts(await units('up.service', 'up2.service'))['required systemd-units-active'], null);
    assert.equal(
      verdicts(await units('up.service', 'modem.service', 'x.mount'))['required systemd-units-active'],
      'modem.service: failed, x.mount: failed',
    );
  });

  test('says that systemctl cannot be run, or cannot reach systemd', async () => {
    const broken = await put('systemctl', 'echo "Failed to connect to bus" >&2; exit 1');
    const ask = async (systemctlPath: string) =>
      verdicts(await assess({ systemctlPath, systemdUnits: ['a.service', 'b.service'] }, { deadlineMs: 1 }));
    assert.equal((await ask(broken))['required systemd-units-active'], 'exit status 1: Failed to connect to bus');
    assert.match((await ask('/nowhere'))['required systemd-units-active'] ?? '', /could not be started: ENOENT/);
  });
});
