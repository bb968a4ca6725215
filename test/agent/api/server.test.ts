import assert from 'node:assert/strict';
import { lstat, readdir, rename, stat, symlink, writeFile } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { commandRoutes, readRoutes } from '../../../agent/api/route.ts';
import { errorSchema } from '../../../agent/api/schema.ts';
import { type ApiOptions, createApi } from '../../../agent/api/server.ts';
import { OtadError } from '../../../agent/core/errors.ts';
import { aFailure, aProgress, aRecord, aRelease, aStagedState, FakeAgent } from './fake-agent.ts';
import { apiOptions, ask, openApi, post, temporaryDirectory } from './open-api.ts';

const json = { 'content-type': 'application/json' };

const errorOf = (answer: { readonly status: number; readonly json: unknown }) => {
  const { error } = errorSchema.parse(answer.json);
  return { status: answer.status, code: error.code, error };
};

/** Errors are the registry's, in the one shape. */
const assertError = (answer: { readonly status: number; readonly json: unknown }, status: number, code: string) => {
  const found = errorOf(answer);
  assert.deepEqual({ status: found.status, code: found.code }, { status, code });
  return found.error;
};

/** Sends bytes as they are and gives everything that comes back before the other side ends. */
const sayRaw = (socket: Socket, bytes: string): Promise<string> =>
  new Promise((resolve, reject) => {
    let answer = '';
    socket.setEncoding('utf8');
    socket.on('connect', () => socket.write(bytes));
    socket.on('data', (piece: string) => {
      answer += piece;
    });
    socket.on('error', reject);
    socket.on('close', () => resolve(answer));
  });

test('every read route answers in its own schema, in a quiet and in an eventful state', async (t) => {
  const agent = new FakeAgent();
  const { api } = await openApi(t, agent);
  const readAll = async () => {
    for (const route of readRoutes) {
      const answer = await ask(api.addresses.status, { path: route.path });
      assert.equal(answer.status, 200, route.path);
      route.answer.parse(answer.json);
    }
  };
  await readAll();
  agent.change(
    {
      ...aStagedState(),
      records: { a: aRecord(aRelease('1.0', 1)), b: aRecord(aRelease('1.1', 2), { status: 'denied', reason: 'sick' }) },
      denylist: [{ release: aRelease('1.2', 3), reason: 'health', timeMs: 5 }],
      hold: { reason: 'measuring', sinceMs: 5 },
      lastCheck: { timeMs: 5, release: null, failure: aFailure('HTTP_UNREACHABLE', 'gone'), reasons: [] },
      attention: aFailure('SLOT_IO', 'The slot is failing.'),
    },
    aProgress({ version: '1.1', doneBytes: 1, totalBytes: 3, fetchedBytes: 1 }),
  );
  agent.note('rolled-back', { version: '1.2', reason: 'health' });
  await readAll();
});

test('every command reaches the agent as itself', async (t) => {
  const { agent, api } = await openApi(t);
  const bodies: Record<string, object> = {
    rollback: { reason: 'modem' },
    'mark-bad': { slot: 'b', reason: 'rot' },
    hold: { reason: 'measuring' },
    undeny: { releaseId: 'gw-1.2' },
  };
  for (const route of commandRoutes) await post(api.addresses.control, route.path, bodies[route.name]);
  assert.deepEqual(agent.commands, [
    { command: 'check' },
    { command: 'install' },
    { command: 'reboot' },
    { command: 'confirm' },
    { command: 'rollback', reason: 'modem' },
    { command: 'mark-bad', slot: 'b', reason: 'rot' },
    { command: 'hold', reason: 'measuring' },
    { command: 'release-hold' },
    { command: 'undeny', releaseId: 'gw-1.2' },
  ]);
});

test('an accepted command is answered 202 with the sentence of the agent', async (t) => {
  const { api } = await openApi(t);
  const answer = await post(api.addresses.control, '/v1/hold', { reason: 'measuring' });
  assert.equal(answer.status, 202);
  assert.deepEqual(answer.json, { message: 'Updates are held.' });
});

