// Fault model: settings at the ends of what the schema accepts. What an operator may write must do what it says.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createTimeBudget } from '../../agent/adapters/deadline.ts';
import { createHttpClient } from '../../agent/adapters/http.ts';
import { configSchema } from '../../agent/config/schema.ts';
import { httpSettingsOf } from '../../agent/http-settings.ts';
import { aServer } from '../support/loopback-server.ts';

const never = new AbortController().signal;
const longestMs = 30 * 24 * 3600 * 1000;

const settingsWith = (downloadTimeoutMs: number) => {
  const http = configSchema.shape.http.parse({ downloadTimeoutMs });
  return { http, settings: httpSettingsOf({ http }, {}) };
};

test('the longest time for a download that the schema accepts is no time that is over at once', async (t) => {
  assert.throws(() => settingsWith(longestMs + 1));
  const { http, settings } = settingsWith(longestMs);
  const server = await aServer(t, (_request, response) => {
    response.writeHead(200, { 'content-length': 4 }).write('ab');
    setTimeout(() => response.end('cd'), 20);
  });
  const client = createHttpClient(settings);
  t.after(() => client.close());
  const inTime = createTimeBudget(http.downloadTimeoutMs, () => performance.now());
  const pieces: Buffer[] = [];
  await inTime(never, (signal) =>
    client.streamRange(`${server.url}/file`, {
      offset: 0,
      lengthTotal: 4,
      sink: (bytes) => void pieces.push(Buffer.from(bytes)),
      signal,
    }),
  );
  assert.equal(Buffer.concat(pieces).toString(), 'abcd');
});

test('a stream has all the time that its attempt has, and no more', () => {
  for (const downloadTimeoutMs of [1000, longestMs])
    assert.equal(settingsWith(downloadTimeoutMs).settings.streamDeadlineMs, downloadTimeoutMs);
});

test('a proxy of the settings goes before that of the environment', () => {
  const environment = { http_proxy: 'http://other:1', no_proxy: '.lan' };
  const http = configSchema.shape.http.parse({ proxyUrl: 'http://proxy:3128' });
  assert.deepEqual(httpSettingsOf({ http }, environment).proxy, {
    http: 'http://proxy:3128',
    https: 'http://proxy:3128',
    except: '.lan',
  });
});
