import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, constants, openSync, writeSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { inheritedSockets } from '../../../agent/adapters/inherited-descriptors.ts';
import { createNotify, watchdogIntervalMs } from '../../../agent/adapters/notify.ts';
import { runWithDatagrams } from '../../support/datagrams.ts';

const childFile = fileURLToPath(new URL('./notify-child.js', import.meta.url));

const texts = (run: { datagrams: readonly { name: string; bytes: Buffer }[] }): readonly string[] =>
  run.datagrams.map(({ name, bytes }) => `${name}: ${bytes.toString()}`);

describe('on the inherited descriptor', () => {
  test('READY, the newest status and STOPPING go out, one datagram each', async () => {
    const run = await runWithDatagrams(childFile, ['alive'], { names: ['journal', 'notify'] });
    assert.equal(run.exitCode, 0);
    assert.deepEqual(texts(run), [
      'notify: READY=1\nSTATUS=idle READY=0',
      'notify: STATUS=verifying 1.1',
      'notify: STOPPING=1',
    ]);
  });

  test('the watchdog is pinged while the service is alive', async () => {
    const run = await runWithDatagrams(childFile, ['alive'], { names: ['notify'], env: { WATCHDOG_USEC: '20000' } });
    assert.ok(texts(run).filter((text) => text === 'notify: WATCHDOG=1').length >= 3);
  });

  test('the watchdog is not pinged while the service is stuck', async () => {
    const run = await runWithDatagrams(childFile, ['stuck'], { names: ['notify'], env: { WATCHDOG_USEC: '20000' } });
    assert.equal(run.exitCode, 0);
    assert.ok(!texts(run).some((text) => text.includes('WATCHDOG')));
  });
});

test('without the descriptor systemd-notify says the same on the socket path', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'otad-notify-'));
  const run = await runWithDatagrams(childFile, ['alive'], { names: [], notifyPath: join(folder, 'socket') });
  await rm(folder, { recursive: true });
  const said = texts(run).filter((text) => !text.includes('BARRIER'));
  assert.deepEqual(said, ['path: READY=1\nSTATUS=idle READY=0', 'path: STATUS=verifying 1.1', 'path: STOPPING=1']);
});

test('a descriptor that takes nothing more does not keep the service from ending', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'otad-notify-'));
  const pipe = join(folder, 'pipe');
  execFileSync('mkfifo', [pipe]);
  const far = openSync(pipe, constants.O_RDWR | constants.O_NONBLOCK);
  const near = openSync(pipe, constants.O_WRONLY);
  assert.throws(
    () => {
      for (;;) writeSync(far, Buffer.alloc(4096));
    },
    { code: 'EAGAIN' },
  );
  const notify = createNotify({ descriptor: near, env: {}, pid: 1, isAlive: () => true });
  notify.ready('idle');
  notify.stopping();
  const given = await Promise.race([notify.close().then(() => 'closed'), delay(10_000, 'stuck', { ref: false })]);
  // The blocked write ends with an error when nobody can read any more; the thread must not outlive the test.
  closeSync(far);
  assert.equal(given, 'closed');
  closeSync(near);
  await rm(folder, { recursive: true });
});

test('outside systemd nothing is said and nothing fails', async () => {
  const notify = createNotify({ descriptor: null, env: {}, pid: 1, isAlive: () => true });
  notify.ready('idle');
  notify.status('x');
  notify.stopping();
  await notify.close();
});

test('the watchdog interval is half of WATCHDOG_USEC, and only for the process that it names', () => {
  assert.equal(watchdogIntervalMs({ WATCHDOG_USEC: '30000000' }, 7), 15_000);
  assert.equal(watchdogIntervalMs({ WATCHDOG_USEC: '30000000', WATCHDOG_PID: '7' }, 7), 15_000);
  assert.equal(watchdogIntervalMs({ WATCHDOG_USEC: '30000000', WATCHDOG_PID: '8' }, 7), null);
  for (const usec of [undefined, '', '0', '-5', 'soon'])
    assert.equal(watchdogIntervalMs({ WATCHDOG_USEC: usec }, 7), null);
});

test('descriptors meant for another process, or out of bounds, are not taken', () => {
  assert.equal(inheritedSockets({ LISTEN_FDS: '2', LISTEN_PID: '5', LISTEN_FDNAMES: 'a:b' }, 6).size, 0);
  for (const count of ['-1', '65', 'x', undefined]) {
    assert.equal(inheritedSockets({ LISTEN_FDS: count, LISTEN_PID: '6', LISTEN_FDNAMES: 'a' }, 6).size, 0);
  }
  // Descriptors that are no sockets: those of a test runner that happen to be open.
  assert.equal(inheritedSockets({ LISTEN_FDS: '60', LISTEN_PID: '6', LISTEN_FDNAMES: '' }, 6).size, 0);
});