test('a command needs no body, and takes an empty one of type JSON', async (t) => {
  const { api } = await openApi(t);
  assert.equal((await post(api.addresses.control, '/v1/check')).status, 202);
  assert.equal((await ask(api.addresses.control, { method: 'POST', path: '/v1/check', headers: json })).status, 202);
  assert.equal((await post(api.addresses.control, '/v1/hold')).status, 202);
});

test('a refused command carries the code, its HTTP status and the sentence of the agent', async (t) => {
  const { agent, api } = await openApi(t);
  assertError(await post(api.addresses.control, '/v1/reboot'), 409, 'NOTHING_TO_DO');
  agent.isBusy = true;
  const error = assertError(await post(api.addresses.control, '/v1/install'), 409, 'BUSY');
  assert.equal(error.message, 'otad is writing 1.1 into slot b.');
});

test('the status socket and TCP refuse every command, name the socket that takes it, and the agent never hears of it', async (t) => {
  const { agent, api } = await openApi(t, new FakeAgent(), { http: { host: '127.0.0.1', port: 0 } });
  for (const address of [api.addresses.status, api.addresses.http ?? '']) {
    for (const route of commandRoutes) {
      const { message } = assertError(await post(address, route.path), 403, 'FORBIDDEN');
      assert.ok(message.includes(api.addresses.control), message);
    }
  }
  assert.deepEqual(agent.commands, []);
});

test('a body that is not what the command takes is refused before the agent hears of it', async (t) => {
  const { agent, api } = await openApi(t);
  const send = (path: string, body: string, headers: Record<string, string> = json) =>
    ask(api.addresses.control, { method: 'POST', path, headers, body });
  const wrong: readonly (readonly [string, string, Record<string, string>?])[] = [
    ['/v1/check', '{"force":true}'],
    ['/v1/hold', '{"reason":5}'],
    ['/v1/hold', '{"reason":""}'],
    ['/v1/hold', '{"reason":"two\\nlines"}'],
    ['/v1/hold', JSON.stringify({ reason: 'x'.repeat(201) })],
    ['/v1/hold', '{"reason":"a","__proto__":{"x":1}}'],
    ['/v1/hold', '{"constructor":{"prototype":{"x":1}}}'],
    ['/v1/hold', '{"reason":'],
    ['/v1/hold', '[]'],
    ['/v1/hold', '"text"'],
    ['/v1/undeny', '{}'],
    ['/v1/undeny', '{"releaseId":""}'],
    ['/v1/hold', JSON.stringify({ reason: 'x'.repeat(5000) })],
    ['/v1/hold', 'reason=x', { 'content-type': 'application/x-www-form-urlencoded' }],
    ['/v1/hold', '{"reason":"x"}', { 'content-type': 'text/plain' }],
  ];
  for (const [path, body, headers] of wrong) {
    assertError(await send(path, body, headers), 400, 'BAD_REQUEST');
  }
  assert.deepEqual(agent.commands, []);
});

test('a bad request is told what is wrong and where', async (t) => {
  const { api } = await openApi(t);
  const error = assertError(await post(api.addresses.control, '/v1/hold', { reason: 5 }), 400, 'BAD_REQUEST');
  assert.equal(error.details?.at, 'reason');
});

test('history gives the newest entries, as many as asked for, and refuses a limit out of range', async (t) => {
  const { agent, api } = await openApi(t);
  for (let i = 0; i < 60; i++) agent.note('started', { reason: String(i) });
  const read = (query: string) => ask(api.addresses.status, { path: `/v1/history${query}` });
  assert.equal((await read('')).json.history.length, 50);
  assert.deepEqual(
    (await read('?limit=2')).json.history.map((entry: { reason: string }) => entry.reason),
    ['59', '58'],
  );
  for (const query of ['?limit=0', '?limit=1001', '?limit=x', '?limit=1.5', '?limit=1&limit=2', '?max=3']) {
    assertError(await read(query), 400, 'BAD_REQUEST');
  }
});

test('an unknown path or method is NOT_FOUND', async (t) => {
  const { api } = await openApi(t);
  for (const path of ['/v2/status', '/v1', '/v1/status/', '/v1/../v1/status', '/favicon.ico']) {
    assertError(await ask(api.addresses.status, { path }), 404, 'NOT_FOUND');
  }
  assertError(await ask(api.addresses.status, { method: 'DELETE', path: '/v1/status' }), 404, 'NOT_FOUND');
  assertError(await ask(api.addresses.status, { path: '/v1/check' }), 404, 'NOT_FOUND');
});

