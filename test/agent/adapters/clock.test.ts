import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { type ClockOptions, createClock, syncGraceMs } from '../../../agent/adapters/clock.ts';

const nowhere = '/nowhere/synchronized';

const clock = (over: Partial<ClockOptions> = {}) =>
  createClock({
    syncMarkerPath: nowhere,
    windows: { download: null, reboot: null },
    timeZone: 'UTC',
    monoMs: () => syncGraceMs,
    ...over,
  });

const at = (wall: string, windows: ClockOptions['windows'], timeZone = 'UTC') =>
  clock({ windows, timeZone, wallMs: () => Date.parse(wall) }).now().windows;

describe('windows', () => {
  test('are open in the minutes that the expression lists, to the end of the minute', () => {
    const night = { download: '* 2-4 * * *', reboot: '30-44 3 * * 6' };
    assert.deepEqual(at('2026-03-07T01:59:59.999Z', night), { download: false, reboot: false });
    assert.deepEqual(at('2026-03-07T02:00:00Z', night), { download: true, reboot: false });
    assert.deepEqual(at('2026-03-07T03:44:59.999Z', night), { download: true, reboot: true });
    assert.deepEqual(at('2026-03-08T03:44:00Z', night), { download: true, reboot: false });
    assert.deepEqual(at('2026-03-07T05:00:00Z', night), { download: false, reboot: false });
  });

  test('follow their time zone, summer time included', () => {
    const two = { download: '* 2 * * *', reboot: null };
    assert.equal(at('2026-01-15T01:30:00Z', two, 'Europe/Vienna').download, true);
    assert.equal(at('2026-07-15T01:30:00Z', two, 'Europe/Vienna').download, false);
    assert.equal(at('2026-07-15T00:30:00Z', two, 'Europe/Vienna').download, true);
  });

  test('that are not configured are always open', () => {
    assert.deepEqual(at('1970-01-01T00:00:00Z', { download: null, reboot: null }), { download: true, reboot: true });
  });

  test('stay shut after boot until the clock is synchronised or the grace is over', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'otad-clock-'));
    const marker = join(folder, 'synchronized');
    let monoMs = 1000;
    const always = clock({
      syncMarkerPath: marker,
      windows: { download: '* * * * *', reboot: null },
      monoMs: () => monoMs,
    });
    assert.deepEqual(always.now().windows, { download: false, reboot: true });
    await writeFile(marker, '');
    assert.deepEqual([always.now().isSynced, always.now().windows.download], [true, true]);
    await rm(marker);
    assert.deepEqual([always.now().isSynced, always.now().windows.download], [false, false]);
    monoMs = syncGraceMs;
    assert.equal(always.now().windows.download, true);
    await rm(folder, { recursive: true });
  });

  test('that are no cron expression are refused', () => {
    assert.throws(() => clock({ windows: { download: 'at night', reboot: null } }), { code: 'CONFIG_INVALID' });
  });
});

describe('time', () => {
  test('monotonic milliseconds count from the boot of the kernel', async () => {
    const { monoMs } = createClock({
      syncMarkerPath: nowhere,
      windows: { download: null, reboot: null },
      timeZone: null,
    }).now();
    // Uptime counts suspend as well, so the monotonic clock may be behind it, never ahead.
    const uptimeMs = Number((await readFile('/proc/uptime', 'utf8')).split(' ')[0]) * 1000;
    assert.ok(monoMs > 0 && monoMs <= uptimeMs + 1000, `${monoMs} ${uptimeMs}`);
  });

  test('each moment has fresh chance in [0, 1)', () => {
    const drawn = Array.from({ length: 100 }, () => clock().now().random);
    assert.ok(drawn.every((value) => value >= 0 && value < 1));
    assert.ok(new Set(drawn).size > 90);
  });

  test('a timer fires once, and a cancelled one never', async () => {
    const fired: string[] = [];
    const { setTimer } = clock();
    const cancelled = setTimer(1, () => fired.push('cancelled'));
    cancelled.cancel();
    setTimer(-5, () => fired.push('past'));
    await new Promise<void>((resolve) => setTimer(5, resolve));
    assert.deepEqual(fired, ['past']);
  });

  test('a delay beyond what setTimeout takes does not fire at once', async () => {
    const { setTimer } = clock();
    let fired = 0;
    const timer = setTimer(40 * 24 * 60 * 60 * 1000, () => {
      fired += 1;
    });
    await new Promise<void>((resolve) => setTimer(20, resolve));
    timer.cancel();
    assert.equal(fired, 0);
  });
});
