// The demonstration as a person starts it, with the daemon killed again and again under it.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { StatusBody } from '../../agent/api/schema.ts';
import { createApiClient } from './api-client.ts';
import { runTool } from './child-process.ts';
import { gatewayPaths } from './gateway-paths.ts';
import type { Report } from './report.ts';

const demoPath = resolve(import.meta.dirname, 'demo.js');
const killsMax = 9;
const killsMin = 7;
/** Of the moments that the demonstration passes, so that the kills reach to its end. */
const everyNth = 2;
const reconnectMs = 50;
const outputCharsMax = 64 * 1024;

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

test('the demonstration ends well although its daemon is killed at many moments', async (context) => {
  const folder = await mkdtemp(join(tmpdir(), 'otad-demo-'));
  context.after(() => rm(folder, { recursive: true, force: true }));
  const [play, reportPath] = [join(folder, 'play'), join(folder, 'report.json')];
  const child = spawn(process.execPath, [demoPath, '--folder', play, '--report', reportPath], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  context.after(() => child.kill('SIGTERM'));
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output = (output + text).slice(-outputCharsMax);
  });
  const over = new AbortController();
  const ended = new Promise<number | null>((done) => {
    child.once('close', (code) => {
      over.abort();
      done(code);
    });
  });
  const struck = await strike(join(play, 'gateway'), over.signal);
  assert.equal(await ended, 0, output);
  context.diagnostic(`struck at: ${struck.join(', ')}`);
  assert.ok(struck.length >= killsMin, struck.join(', '));
  await checkReport(JSON.parse(await readFile(reportPath, 'utf8')));
});