test('a bug becomes INTERNAL without its words or its stack, and is logged with them', async (t) => {
  const { agent, api, warnings } = await openApi(t);
  agent.bug = new Error('secret /var/lib/otad detail');
  for (const path of ['/v1/status', '/', '/v1/metrics', '/v1/events']) {
    const answer = await ask(api.addresses.status, { path });
    assertError(answer, 500, 'INTERNAL');
    assert.doesNotMatch(answer.text, /secret|\bat \w+|\.js/, path);
  }
  assert.equal(warnings.length, 4);
  assert.match(String(warnings[0]?.fields.error), /secret/);
});

test('a typed error of a port keeps its code', async (t) => {
  const agent = new FakeAgent();
  const readHistory = async () => {
    throw new OtadError('STORE_IO', { errno: 'EIO' });
  };
  const { api } = await openApi(t, agent, { store: { readHistory } });
  assertError(await ask(api.addresses.status, { path: '/v1/history' }), 500, 'STORE_IO');
});

test('any Origin header is refused on every door', async (t) => {
  const { api } = await openApi(t, new FakeAgent(), { http: { host: '127.0.0.1', port: 0 } });
  for (const address of [api.addresses.status, api.addresses.control, api.addresses.http ?? '']) {
    for (const origin of ['http://evil.example', 'null', 'http://localhost']) {
      const headers = { origin };
      assertError(await ask(address, { path: '/v1/status', headers }), 403, 'FORBIDDEN');
      assertError(await ask(address, { method: 'POST', path: '/v1/check', headers }), 403, 'FORBIDDEN');
      assertError(await ask(address, { path: '/nowhere', headers }), 403, 'FORBIDDEN');
    }
  }
});

test('TCP answers to local and configured host names only, so that DNS rebinding finds no door', async (t) => {
  const changes: Partial<ApiOptions> = { http: { host: '127.0.0.1', port: 0 }, hostNames: ['gateway.lan'] };
  const { api } = await openApi(t, new FakeAgent(), changes);
  const read = (host: string) => ask(api.addresses.http ?? '', { path: '/v1/status', headers: { host } });
  for (const host of ['localhost', 'localhost:8080', '127.0.0.1:1', '[::1]:80', 'gateway.lan', 'Gateway.LAN:80']) {
    assert.equal((await read(host)).status, 200, host);
  }
  for (const host of ['evil.example', 'localhost.evil.example', '169.254.1.1', 'gateway.lan.evil']) {
    assertError(await read(host), 403, 'FORBIDDEN');
  }
});

test('TCP refuses a request without a Host, a unix socket does not need one', async (t) => {
  const { api } = await openApi(t, new FakeAgent(), { http: { host: '127.0.0.1', port: 0 } });
  const bytes = 'GET /v1/status HTTP/1.1\r\nConnection: close\r\n\r\n';
  const port = Number(new URL(api.addresses.http ?? '').port);
  assert.match(await sayRaw(connect(port, '127.0.0.1'), bytes), /^HTTP\/1\.1 403 .*"FORBIDDEN"/s);
  assert.match(await sayRaw(connect(api.addresses.status), bytes), /^HTTP\/1\.1 200 /);
});

test('what is not HTTP is answered with the error shape and the connection ends', async (t) => {
  const { api } = await openApi(t);
  const text = await sayRaw(connect(api.addresses.status), 'HELLO\r\n\r\n');
  const [head = '', body = ''] = text.split('\r\n\r\n');
  assert.match(head, /^HTTP\/1\.1 400 /);
  assert.equal(errorSchema.parse(JSON.parse(body)).error.code, 'BAD_REQUEST');
});

test('a path that does not decode and a header that is too long are refused in the error shape', async (t) => {
  const { api } = await openApi(t);
  assertError(await ask(api.addresses.status, { path: '/v1/%zz' }), 400, 'BAD_REQUEST');
  const long = await ask(api.addresses.status, { path: '/v1/status', headers: { 'x-long': 'x'.repeat(10_000) } });
  assertError(long, 400, 'BAD_REQUEST');
});

