import assert from 'node:assert/strict';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { request } from 'undici';
import {
  createStaticServer,
  parsePath,
  parseRange,
  type ServedRequest,
} from '../../../publish/serving/static-server.ts';
import { aFolder } from '../publisher-fixture.ts';

const content = 'ABCDEFGHIJ'.repeat(20_000);

const aServer = async (t: TestContext) => {
  const work = await aFolder(t);
  const root = join(work, 'repository');
  await mkdir(join(root, 'metadata'), { recursive: true });
  await writeFile(join(root, 'data.bin'), content);
  await writeFile(join(root, 'empty.bin'), '');
  await writeFile(join(root, 'metadata/timestamp.json'), '{}');
  await writeFile(join(root, '.hidden.part'), 'unfinished');
  await writeFile(join(work, 'secret'), 'secret');
  await symlink('../secret', join(root, 'leak'));
  const served: ServedRequest[] = [];
  const server = await createStaticServer(root, { onRequest: (one) => served.push(one) });
  t.after(() => server.close());
  const get = async (path: string, headers: Record<string, string> = {}, method: 'GET' | 'HEAD' | 'POST' = 'GET') => {
    const answer = await request(`${server.url}${path}`, { method, headers });
    return { status: answer.statusCode, headers: answer.headers, body: await answer.body.text() };
  };
  return { server, served, get };
};

/** Sends the request target as it stands; clients tidy paths up. */
const rawStatus = (port: number, target: string): Promise<string> =>
  new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () =>
      socket.write(`GET ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`),
    );
    let text = '';
    socket.on('data', (bytes) => {
      text += bytes.toString('latin1');
    });
    socket.on('end', () => resolve(text.split(' ')[1] ?? ''));
    socket.on('error', reject);
  });

test('sends a file whole and as it is', async (t) => {
  const { get } = await aServer(t);
  const { status, headers, body } = await get('data.bin', { 'accept-encoding': 'gzip, br' });
  assert.equal(status, 200);
  assert.equal(headers['content-encoding'], undefined);
  assert.equal(headers['content-length'], String(content.length));
  assert.equal(body, content);
});

for (const [range, start, end] of [
  ['bytes=0-0', 0, 1],
  ['bytes=100-199', 100, 200],
  ['bytes=199990-', 199_990, 200_000],
  ['bytes=-10', 199_990, 200_000],
  ['bytes=199990-999999999', 199_990, 200_000],
  ['bytes=-999999999', 0, 200_000],
] as const) {
  test(`answers Range ${range} with 206 and exactly these bytes`, async (t) => {
    const { get } = await aServer(t);
    const { status, headers, body } = await get('data.bin', { range });
    assert.equal(status, 206);
    assert.equal(headers['content-range'], `bytes ${start}-${end - 1}/200000`);
    assert.equal(headers['content-length'], String(end - start));
    assert.equal(body, content.slice(start, end));
  });
}

test('answers a range beyond the end with 416 and the length', async (t) => {
  const { get } = await aServer(t);
  const { status, headers } = await get('data.bin', { range: 'bytes=200000-' });
  assert.equal(status, 416);
  assert.equal(headers['content-range'], 'bytes */200000');
});

test('ignores ranges that it may ignore', () => {
  for (const header of [undefined, 'bytes=1-2,4-5', 'bytes=5-2', 'bytes=-', 'chunks=1-2', 'bytes=a-b']) {
    assert.equal(parseRange(header, 10), null);
  }
});

test('answers a known ETag with 304 and no body, and a replaced file with another ETag', async (t) => {
  const { get, server } = await aServer(t);
  const first = await get('metadata/timestamp.json');
  const etag = String(first.headers.etag);
  assert.equal(first.headers['cache-control'], 'no-cache');
  const again = await get('metadata/timestamp.json', { 'if-none-match': etag });
  assert.deepEqual([again.status, again.body, again.headers.etag], [304, '', etag]);
  assert.equal((await get('metadata/timestamp.json', { 'if-none-match': '"other"' })).status, 200);
  assert.ok(server.port > 0);
});

test('If-Range with an old ETag gives the whole file', async (t) => {
  const { get } = await aServer(t);
  const etag = String((await get('data.bin', {}, 'HEAD')).headers.etag);
  assert.equal((await get('data.bin', { range: 'bytes=5-', 'if-range': etag })).status, 206);
  assert.equal((await get('data.bin', { range: 'bytes=5-', 'if-range': '"old"' })).status, 200);
});

test('HEAD gives the headers of GET and no body', async (t) => {
  const { get } = await aServer(t);
  const { status, headers, body } = await get('data.bin', {}, 'HEAD');
  assert.deepEqual([status, headers['content-length'], body], [200, '200000', '']);
});

test('refuses other methods', async (t) => {
  const { get } = await aServer(t);
  const { status, headers } = await get('data.bin', {}, 'POST');
  assert.deepEqual([status, headers.allow], [405, 'GET, HEAD']);
});

test('serves an empty file', async (t) => {
  const { get } = await aServer(t);
  const { status, body } = await get('empty.bin');
  assert.deepEqual([status, body], [200, '']);
});

for (const target of [
  '/',
  '/metadata',
  '/metadata/',
  '/missing',
  '/data.bin/',
  '/data.bin/x',
  '/leak',
  '/../secret',
  '/metadata/../../secret',
  '/%2e%2e/secret',
  '/..%2fsecret',
  '/metadata/..%5c..%5csecret',
  '//etc/passwd',
  '/.hidden.part',
  '/%',
  '/data.bin%00',
]) {
  test(`gives nothing for ${target}`, async (t) => {
    const { server } = await aServer(t);
    assert.equal(await rawStatus(server.port, target), '404');
  });
}

test('a request target that is no path names no file', () => {
  for (const target of ['*', 'http://other/data.bin', '', `/${'a'.repeat(5000)}`])
    assert.equal(parsePath(target), null);
});

test('reports each request with its bytes', async (t) => {
  const { get, served } = await aServer(t);
  await get('data.bin', { range: 'bytes=0-99' });
  await get('missing');
  assert.deepEqual(served, [
    { method: 'GET', path: '/data.bin', status: 206, bytes: 100, range: 'bytes=0-99' },
    { method: 'GET', path: '/missing', status: 404, bytes: 0, range: null },
  ]);
});

test('survives a client that goes away in the middle', async (t) => {
  const { server, get } = await aServer(t);
  await new Promise<void>((resolve, reject) => {
    const socket = connect(server.port, '127.0.0.1', () => socket.write('GET /data.bin HTTP/1.1\r\nHost: x\r\n\r\n'));
    socket.once('data', () => {
      socket.resetAndDestroy();
      resolve();
    });
    socket.once('error', reject);
  });
  assert.equal((await get('data.bin')).status, 200);
});
