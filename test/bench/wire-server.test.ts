import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { parseRanges } from './byte-ranges.ts';
import { createWireServer } from './wire-server.ts';

const folder = mkdtempSync(join(tmpdir(), 'otad-bench-'));
writeFileSync(join(folder, 'file'), '0123456789');
const server = await createWireServer(folder);
after(async () => {
  await server.close();
  rmSync(folder, { recursive: true });
});

/** Sends these bytes over a socket of its own, and gives what came back until the server closed it. */
const exchange = (text: string): Promise<string> =>
  new Promise((done, fail) => {
    let answer = '';
    const socket = connect(Number(new URL(server.url).port), '127.0.0.1', () => socket.write(text));
    socket.setEncoding('latin1').on('data', (piece: string) => {
      answer += piece;
    });
    socket.on('end', () => done(answer)).on('error', fail);
  });

const request = (path: string, header = ''): string =>
  `GET /${path} HTTP/1.1\r\nHost: x\r\n${header}Connection: close\r\n\r\n`;

test('one range, several, and an open one are read; others mean the whole file', () => {
  assert.deepEqual(parseRanges('bytes=2-4', 10), [{ start: 2, end: 5 }]);
  assert.deepEqual(parseRanges('bytes=0-0,8-99', 10), [
    { start: 0, end: 1 },
    { start: 8, end: 10 },
  ]);
  assert.deepEqual(parseRanges('bytes=7-', 10), [{ start: 7, end: 10 }]);
  for (const header of [undefined, 'bytes=', 'bytes=5-2', 'bytes=99-', 'lines=1-2', 'bytes=1-2,x']) {
    assert.deepEqual(parseRanges(header, 10), [], String(header));
  }
});

test('every byte of a socket is counted, both ways, with the headers', async () => {
  server.reset();
  const asked = request('file');
  const answer = await exchange(asked);
  assert.ok(answer.endsWith('\r\n\r\n0123456789'));
  assert.deepEqual(server.count(), { requests: 1, downBytes: answer.length, upBytes: asked.length });
});

test('a range comes alone with its place in the file', async () => {
  const answer = await exchange(request('file', 'Range: bytes=2-4\r\n'));
  assert.match(answer, /^HTTP\/1\.1 206 [\s\S]*content-range: bytes 2-4\/10\r\n[\s\S]*\r\n\r\n234$/i);
});

test('several ranges come as parts, as long as the header says', async () => {
  const answer = await exchange(request('file', 'Range: bytes=0-1,8-9\r\n'));
  const [head = '', ...rest] = answer.split('\r\n\r\n');
  const body = rest.join('\r\n\r\n');
  assert.equal(body.length, Number(/content-length: (\d+)/i.exec(head)?.[1]));
  const parts = [...body.matchAll(/Content-Range: bytes (\S+)\r\n\r\n(\d+)\r\n--/g)].map(([, place, bytes]) => [
    place,
    bytes,
  ]);
  assert.deepEqual(parts, [
    ['0-1/10', '01'],
    ['8-9/10', '89'],
  ]);
});

test('what is not there is 404', async () => {
  for (const path of ['other', '../file', '.hidden']) assert.match(await exchange(request(path)), /^HTTP\/1\.1 404 /);
});