test('answers are never cached', async (t) => {
  const { api } = await openApi(t);
  for (const path of ['/v1/status', '/', '/nowhere']) {
    assert.equal((await ask(api.addresses.status, { path })).headers['cache-control'], 'no-store', path);
  }
});

test('the status socket is open to all, the control socket to its group only', async (t) => {
  const { api } = await openApi(t);
  const modeOf = async (path: string) => (await stat(path)).mode & 0o777;
  assert.equal(await modeOf(api.addresses.status), 0o666);
  assert.equal(await modeOf(api.addresses.control), 0o660);
});

test('the control socket belongs to the admin group when there is one', async (t) => {
  // Only root may give a file to any group; everybody may give it to a group of their own.
  const gid = process.getuid?.() === 0 ? 12_345 : (process.getgroups?.()[0] ?? 0);
  const { api } = await openApi(t, new FakeAgent(), { controlGid: gid });
  assert.equal((await stat(api.addresses.control)).gid, gid);
});

test('close removes both sockets and leaves nothing behind', async (t) => {
  const directory = await temporaryDirectory(t);
  const api = await createApi(apiOptions(new FakeAgent(), directory));
  await api.close();
  assert.deepEqual(await readdir(directory), []);
});

test('a socket that a killed process left is taken over', async (t) => {
  const directory = await temporaryDirectory(t);
  const options = apiOptions(new FakeAgent(), directory);
  // A server that closes takes its socket file along; under another name the file stays, as after SIGKILL.
  const left = createServer();
  await new Promise<void>((resolve) => left.listen(`${options.statusSocket}.tmp`, resolve));
  await rename(`${options.statusSocket}.tmp`, options.statusSocket);
  await new Promise((resolve) => left.close(resolve));
  assert.equal((await lstat(options.statusSocket)).isSocket(), true);
  const api = await createApi(options);
  t.after(() => api.close());
  assert.equal((await ask(api.addresses.status, { path: '/v1/status' })).status, 200);
});

test('a second otad is refused and the first one keeps its sockets', async (t) => {
  const { api, directory } = await openApi(t);
  await assert.rejects(createApi(apiOptions(new FakeAgent(), directory)), { code: 'SOCKET_IN_USE' });
  assert.equal((await ask(api.addresses.status, { path: '/v1/status' })).status, 200);
  assert.equal((await post(api.addresses.control, '/v1/check')).status, 202);
});

test('when the control socket cannot be made, the status socket does not stay', async (t) => {
  const directory = await temporaryDirectory(t);
  const options = apiOptions(new FakeAgent(), directory);
  await writeFile(options.controlSocket, 'precious');
  await assert.rejects(createApi(options), { code: 'SOCKET_UNUSABLE' });
  assert.deepEqual(await readdir(directory), ['control.sock']);
});

test('a file or a link at the place of a socket is never removed', async (t) => {
  const directory = await temporaryDirectory(t);
  const options = apiOptions(new FakeAgent(), directory);
  await writeFile(join(directory, 'precious'), 'x');
  await symlink(join(directory, 'precious'), options.statusSocket);
  await assert.rejects(createApi(options), { code: 'SOCKET_UNUSABLE' });
  assert.equal((await lstat(options.statusSocket)).isSymbolicLink(), true);
});

test('a path that is too long for a unix socket is refused by name instead of cut off', async (t) => {
  const directory = await temporaryDirectory(t);
  const statusSocket = join(directory, `${'x'.repeat(100)}.sock`);
  await assert.rejects(createApi({ ...apiOptions(new FakeAgent(), directory), statusSocket }), {
    code: 'SOCKET_UNUSABLE',
  });
});

test('a directory that cannot be made is a typed error', async (t) => {
  const directory = await temporaryDirectory(t);
  await writeFile(join(directory, 'file'), '');
  const statusSocket = join(directory, 'file', 'status.sock');
  await assert.rejects(createApi({ ...apiOptions(new FakeAgent(), directory), statusSocket }), {
    code: 'SOCKET_UNUSABLE',
  });
});

test('an expectation that nobody can meet is refused in the one shape of errors', async (t) => {
  const { api } = await openApi(t);
  const answer = await ask(api.addresses.status, { path: '/v1/status', headers: { expect: 'wonders' } });
  assertError(answer, 400, 'BAD_REQUEST');
});
