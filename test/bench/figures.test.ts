// What is read from texts of others: the kernel's, the daemon's log, dpkg's, the images' own.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { renderLine } from '../../agent/log/line.ts';
import { bashCpuSeconds } from './bash-cpu.ts';
import { readFillLog } from './fill-log.ts';
import { changesBetween } from './image-pair.ts';
import { cpuSecondsIn, cpuSecondsOf } from './process-cost.ts';
import { checkUpdate } from './wire-vendor.ts';

const stat = (name: string): string => `42 (${name}) S 1 42 42 0 -1 4194560 100 0 0 0 150 50 20 5 20 0 1 0 1000 0 0`;

/** As the daemon writes it. */
const logged = (msg: string, fields: object): string => renderLine({ level: 30, time: 0, msg, ...fields }, 'plain');
const filled = (fetchedBytes: number, copiedBytes: number, rebuiltBytes: number): string =>
  logged('The image is in the slot.', { slot: 'b', fetchedBytes, copiedBytes, rebuiltBytes, savedBytes: 0 });

test("what the user's own shell does at its start is not counted for the peers", (t) => {
  const home = mkdtempSync(join(tmpdir(), 'otad-bench-'));
  const { HOME, SHLVL } = process.env;
  t.after(() => {
    Object.assign(process.env, { HOME, SHLVL });
    rmSync(home, { recursive: true });
  });
  writeFileSync(join(home, '.bashrc'), 'touch "$HOME/started"\n');
  Object.assign(process.env, { HOME: home, SHLVL: '0' });
  bashCpuSeconds('true', []);
  assert.equal(existsSync(join(home, 'started')), false);
});

test('CPU is the time of the process and of its children, user and system', () => {
  assert.equal(cpuSecondsIn(stat('otad')), 2.25);
});

test('a program whose name holds brackets and spaces is read all the same', () => {
  assert.equal(cpuSecondsIn(stat('a) S 1 (b')), 2.25);
});

test('the CPU of this very process grows with its work and that of its children', async () => {
  const before = await cpuSecondsOf('self');
  spawnSync(process.execPath, ['-e', 'for (const end = Date.now() + 100; Date.now() < end; ) {}']);
  assert.ok((await cpuSecondsOf('self')) > before);
});

test('the way of an image is the one that brought it', () => {
  assert.equal(readFillLog(filled(100, 0, 0)).way, 'full');
  assert.equal(readFillLog(filled(50, 50, 0)).way, 'index');
  assert.deepEqual(readFillLog(filled(10, 50, 40)), {
    ...{ way: 'patch', fetchedBytes: 10, copiedBytes: 50, rebuiltBytes: 40, detours: [] },
  });
});

test('the last image of a log counts, and why other ways were left', () => {
  const left = logged('The image comes by the next way.', {
    way: 'index',
    reason: 'the running slot carries no chunk index',
  });
  const { way, detours } = readFillLog([filled(10, 50, 40), left, filled(100, 0, 0), ''].join('\n'));
  assert.equal(way, 'full');
  assert.deepEqual(detours, ['index: the running slot carries no chunk index']);
});

test('a log without an image is refused', () => {
  assert.throws(() => readFillLog(logged('otad is ready.', {})), /says of no image/);
});

test('packages that updates changed or brought are told with both versions', () => {
  assert.deepEqual(
    changesBetween(['bash 5.2 amd64', 'nodejs 20.1 amd64'], ['bash 5.2 amd64', 'libx 1 amd64', 'nodejs 20.2 amd64']),
    ['libx none -> 1', 'nodejs 20.1 -> 20.2'],
  );
});

test('images between which no gateway would go are refused in a sentence', () => {
  const old = { releaseId: 'gw-1.0', compatible: 'gw', version: '1.0', sequence: 10 };
  const image = { releaseId: 'gw-1.1', compatible: 'gw', version: '1.1', sequence: 11 };
  checkUpdate(old, image);
  assert.throws(() => checkUpdate(old, { ...image, compatible: 'cam' }), /from an image for gw to one for cam/);
  assert.throws(() => checkUpdate(old, { ...image, version: '1.0' }), /both images say that they are version 1\.0/);
  assert.throws(() => checkUpdate(image, old), /not from 1\.1 \(sequence 11\) to 1\.0 \(sequence 10\)/);
});
