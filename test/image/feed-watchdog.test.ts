// How the initramfs feeds the watchdog, and checks the data partition meanwhile: its own functions, run by its shell. The device is a file that shows each feed, or a
// pipe whose end shows that nobody holds it open.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { aFolder } from '../publish/publisher-fixture.ts';

const run = promisify(execFile);
const folder = fileURLToPath(new URL('../../../image/initramfs', import.meta.url));
const limitMs = 20_000;

/** What the words print, with the script's functions; `$1` is an empty folder. */
const call = async (t: TestContext, words: string): Promise<readonly [at: string, said: string]> => {
  const at = await aFolder(t);
  const options = { env: { PATH: `${process.env.PATH}:/usr/bin:/bin` }, timeout: limitMs };
  const { stdout } = await run(
    'busybox',
    ['sh', '-u', '-c', `. "$0"; ${words}`, join(folder, 'feed-watchdog'), at],
    options,
  );
  return [at, stdout.trim()];
};

const opened = ': > "$1/watchdog"; open_watchdog "$1/watchdog"';
/** Seconds that are over at once. */
const quick = 'sleep() { :; }';
/** Seconds that last until the script ends: a pipe that is read by the nap and held open by the shell alone. */
const endless = 'nap=$1/nap; mkfifo "$nap"; exec 4<> "$nap"; sleep() { cat "$nap" 4>&-; }';

test('what takes long is fed for each second of it, and not for one more', async (t) => {
  const [at] = await call(t, `${quick}; ${opened}; feed_for 40; wait "$feeder"`);
  // One when it was opened.
  assert.equal(await readFile(join(at, 'watchdog'), 'utf8'), '.\n'.repeat(41));
});

test('the next thing has its own time, whatever was left of that before', async (t) => {
  const words = `${opened}; feed_for 100000; first=$feeder; ${quick}; feed_for 3; wait "$feeder"; kill -0 "$first" 2> /dev/null || echo gone`;
  const [, said] = await call(t, words);
  assert.equal(said, 'gone');
});

test('after its close nothing holds the watchdog open, also while a second of feeding is not over', async (t) => {
  const words = [
    endless,
    'mkfifo "$1/watchdog"',
    // Ends when the last that has the pipe open for writing is gone.
    'cat "$1/watchdog" > "$1/fed" 4>&- & reader=$!',
    'open_watchdog "$1/watchdog"',
    'feed_for 100000',
    'close_watchdog',
    'wait "$reader"',
    'echo "free"',
  ].join('\n');
  const [at, said] = await call(t, words);
  assert.equal(said, 'free');
  assert.match(await readFile(join(at, 'fed'), 'utf8'), /^(\.\n)+$/);
});

test('a board without a watchdog, or with one that cannot be opened, starts all the same', async (t) => {
  const words = (device: string): string =>
    `open_watchdog "$1${device}" || echo none; feed_for 60; feed_for 60; close_watchdog; echo "on:$feeder"`;
  assert.equal((await call(t, words('/nothing')))[1], 'none\non:');
  assert.equal((await call(t, words('')))[1], 'none\non:');
});

test('the data partition may be checked for ten minutes, and longer on a larger card', async (t) => {
  const [, said] = await call(
    t,
    '. "$(dirname "$0")/check-data"; for gib in 0 1 32 128; do check_seconds $((gib * 2097152)); done',
  );
  assert.deepEqual(said.split('\n').map(Number), [600, 605, 760, 1240]);
});

/** What the check says and asks for, on a file system that was damaged while the board was off. */
const checkAfter = async (t: TestContext, damage: readonly string[]): Promise<string> => {
  const at = await aFolder(t);
  const device = join(at, 'dev/vda4');
  await mkdir(join(at, 'sys/class/block/vda4'), { recursive: true });
  await mkdir(join(at, 'dev'));
  await writeFile(join(at, 'sys/class/block/vda4/size'), '4194304\n');
  const options = { env: { PATH: `${process.env.PATH}:/usr/sbin:/sbin:/usr/bin:/bin`, TMPDIR: at }, timeout: limitMs };
  await run('mkfs.ext4', ['-q', '-O', '^metadata_csum', device, '4M'], options);
  for (const request of damage) await run('debugfs', ['-w', '-R', request, device], options);
  const words = 'at=$1; say() { echo "$*"; }; feed_for() { echo "feed $1"; }; check_data vda4';
  const program = ['sh', '-u', '-c', `. "$0"; ${words}`, join(folder, 'check-data'), at];
  const { stdout } = await run('busybox', program, options);
  await run('e2fsck', ['-f', '-n', device], options);
  return stdout.trim().replaceAll(at, '');
};

test('the data partition is mended and fed for, and what was done is said', async (t) => {
  assert.equal(await checkAfter(t, []), 'feed 610');
  assert.match(
    await checkAfter(t, ['ssv state 2', 'clri <11>']),
    /^feed 610\ndata partition: mended: .*lost\+found.*CLEARED\.$/,
  );
  assert.match(
    await checkAfter(t, ['write /etc/passwd kept', 'ssv state 2', 'clri <2>']),
    /^feed 610\ndata partition: .*errors.*\ndata partition: mended, what was lost may be in lost\+found$/,
  );
});
