// Fault model: mirrors that are gone, that take connections and say nothing, that are busy, that know no ranges, that break off, that
// lie. Counted is who is asked.

import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { type TestContext, test } from 'node:test';
import { createHttpClient, defaultHttpSettings } from '../../../agent/adapters/http.ts';
import { silenceMs } from '../../../agent/adapters/mirror-ranking.ts';
import { createMirrors } from '../../../agent/adapters/mirrors.ts';
import { OtadError } from '../../../agent/core/errors.ts';
import { aServer, type LoopbackServer } from '../../support/loopback-server.ts';

const never = new AbortController().signal;
const file = Buffer.from('0123456789');

const aGoodServer = (t: TestContext): Promise<LoopbackServer> =>
  aServer(t, (request, response) => {
    const [, from = '0', to = ''] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '') ?? [];
    const part = file.subarray(Number(from), to === '' ? file.length : Number(to) + 1);
    const last = Number(from) + part.length - 1;
    if (request.headers.range === undefined) response.writeHead(200, { 'content-length': part.length });
    else response.writeHead(206, { 'content-range': `bytes ${from}-${last}/${file.length}` });
    response.end(part);
  });

/** Takes connections and never says a word. */
const aMuteServer = async (t: TestContext) => {
  let connections = 0;
  const server = createServer((socket) => {
    connections += 1;
    socket.on('error', () => undefined);
    t.after(() => socket.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  const address = server.address();
  const port = typeof address === 'object' ? address?.port : 0;
  return { url: `http://127.0.0.1:${port}`, connections: () => connections };
};

const aBench = (t: TestContext, baseUrls: readonly string[]) => {
  const http = createHttpClient({ ...defaultHttpSettings, headersTimeoutMs: 500 });
  t.after(() => http.close());
  const clock = { nowMs: 0 };
  const mirrors = createMirrors(http, baseUrls, () => clock.nowMs);
  const part = async (): Promise<string> => {
    const pieces: string[] = [];
    const sink = (bytes: Uint8Array) => void pieces.push(Buffer.from(bytes).toString());
    await mirrors.streamRange('file', { offset: 2, end: 5, lengthTotal: file.length }, sink, never);
    return pieces.join('');
  };
  return { mirrors, clock, part };
};

test('a mirror that takes connections and says nothing is asked once in some minutes, not for every part', async (t) => {
  const mute = await aMuteServer(t);
  const good = await aGoodServer(t);
  const { part, clock } = aBench(t, [mute.url, good.url]);
  for (let parts = 0; parts < 20; parts += 1) assert.equal(await part(), '234');
  // A part that gets no answer at all is tried once more: the connection may have been an old one.
  assert.ok(mute.connections() <= 2, `${mute.connections()} connections`);
  const before = mute.connections();
  clock.nowMs = silenceMs - 1;
  await part();
  assert.equal(mute.connections(), before);
  clock.nowMs = silenceMs;
  await part();
  assert.ok(mute.connections() > before);
});

test('one that is gone is asked last, for files and whole images as well', async (t) => {
  const gone = await aGoodServer(t);
  const good = await aGoodServer(t);
  const { mirrors } = aBench(t, [gone.url, good.url]);
  await gone.close();
  const sent: string[] = [];
  await mirrors.fetch('file', 10, never);
  await good.close();
  const last = await mirrors.stream('file', 0, 10, (_bytes, server) => void sent.push(server), never).catch((e) => e);
  assert.ok(last instanceof OtadError && last.code === 'HTTP_UNREACHABLE');
  assert.match(String(last.details.url), new RegExp(`:${gone.port}/`), 'it was the last one that was asked');
});

test('one that answers and breaks off, or has no such file, keeps its place', async (t) => {
  let asked = 0;
  const breaking = await aServer(t, (request, response) => {
    asked += 1;
    if (asked === 1) return void response.writeHead(404).end();
    const from = Number(/^bytes=(\d)-4$/.exec(request.headers.range ?? '')?.[1]);
    response.writeHead(206, { 'content-length': 5 - from, 'content-range': `bytes ${from}-4/10` });
    response.write('2', () => setImmediate(() => response.destroy()));
  });
  const good = await aGoodServer(t);
  const { part } = aBench(t, [breaking.url, good.url]);
  await part();
  const first = asked;
  await part();
  const second = asked;
  await part();
  assert.ok(first === 1 && second > first && asked > second);
});

for (const [name, status, retryAfterS] of [
  ['answers a part with the whole file', 200, null],
  ['has no such part', 416, null],
  ['has too much to do', 429, null],
  ['is out of order', 500, null],
  ['says when to come again', 503, 3600],
] as const) {
  test(`a mirror that ${name} is asked once in some minutes, not for every part`, async (t) => {
    const first = await aServer(t, (request, response) => {
      const isPart = request.headers.range !== undefined;
      const headers = retryAfterS === null ? {} : { 'retry-after': String(retryAfterS) };
      if (isPart || status >= 429) response.writeHead(status, headers).end(status === 200 ? file : undefined);
      else response.writeHead(200, { 'content-length': file.length }).end(file);
    });
    const good = await aGoodServer(t);
    const { mirrors, part, clock } = aBench(t, [first.url, good.url]);
    for (let parts = 0; parts < 20; parts += 1) assert.equal(await part(), '234');
    assert.equal(first.requests.length, 1);
    // Only who gives nothing at all is asked last for whole files as well.
    const senders = new Set<string>();
    await mirrors.stream('file', 0, file.length, (_bytes, server) => void senders.add(server), never);
    assert.deepEqual([...senders], [status >= 429 ? good.url : first.url]);
    const before = first.requests.length;
    // The rest of a file is a part.
    await mirrors.stream('file', 4, file.length, () => undefined, never);
    clock.nowMs = (retryAfterS === null ? silenceMs : retryAfterS * 1000) - 1;
    await part();
    assert.equal(first.requests.length, before);
    clock.nowMs += 1;
    await part();
    assert.equal(first.requests.length, before + 1);
  });
}

test('what comes along before the bytes that are missing is told', async (t) => {
  const { url } = await aServer(t, (_, response) => void response.end(file));
  const { mirrors } = aBench(t, [url]);
  let [text, skippedBytes] = ['', 0];
  const sink = (bytes: Uint8Array): void => {
    text += Buffer.from(bytes).toString();
  };
  await mirrors.stream('file', 4, file.length, sink, never, (lengthBytes) => {
    skippedBytes += lengthBytes;
  });
  assert.deepEqual([text, skippedBytes], ['456789', 4]);
});

test('one that was silent is asked before one that lies', async (t) => {
  const mute = await aMuteServer(t);
  const liar = await aGoodServer(t);
  const { part, mirrors } = aBench(t, [mute.url, liar.url]);
  await part();
  const before = mute.connections();
  mirrors.demote(liar.url);
  await part();
  assert.ok(mute.connections() > before);
});

/** Sends so many bytes of what it is asked for, and breaks off. Notes where it was asked to begin. */
const aCuttingServer = async (t: TestContext, cutAfterBytes: number) => {
  const asked: number[] = [];
  const { url } = await aServer(t, (request, response) => {
    const [, from = '', to = ''] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
    asked.push(Number(from));
    const part = file.subarray(Number(from), Number(to) + 1);
    const headers = { 'content-length': part.length, 'content-range': `bytes ${from}-${to}/${file.length}` };
    response.writeHead(206, headers);
    if (part.length <= cutAfterBytes) return void response.end(part);
    response.write(part.subarray(0, cutAfterBytes), () => setImmediate(() => response.destroy()));
  });
  return { url, asked };
};

test('a part that breaks off goes on at its byte, and is whole after three times', async (t) => {
  const cutting = await aCuttingServer(t, 2);
  const { mirrors } = aBench(t, [cutting.url]);
  let text = '';
  const sink = (bytes: Uint8Array): void => {
    text += Buffer.from(bytes).toString();
  };
  await mirrors.streamRange('file', { offset: 1, end: 9, lengthTotal: file.length }, sink, never);
  assert.deepEqual([text, cutting.asked], ['12345678', [1, 3, 5, 7]]);
});

test('a mirror that breaks off a fourth time is left, and the next one gives all of the part', async (t) => {
  const [alone, first, good] = [await aCuttingServer(t, 1), await aCuttingServer(t, 1), await aCuttingServer(t, 10)];
  const range = { offset: 1, end: 9, lengthTotal: file.length };
  await assert.rejects(
    aBench(t, [alone.url]).mirrors.streamRange('file', range, () => undefined, never),
    (error) => error instanceof OtadError && error.class === 'transient',
  );
  assert.deepEqual(alone.asked, [1, 2, 3, 4]);
  let text = '';
  const sink = (bytes: Uint8Array, server: string): void => {
    if (server === good.url) text += Buffer.from(bytes).toString();
  };
  await aBench(t, [first.url, good.url]).mirrors.streamRange('file', range, sink, never);
  assert.deepEqual([first.asked, good.asked, text], [[1, 2, 3, 4], [1], '12345678']);
});
