// The tryboot adapter on real files: what it refuses, what it survives, what it leaves for the reboot.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { OtadError } from '../../../agent/core/errors.ts';
import type { SlotName } from '../../../agent/core/types.ts';
import { type TrybootFiles, trybootFiles } from '../../../bootctl/tryboot/files.ts';
import { checkRebootCommand } from '../../../bootctl/tryboot/reboot-argument.ts';
import { contractVerity } from '../../contract/boot-control.ts';
import { activateB, confirmB, createTrybootMachine, type Pi, rotaAutoboot, startTrial } from './machine.ts';

const { signal } = new AbortController();
const powerOn = { kind: 'power-on' } as const;

const withPi = (claim: string, body: (pi: Pi) => Promise<void>): void => {
  it(claim, async () => {
    const pi = await createTrybootMachine();
    try {
      await body(pi);
    } finally {
      await pi.close();
    }
  });
};

const codeOf = async (step: () => unknown): Promise<string> => {
  try {
    await step();
    return 'done';
  } catch (error) {
    if (error instanceof OtadError) return error.code;
    throw error;
  }
};

/** Every file of the device and what is in it. */
const snapshot = async ({ paths }: Pi): Promise<ReadonlyMap<string, string>> => {
  const entries = await readdir(paths.folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  const contents = await Promise.all(files.sort().map(async (path) => [path, await readFile(path, 'latin1')] as const));
  return new Map(contents);
};

const commandLine = ({ paths }: Pi, slot: SlotName): Promise<string> =>
  readFile(join(paths.bootFolders[slot], 'cmdline.txt'), 'latin1');

const argument = ({ paths }: Pi): Promise<string | null> => readFile(paths.rebootParam, 'latin1').catch(() => null);

const settings = async ({ paths }: Pi): Promise<string> =>
  (await readFile(paths.autoboot, 'latin1')).trimEnd().split('\n').join(' ');

const swapped = '[all] tryboot_a_b=1 boot_partition=3 [tryboot] boot_partition=2';
const asShipped = rotaAutoboot.trimEnd().split('\n').join(' ');

describe('tryboot boot control: what it refuses changes nothing', () => {
  withPi('a device tree that contradicts the kernel command line', async (pi) => {
    await writeFile(join(pi.paths.deviceTree, 'partition'), Buffer.from([0, 0, 0, 3]));
    const before = await snapshot(pi);
    for (const step of [
      () => pi.control.status(signal),
      () => pi.control.invalidate('b', signal),
      () => activateB(pi),
      () => pi.control.markGood('a', signal),
      () => pi.control.prepareReboot(signal),
    ]) {
      assert.equal(await codeOf(step), 'BOOT_EVIDENCE_CONFLICT');
    }
    assert.deepEqual(await snapshot(pi), before);
  });

  withPi('a slot whose kernel would not reset after a panic', async (pi) => {
    const path = join(pi.paths.bootFolders.b, 'cmdline.txt');
    await writeFile(path, 'root=/dev/mapper/root panic=0\n');
    const before = await snapshot(pi);
    assert.equal(await codeOf(() => activateB(pi)), 'BOOT_COMMAND_LINE_UNSAFE');
    assert.deepEqual(await snapshot(pi), before);
    assert.equal((await pi.control.status(signal)).primary, 'a');
  });

  withPi('a missing autoboot.txt where nothing is mounted', async (pi) => {
    await rm(pi.paths.autoboot);
    const control = pi.controlWith({ files: trybootFiles });
    const { evidence } = await control.status(signal);
    assert.ok(evidence.some((line) => line.includes('nothing is mounted in its folder')));
    assert.equal(await codeOf(() => control.markGood('a', signal)), 'BOOT_ENV_UNREADABLE');
    assert.equal((await snapshot(pi)).has(pi.paths.autoboot), false);
  });

  withPi('a slot without a kernel command line', async (pi) => {
    await rm(join(pi.paths.bootFolders.b, 'cmdline.txt'));
    await pi.control.invalidate('b', signal);
    assert.equal(await codeOf(() => activateB(pi)), 'BOOT_ENV_UNREADABLE');
    assert.equal((await pi.control.status(signal)).slots.b.state, 'bad');
  });

  withPi('an autoboot.txt that the firmware does not read whole', async (pi) => {
    await writeFile(pi.paths.autoboot, `${rotaAutoboot}#${'x'.repeat(512)}\n`);
    const before = await snapshot(pi);
    const { booted, primary, evidence } = await pi.control.status(signal);
    assert.deepEqual([booted, primary], ['a', 'a']);
    assert.ok(evidence.some((line) => line.includes('the firmware reads 512')));
    assert.equal(await codeOf(() => pi.control.invalidate('b', signal)), 'BOOT_ENV_UNSUPPORTED');
    assert.deepEqual(await snapshot(pi), before);
  });

  it('a reboot command that drops the argument', async () => {
    for (const command of [
      ['reboot'],
      ['/sbin/reboot'],
      ['busybox', 'reboot'],
      ['systemctl', 'reboot', '--reboot-argument=1'],
    ]) {
      assert.equal(await codeOf(() => checkRebootCommand(command)), 'CONFIG_INVALID', command.join(' '));
    }
    for (const command of [
      ['systemctl', 'reboot'],
      ['systemctl', '--no-block', 'reboot'],
      ['/usr/lib/board/restart'],
    ]) {
      assert.equal(await codeOf(() => checkRebootCommand(command)), 'done', command.join(' '));
    }
  });
});

describe('tryboot boot control: the slot that is to be tried', () => {
  withPi('gets its verity root on its own command line, and loses it when it is invalidated', async (pi) => {
    await activateB(pi);
    const { rootHex, hashOffsetBytes } = contractVerity('b');
    const text = await commandLine(pi, 'b');
    assert.ok(text.endsWith(` panic=10 otad.slot=b otad.root=${rootHex} otad.hashoffset=${hashOffsetBytes}\n`));
    await pi.control.invalidate('b', signal);
    assert.ok((await commandLine(pi, 'b')).endsWith(' panic=10 otad.slot=b\n'));
    assert.ok((await commandLine(pi, 'a')).includes(contractVerity('a').rootHex));
  });

  withPi(
    'keeps the board’s arguments that a new image brings, and gets back those of a file that was cut short',
    async (pi) => {
      await activateB(pi);
      const path = join(pi.paths.bootFolders.b, 'cmdline.txt');
      const whole = await commandLine(pi, 'b');
      await writeFile(path, whole.slice(0, 20));
      await activateB(pi);
      assert.equal(await commandLine(pi, 'b'), whole);
      await writeFile(path, 'root=/dev/new panic=5\n');
      await activateB(pi);
      assert.ok((await commandLine(pi, 'b')).startsWith('root=/dev/new panic=5 otad.slot=b otad.root='));
    },
  );

  withPi('takes one try a boot, however often the reboot is asked for', async (pi) => {
    await activateB(pi);
    for (let count = 0; count < 3; count += 1) {
      await pi.control.prepareReboot(signal);
      assert.equal(await argument(pi), '0 tryboot\n');
      assert.deepEqual((await pi.control.status(signal)).slots.b, { state: 'pending', triesLeft: 2 });
    }
    assert.equal(await pi.reboot(), 'b');
    assert.equal((await pi.control.status(signal)).slots.b.triesLeft, 2);
  });

  withPi('is not started by an argument that was left before it was taken back', async (pi) => {
    for (const takeBack of [
      () => pi.control.invalidate('b', signal),
      () => pi.control.markGood('a', signal),
      () => pi.control.markBad('b', signal),
    ]) {
      await activateB(pi);
      await pi.control.prepareReboot(signal);
      await takeBack();
      assert.equal(await argument(pi), null);
      assert.equal(await pi.reboot(), 'a');
    }
  });

  withPi('is not started by an argument that somebody else left, when nothing is pending', async (pi) => {
    await writeFile(pi.paths.rebootParam, '0 tryboot\n');
    await pi.control.prepareReboot(signal);
    assert.equal(await argument(pi), null);
  });

  withPi('is left by a plain reboot where nothing can be noted', async (pi) => {
    await startTrial(pi);
    await pi.control.status(signal);
    const readOnly = pi.controlWith({
      files: {
        ...trybootFiles,
        replace: async (path) => {
          if (path.includes('intent')) throw new OtadError('BOOT_ENV_UNWRITABLE', { path });
          return trybootFiles.replace(path, Buffer.from('0 tryboot\n'));
        },
      },
    });
    assert.equal(await codeOf(() => readOnly.markBad('b', signal)), 'BOOT_ENV_UNWRITABLE');
    await readOnly.prepareReboot(signal);
    assert.equal(await pi.reboot(), 'a');
    // The core remembers the release as denied, and marks the slot once that can be noted.
    assert.deepEqual((await pi.control.status(signal)).slots.b, { state: 'pending', triesLeft: 2 });
  });

  withPi('does not start where its try cannot be noted: the running default stays up', async (pi) => {
    await activateB(pi);
    const readOnly = pi.controlWith({
      files: {
        ...trybootFiles,
        replace: async (path) => Promise.reject(new OtadError('BOOT_ENV_UNWRITABLE', { path })),
      },
    });
    assert.equal(await codeOf(() => readOnly.prepareReboot(signal)), 'BOOT_ENV_UNWRITABLE');
    assert.equal(await argument(pi), null);
    assert.equal(await pi.reboot(), 'a');
  });
});

describe('tryboot boot control: how a trial ended', () => {
  withPi('without a trace, it has used a try and may be tried again', async (pi) => {
    await startTrial(pi);
    await pi.start({ kind: 'panic' });
    const { slots, primary, evidence } = await pi.control.status(signal);
    assert.deepEqual([primary, slots.b], ['b', { state: 'pending', triesLeft: 2 }]);
    assert.ok(evidence.some((line) => line.includes('left no trace')));
  });

  withPi('with the mark of its system, its try is used and no more: a power cut denies no good release', async (pi) => {
    await startTrial(pi);
    await pi.control.status(signal);
    await pi.start({ kind: 'watchdog' });
    for (let look = 0; look < 2; look += 1) {
      const { slots, primary, evidence } = await pi.control.status(signal);
      assert.deepEqual([primary, slots.b], ['b', { state: 'pending', triesLeft: 2 }]);
      assert.ok(evidence.some((line) => line.includes('fell back before it was confirmed; 2 tries left')));
    }
  });

  withPi('a confirmed slot that does not open three times gives the default to the other good one', async (pi) => {
    await confirmB(pi);
    for (let count = 0; count < 3; count += 1) {
      assert.equal(await pi.start(powerOn, (slot) => slot === 'a'), 'a');
      const { evidence } = await pi.control.status(signal);
      assert.ok(evidence.some((line) => line.includes('slot b is the default and did not start')));
    }
    assert.equal(await settings(pi), asShipped);
    assert.equal(await pi.start(powerOn), 'a');
    assert.equal((await pi.control.status(signal)).slots.b.state, 'bad');
  });
});

describe('tryboot boot control: autoboot.txt', () => {
  withPi('is one sector after the first change, and only its numbers change', async (pi) => {
    await confirmB(pi);
    assert.equal((await readFile(pi.paths.autoboot)).length, 512);
    assert.equal(await settings(pi), swapped);
    await pi.control.markGood('a', signal);
    assert.equal(await settings(pi), asShipped);
  });

  withPi(
    'with a default that was set by hand counts, and is put right before the other slot is written',
    async (pi) => {
      await writeFile(
        pi.paths.autoboot,
        `# hand made\n${rotaAutoboot.replace('=2', '=x').replace('=3', '=2').replace('=x', '=3')}`,
      );
      const { booted, primary, evidence } = await pi.control.status(signal);
      assert.deepEqual([booted, primary], ['a', 'b']);
      assert.ok(evidence.some((line) => line.includes('starts slot b by default and not slot a as noted')));
      const order: string[] = [];
      const noting =
        (write: TrybootFiles['replace']): TrybootFiles['replace'] =>
        (path, bytes) => {
          order.push(basename(path));
          return write(path, bytes);
        };
      const control = pi.controlWith({
        files: {
          ...trybootFiles,
          overwrite: noting(trybootFiles.overwrite),
          replace: noting(trybootFiles.replace),
        },
      });
      await control.invalidate('b', signal);
      assert.equal(order[0], 'autoboot.txt');
      assert.equal(await settings(pi), `# hand made ${asShipped}`);
      assert.equal(await pi.start(powerOn), 'a');
    },
  );

  withPi(
    'that starts a partition of nobody’s is left alone by looking, and put right before an install',
    async (pi) => {
      const text = rotaAutoboot.replace('=2', '=7');
      await writeFile(pi.paths.autoboot, text);
      const { evidence } = await pi.control.status(signal);
      assert.ok(evidence.some((line) => line.includes('default partition 7 (no slot of ours)')));
      assert.equal(await readFile(pi.paths.autoboot, 'latin1'), text);
      await pi.control.invalidate('b', signal);
      assert.equal(await settings(pi), asShipped);
    },
  );

  withPi('that was zeroed starts the first slot, and is written anew from the intent', async (pi) => {
    await confirmB(pi);
    await pi.control.status(signal);
    await writeFile(pi.paths.autoboot, Buffer.alloc(512));
    assert.equal(await pi.start(powerOn), 'a');
    const { slots, primary, evidence } = await pi.control.status(signal);
    assert.deepEqual([primary, slots.a.state, slots.b.state], ['b', 'good', 'good']);
    assert.ok(evidence.some((line) => line.includes('written anew, slot b is the default')));
    assert.equal(await settings(pi), swapped);
    assert.equal(await pi.start(powerOn), 'b');
  });

  withPi('and intent both lost: what runs becomes the default', async (pi) => {
    await confirmB(pi);
    await rm(pi.paths.autoboot);
    for (const path of pi.paths.intents) await rm(path);
    assert.equal((await pi.control.status(signal)).slots.b.state, 'good');
    assert.equal(await settings(pi), swapped);
    assert.equal(await pi.start(powerOn), 'b');
  });
});

describe('tryboot boot control: the intent', () => {
  withPi('is believed from the copy that is whole', async (pi) => {
    await activateB(pi);
    for (const [index, path] of pi.paths.intents.entries()) {
      const whole = await readFile(path);
      await writeFile(path, whole.subarray(0, 100));
      const { slots, evidence } = await pi.control.status(signal);
      assert.equal(slots.b.state, 'pending');
      assert.ok(evidence.some((line) => line.includes(`intent-${index + 1}.json is not whole`)));
      await writeFile(path, whole);
    }
  });

  withPi('is kept with one copy where the other cannot be read or written', async (pi) => {
    await rm(pi.paths.intents[0]);
    await mkdir(pi.paths.intents[0]);
    await activateB(pi);
    assert.equal((await pi.control.status(signal)).slots.b.state, 'pending');
    await startTrial(pi);
    await pi.control.markGood('b', signal);
    assert.equal((await pi.control.status(signal)).slots.b.state, 'good');
  });

  withPi('lost on a trial: the default is good, what runs is on its last try', async (pi) => {
    await startTrial(pi);
    await rm(join(pi.paths.folder, 'data'), { recursive: true });
    const { booted, primary, slots, evidence } = await pi.control.status(signal);
    assert.deepEqual([booted, primary, slots.a.state], ['b', 'a', 'good']);
    assert.deepEqual(slots.b, { state: 'pending', triesLeft: 0 });
    assert.ok(evidence.includes('intent: no whole copy; no trial is known'));
    await pi.control.prepareReboot(signal);
    assert.equal(await pi.reboot(), 'a');
  });
});

describe('tryboot boot control: system calls', () => {
  withPi('a commit is one write of 512 bytes at the start of autoboot.txt, flushed, under the lock', async (pi) => {
    await startTrial(pi);
    await pi.control.status(signal);
    const child = fileURLToPath(new URL('./write-child.js', import.meta.url));
    const { stderr, stdout } = await promisify(execFile)(
      'strace',
      [
        '-f',
        '-y',
        '-qq',
        '-e',
        'trace=pwrite64,write,fsync,ftruncate,openat,rename,flock',
        process.execPath,
        child,
        pi.paths.folder,
      ],
      { timeout: 20_000, maxBuffer: 1 << 26, env: { ...process.env, UV_THREADPOOL_SIZE: '1' } },
    );
    assert.equal(stdout.trim(), 'done');
    const calls = stderr.split('\n').filter((line) => line.includes('autoboot.txt'));
    const written = calls.filter((line) => /(?:pwrite64|write|ftruncate|rename)\(/.test(line));
    assert.equal(written.length, 1, written.join('\n'));
    assert.match(written[0] ?? '', /pwrite64\(.*, 512, 0\) += 512$/);
    assert.ok(calls.findIndex((line) => line.includes('fsync(')) > calls.indexOf(written[0] ?? ''));
    assert.ok(calls.every((line) => !/O_TRUNC|O_CREAT/.test(line)));
    assert.equal(await settings(pi), swapped);
  });

  withPi('a reboot command that loses the argument is refused when the control is made', async (pi) => {
    assert.equal(await codeOf(() => pi.controlWith({ rebootCommand: ['reboot'] })), 'CONFIG_INVALID');
  });
});
