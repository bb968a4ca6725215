// The demonstration as a person starts it, with the daemon killed again and again under it.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { StatusBody } from '../../agent/api/schema.ts';
import { createApiClient } from './api-client.ts';
import { runProgram, runTool } from './child-process.ts';
import { gatewayPaths } from './gateway-paths.ts';
import type { Report } from './report.ts';

const demoPath = resolve(import.meta.dirname, 'demo.js');
const killsMax = 9;
const killsMin = 7;
/** Of the moments that the demonstration passes, so that the kills reach to its end. */
const everyNth = 2;
const reconnectMs = 50;
const outputCharsMax = 64 * 1024;
const waysTimeoutMs = 120_000;
/** The last thing that `--keep` prints. */
const lastWay = 'started again at once';

/** SIGKILL to whatever the pid file names; false when that is gone already. */
const killDaemon = async (pidPath: string): Promise<boolean> => {
  try {
    const pid = Number(await readFile(pidPath, 'utf8'));
    return pid > 0 && process.kill(pid, 'SIGKILL');
  } catch {
    return false;
  }
};

/** Kills the daemon at every second place where it did not stand before. Ends with the signal; gives where it struck. */
const strike = async (gatewayFolder: string, signal: AbortSignal): Promise<readonly string[]> => {
  const { runDir, agentPid } = gatewayPaths(gatewayFolder);
  const api = createApiClient(runDir);
  const seen = new Set<string>();
  const struck: string[] = [];
  const standing = ({ version, phase, denylist }: StatusBody): string => [version, phase, ...denylist].join(' ');
  while (!signal.aborted && struck.length < killsMax) {
    let isDown = false;
    const onStatus = (status: StatusBody): void => {
      // Asking the server is everywhere; it would use up the kills.
      if (isDown || status.phase === 'checking' || seen.has(standing(status))) return;
      seen.add(standing(status));
      if (seen.size % everyNth !== 0) return;
      isDown = true;
      struck.push(standing(status));
      void killDaemon(agentPid);
    };
    await api.watch(onStatus, signal).catch(() => undefined);
    await delay(reconnectMs, undefined, { signal }).catch(() => undefined);
  }
  return struck;
};

const assertKeys = (rows: readonly object[], keys: readonly string[]): void => {
  assert.notEqual(rows.length, 0);
  for (const row of rows) assert.deepEqual(Object.keys(row), keys);
};

const checkReport = async ({ slots, history, denylist, ...rest }: Report): Promise<void> => {
  assert.deepEqual(rest, {});
  assertKeys(slots, ['name', 'version', 'state', 'booted', 'path', 'verityRoot', 'hashOffset']);
  assertKeys(history, ['type', 'time', 'version', 'reason']);
  assertKeys(denylist, ['version', 'reason']);
  for (const { time } of history) assert.equal(new Date(time).toISOString(), time);
  assert.deepEqual(
    denylist.map(({ version }) => version),
    ['1.2'],
  );
  assert.deepEqual(
    slots.map(({ name }) => name),
    ['a', 'b'],
  );
  const [booted, ...others] = slots.filter((slot) => slot.booted);
  assert.ok(booted !== undefined && others.length === 0);
  assert.deepEqual([booted.version, booted.state], ['1.1', 'good']);
  const { path, verityRoot, hashOffset } = booted;
  await runTool('veritysetup', ['verify', path, path, verityRoot ?? '', `--hash-offset=${hashOffset}`]);
};

/** Does what `--keep` says one can do, as it stands there: the vendor publishes, the gateway takes it. */
const tryWays = async (output: () => string, gatewayFolder: string): Promise<void> => {
  const [, ways = ''] = output().split('The gateway stays up.');
  const lines = ways.split('\n').map((line) => line.trim());
  const typed = lines.filter((line) => /^(alias ot|otapub release|otactl (status|install))/.test(line));
  assert.equal(typed.length, 5, ways);
  const api = createApiClient(gatewayPaths(gatewayFolder).runDir);
  const script = (wanted: RegExp): string => typed.filter((line) => wanted.test(line)).join('\n');
  await runTool('sh', ['-ec', script(/^(alias|otapub)/)]);
  const isThere = (status: StatusBody): boolean => status.version === '1.3' && status.confirmed;
  const over = AbortSignal.timeout(waysTimeoutMs);
  while (!(await api.status().then(isThere, () => false))) await delay(reconnectMs, undefined, { signal: over });
  const { exitCode, stderr } = await runProgram('sh', ['-c', script(/^(alias otactl|otactl install)/)]);
  assert.equal(exitCode, 2, stderr);
};

for (const [words, env, message] of [
  [['--bogus'], {}, /^there is no option '--bogus'\n\nUsage: npm start/],
  [['--kep'], {}, /^there is no option '--kep'; did you mean '--keep'\?\n/],
  [['keep'], {}, /^too many operands: keep\n/],
  [[], { npm_config_keep: 'true' }, /^npm kept --keep for itself: npm start -- --keep \.\.\.\n/],
] as const) {
  test(`'${[...Object.keys(env), ...words].join(' ')}' is refused with what is wrong`, () => {
    const child = spawnSync(process.execPath, [demoPath, ...words], {
      encoding: 'utf8',
      env: { ...process.env, ...env },
      timeout: 30_000,
    });
    assert.equal(child.status, 64);
    assert.match(child.stderr, message);
  });
}

test('a report that cannot be written is told before the show', async (context) => {
  const folder = await mkdtemp(join(tmpdir(), 'otad-demo-'));
  context.after(() => rm(folder, { recursive: true, force: true }));
  const args = [demoPath, '--folder', join(folder, 'play'), '--report', join(folder, 'nowhere/report.json')];
  const { status, stdout } = spawnSync(process.execPath, args, { encoding: 'utf8', timeout: 30_000 });
  assert.equal(status, 1);
  assert.match(stdout, /^\s*failed +the report cannot be written: ENOENT.*nowhere\/report\.json'\s*$/);
});

test('the demonstration ends well although its daemon is killed at many moments', async (context) => {
  const folder = await mkdtemp(join(tmpdir(), 'otad-demo-'));
  context.after(() => rm(folder, { recursive: true, force: true }));
  const [play, reportPath] = [join(folder, 'play'), join(folder, 'report.json')];
  const child = spawn(process.execPath, [demoPath, '--keep', '--folder', play, '--report', reportPath], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  context.after(() => child.kill('SIGTERM'));
  let output = '';
  let stays: () => void = () => undefined;
  const stayed = new Promise<void>((done) => {
    stays = done;
  });
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output = (output + text).slice(-outputCharsMax);
    if (output.includes(lastWay)) stays();
  });
  const over = new AbortController();
  const ended = new Promise<number | null>((done) => {
    child.once('close', (code) => {
      over.abort();
      done(code);
    });
  });
  const gateway = join(play, 'gateway');
  const striking = strike(gateway, over.signal);
  await Promise.race([stayed, ended]);
  await tryWays(() => output, gateway);
  child.kill('SIGINT');
  assert.equal(await ended, 0, output);
  const struck = await striking;
  context.diagnostic(`struck at: ${struck.join(', ')}`);
  assert.ok(struck.length >= killsMin, struck.join(', '));
  await checkReport(JSON.parse(await readFile(reportPath, 'utf8')));
});
