// The HTTP client against a real server that misbehaves in each way that the field knows.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import type { RequestListener } from 'node:http';
import { createServer, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { createHttpClient, defaultHttpSettings, type HttpSettings } from '../../../agent/adapters/http.ts';
import { type ErrorCode, OtadError, toFailure } from '../../../agent/core/errors.ts';
import { aServer, serveFiles } from '../../support/loopback-server.ts';

const never = new AbortController().signal;

const aClient = (t: TestContext, changes: Partial<HttpSettings> = {}) => {
  const http = createHttpClient({ ...defaultHttpSettings, ...changes });
  t.after(() => http.close());
  return http;
};

const rejectsWith = async (promise: Promise<unknown>, code: ErrorCode): Promise<OtadError> => {
  const error = await promise.then(
    () => assert.fail(`resolved instead of ${code}`),
    (cause: unknown) => cause,
  );
  assert.ok(error instanceof OtadError, String(error));
  assert.equal(error.code, code, error.message);
  return error;
};

const collect = () => {
  const chunks: Buffer[] = [];
  const sink = (bytes: Uint8Array): void => void chunks.push(Buffer.from(bytes));
  return { sink, bytes: () => Buffer.concat(chunks) };
};

const fetchFrom = async (t: TestContext, answer: RequestListener, changes: Partial<HttpSettings> = {}) => {
  const server = await aServer(t, answer);
  const http = aClient(t, changes);
  const options = { maxBytes: 1000, signal: never, expects: 'json' } as const;
  return { server, promise: http.fetchBytes(`${server.url}/file`, options) };
};

test('fetches a file with its ETag, and asks for no encoding', async (t) => {
  const { server, promise } = await fetchFrom(t, serveFiles(new Map([['file', Buffer.from('{}')]])));
  const file = await promise;
  assert.ok(file !== 'unchanged');
  assert.equal(Buffer.from(file.bytes).toString(), '{}');
  assert.match(file.etag ?? '', /^"[0-9a-f]{16}"$/);
  assert.equal(server.requests[0]?.headers['accept-encoding'], 'identity');
});

test('a 304 to its own ETag is unchanged; one that nobody asked for is an error', async (t) => {
  const server = await aServer(t, serveFiles(new Map([['file', Buffer.from('{}')]])));
  const http = aClient(t);
  const first = await http.fetchBytes(`${server.url}/file`, { maxBytes: 10, signal: never });
  assert.ok(first !== 'unchanged');
  const again = { maxBytes: 10, signal: never, etag: first.etag };
  assert.equal(await http.fetchBytes(`${server.url}/file`, again), 'unchanged');
  const { promise } = await fetchFrom(t, (_, response) => response.writeHead(304).end());
  await rejectsWith(promise, 'HTTP_STATUS');
});

test('stops at the cap, with a declared length and without', async (t) => {
  const declared = await fetchFrom(t, (_, response) => response.end(Buffer.alloc(1001, 32)));
  await rejectsWith(declared.promise, 'FILE_TOO_LARGE');
  const endless = await fetchFrom(t, (_, response) => {
    const more = () => {
      while (!response.destroyed && response.write(Buffer.alloc(4096, 32)));
    };
    response.on('drain', more);
    more();
  });
  await rejectsWith(endless.promise, 'FILE_TOO_LARGE');
});

test('stops a server that pours what is no part of a file', async (t) => {
  const pouring = (head: string, piece: string) => async () => {
    const { promise } = await fetchFrom(t, ({ socket }) => {
      const more = (): void => {
        while (!socket.destroyed && socket.write(piece));
      };
      socket.on('error', () => undefined);
      socket.on('drain', more);
      socket.write(head);
      more();
    });
    await rejectsWith(promise, 'FILE_TOO_LARGE');
  };
  await pouring('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;', 'x'.repeat(65_536))();
  await pouring('', 'HTTP/1.1 103 Early Hints\r\n\r\n'.repeat(2000))();
});

test('refuses an encoded answer, whatever is inside', async (t) => {
  for (const encoding of ['gzip', 'br', 'zstd', 'x-unknown']) {
    const bytes = gzipSync(Buffer.alloc(100_000));
    const { promise } = await fetchFrom(t, (_, response) =>
      response.writeHead(200, { 'content-encoding': encoding }).end(bytes),
    );
    await rejectsWith(promise, 'HTTP_ENCODING_REFUSED');
  }
});

test('recognises a login page by its type, by its content, and by status 511', async (t) => {
  const page = '<!DOCTYPE html><title>Hotel</title>';
  const byType = await fetchFrom(t, (_, response) => response.writeHead(200, { 'content-type': 'text/html' }).end('x'));
  await rejectsWith(byType.promise, 'CAPTIVE_PORTAL');
  const byContent = await fetchFrom(t, (_, response) => response.end(`\ufeff\n${page}`));
  await rejectsWith(byContent.promise, 'CAPTIVE_PORTAL');
  const byStatus = await fetchFrom(t, (_, response) => response.writeHead(511).end(page));
  await rejectsWith(byStatus.promise, 'CAPTIVE_PORTAL');
});

test('says which status it was and how long to wait, within a day', async (t) => {
  const date = 'Thu, 01 Jan 1970 00:00:00 GMT';
  const cases: readonly (readonly [number, Record<string, string>, number | undefined])[] = [
    [404, {}, undefined],
    [403, {}, undefined],
    [500, { 'retry-after': 'soon' }, undefined],
    [429, { 'retry-after': '120' }, 120],
    [503, { 'retry-after': '0' }, 1],
    [503, { 'retry-after': '99999999999' }, 86_400],
    [503, { 'retry-after': 'Thu, 01 Jan 1970 00:05:00 GMT', date }, 300],
    [503, { 'retry-after': 'Wed, 31 Dec 1969 00:05:00 GMT', date }, 1],
  ];
  for (const [status, headers, wanted] of cases) {
    const { promise } = await fetchFrom(t, (_, response) => response.writeHead(status, headers).end());
    const error = await rejectsWith(promise, 'HTTP_STATUS');
    assert.equal(error.details.status, status);
    assert.equal(toFailure(error).retryAfterS, wanted);
  }
});

test('a body that ends early is truncated, not short', async (t) => {
  const cut = await fetchFrom(t, (_, response) => {
    response.writeHead(200, { 'content-length': 100 });
    response.write('{"a":', () => response.destroy());
  });
  await rejectsWith(cut.promise, 'HTTP_TRUNCATED');
  const chunked = await fetchFrom(t, (_, response) => void response.write('{"a":', () => response.destroy()));
  await rejectsWith(chunked.promise, 'HTTP_TRUNCATED');
});

test('a server that is gone is unreachable', async (t) => {
  const server = await aServer(t, () => undefined);
  await server.close();
  const error = await rejectsWith(
    aClient(t).fetchBytes(server.url, { maxBytes: 1, signal: never }),
    'HTTP_UNREACHABLE',
  );
  assert.equal(error.details.errno, 'ECONNREFUSED');
});

test('a server that drops the connection or talks no HTTP is unreachable', async (t) => {
  for (const talk of [(s: Socket) => s.destroy(), (s: Socket) => void s.end('SSH-2.0-OpenSSH\r\n\r\n')]) {
    const server = createServer(talk);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    t.after(() => server.close());
    const { port } = server.address() as { port: number };
    const promise = aClient(t).fetchBytes(`http://127.0.0.1:${port}/`, { maxBytes: 1, signal: never });
    await rejectsWith(promise, 'HTTP_UNREACHABLE');
  }
});

test('a server that never answers, or drips its headers, times out', async (t) => {
  const silent = await fetchFrom(t, () => undefined, { headersTimeoutMs: 60 });
  assert.equal((await rejectsWith(silent.promise, 'HTTP_TIMEOUT')).details.phase, 'headers');
  const dripping = await fetchFrom(
    t,
    (request) => {
      request.socket.write('HTTP/1.1 200 OK\r\n');
      const timer = setInterval(() => request.socket.write('x-drip: 1\r\n'), 10);
      request.socket.on('close', () => clearInterval(timer));
      request.socket.on('error', () => undefined);
    },
    { headersTimeoutMs: 60 },
  );
  await rejectsWith(dripping.promise, 'HTTP_TIMEOUT');
});

const drip: RequestListener = (_, response) => {
  response.writeHead(200, { 'content-length': 1000 });
  const timer = setInterval(() => response.write('x'), 5);
  response.on('close', () => clearInterval(timer));
};

test('a body that stalls times out, one that drips is too slow, and one that takes too long in all ends', async (t) => {
  const stall: RequestListener = (_, response) => void response.writeHead(200, { 'content-length': 9 }).write('{');
  const stalled = await fetchFrom(t, stall, { idleTimeoutMs: 80 });
  assert.equal((await rejectsWith(stalled.promise, 'HTTP_TIMEOUT')).details.phase, 'body');
  const dripping = await fetchFrom(t, drip, { rateWindowMs: 100, minRateBytesPerS: 10_000 });
  await rejectsWith(dripping.promise, 'HTTP_TOO_SLOW');
  const endless = await fetchFrom(t, drip, { fetchDeadlineMs: 150, minRateBytesPerS: 0 });
  assert.equal((await rejectsWith(endless.promise, 'HTTP_TIMEOUT')).details.phase, 'total');
});

test('the caller can cancel before, during the head, and during the body', async (t) => {
  const server = await aServer(t, (request, response) => {
    if (request.url === '/body') {
      response.writeHead(200, { 'content-length': 9 }).write('{');
    }
  });
  const http = aClient(t);
  const options = { maxBytes: 100 };
  await rejectsWith(http.fetchBytes(`${server.url}/`, { ...options, signal: AbortSignal.abort() }), 'CANCELLED');
  for (const path of ['/head', '/body']) {
    const controller = new AbortController();
    const promise = http.fetchBytes(server.url + path, { ...options, signal: controller.signal });
    setTimeout(() => controller.abort(), 30);
    await rejectsWith(promise, 'CANCELLED');
  }
});

test('follows three redirects, and not a fourth', async (t) => {
  const hop: RequestListener = (request, response) => {
    const left = Number(request.url?.slice(1));
    if (left === 0) {
      response.end('{}');
    } else {
      response.writeHead(left % 2 === 0 ? 302 : 308, { location: `/${left - 1}` }).end();
    }
  };
  const server = await aServer(t, hop);
  const http = aClient(t);
  const options = { maxBytes: 10, signal: never };
  assert.notEqual(await http.fetchBytes(`${server.url}/3`, options), 'unchanged');
  await rejectsWith(http.fetchBytes(`${server.url}/4`, options), 'HTTP_REDIRECT_REFUSED');
});

test('a stream arrives whole and in order, with a sink that takes its time', async (t) => {
  const file = randomBytes(3_000_000);
  const server = await aServer(t, serveFiles(new Map([['file', file]])));
  const { sink, bytes } = collect();
  let busy = 0;
  await aClient(t).streamRange(`${server.url}/file`, {
    offset: 0,
    lengthTotal: file.length,
    signal: never,
    sink: (chunk) => {
      assert.equal(busy, 0, 'the sink is never called while it is busy');
      sink(chunk);
      if (chunk.length % 3 === 0) {
        return;
      }
      busy += 1;
      return new Promise((resolve) =>
        setImmediate(() => {
          busy -= 1;
          resolve();
        }),
      );
    },
  });
  assert.ok(bytes().equals(file));
});

test('a stream resumes at any offset, and at the end asks for nothing', async (t) => {
  const file = randomBytes(100_000);
  const server = await aServer(t, serveFiles(new Map([['file', file]])));
  const http = aClient(t);
  for (const offset of [1, 4096, 99_999]) {
    const { sink, bytes } = collect();
    await http.streamRange(`${server.url}/file`, { offset, lengthTotal: file.length, sink, signal: never });
    assert.ok(bytes().equals(file.subarray(offset)));
  }
  const asked = server.requests.length;
  const { sink } = collect();
  await http.streamRange(`${server.url}/file`, { offset: file.length, lengthTotal: file.length, sink, signal: never });
  assert.equal(server.requests.length, asked);
});

const streamFrom = async (
  t: TestContext,
  offset: number,
  answer: RequestListener,
  changes: Partial<HttpSettings> = {},
) => {
  const server = await aServer(t, answer);
  const { sink, bytes } = collect();
  const options = { offset, lengthTotal: 1000, sink, signal: never };
  return { promise: aClient(t, changes).streamRange(`${server.url}/file`, options), bytes };
};

const lies: Readonly<Record<string, RequestListener>> = {
  'the whole file from byte 0': (_, response) => response.end(Buffer.alloc(1000)),
  'another start': (_, response) =>
    response.writeHead(206, { 'content-range': 'bytes 0-999/1000' }).end(Buffer.alloc(1000)),
  'another total': (_, response) =>
    response.writeHead(206, { 'content-range': 'bytes 100-999/2000' }).end(Buffer.alloc(900)),
  'an unknown total': (_, response) =>
    response.writeHead(206, { 'content-range': 'bytes 100-999/*' }).end(Buffer.alloc(900)),
  'no range': (_, response) => response.writeHead(206).end(Buffer.alloc(900)),
  'several parts': (_, response) =>
    response.writeHead(206, { 'content-type': 'multipart/byteranges; boundary=x' }).end('--x'),
};

for (const [what, answer] of Object.entries(lies)) {
  test(`a Range request answered with ${what} delivers not one byte`, async (t) => {
    const { promise, bytes } = await streamFrom(t, 100, answer);
    await rejectsWith(promise, 'HTTP_RANGE_MISMATCH');
    assert.equal(bytes().length, 0);
  });
}

test('a stream that goes on after its signed end is cut there', async (t) => {
  const endless = await streamFrom(t, 0, (_, response) => {
    response.write(Buffer.alloc(1000));
    response.end(Buffer.alloc(1));
  });
  await rejectsWith(endless.promise, 'FILE_TOO_LARGE');
  assert.ok(endless.bytes().length <= 1000);
  const declared = await streamFrom(t, 0, (_, response) => response.end(Buffer.alloc(1001)));
  await rejectsWith(declared.promise, 'FILE_TOO_LARGE');
  assert.equal(declared.bytes().length, 0);
});

test('a stream that ends early keeps what arrived and says so', async (t) => {
  const broken = await streamFrom(t, 0, (_, response) => {
    response.writeHead(200, { 'content-length': 1000 });
    response.write(Buffer.alloc(300), () => setImmediate(() => response.destroy()));
  });
  await rejectsWith(broken.promise, 'HTTP_TRUNCATED');
  assert.equal(broken.bytes().length, 300);
  const short = await streamFrom(t, 0, (_, response) => response.end(Buffer.alloc(999)));
  await rejectsWith(short.promise, 'HTTP_TRUNCATED');
});

test('a stream refuses pages and encodings', async (t) => {
  const page = await streamFrom(t, 0, (_, r) => r.writeHead(200, { 'content-type': 'text/html' }).end('x'));
  await rejectsWith(page.promise, 'CAPTIVE_PORTAL');
  const packed = await streamFrom(t, 0, (_, r) => r.writeHead(200, { 'content-encoding': 'gzip' }).end('x'));
  await rejectsWith(packed.promise, 'HTTP_ENCODING_REFUSED');
});

test('an error of the sink passes as it is, thrown or rejected, and ends the stream', async (t) => {
  const file = randomBytes(1_000_000);
  const server = await aServer(t, serveFiles(new Map([['file', file]])));
  const failure = new OtadError('SLOT_IO', { errno: 'EIO' });
  for (const sink of [
    () => {
      throw failure;
    },
    () => Promise.reject(failure),
  ]) {
    let calls = 0;
    const counting = (): void | Promise<void> => {
      calls += 1;
      return sink();
    };
    const options = { offset: 0, lengthTotal: file.length, sink: counting, signal: never };
    await assert.rejects(aClient(t).streamRange(`${server.url}/file`, options), (error) => error === failure);
    assert.equal(calls, 1);
  }
});

test('a slow sink is not a slow server', async (t) => {
  const file = randomBytes(400_000);
  const server = await aServer(t, serveFiles(new Map([['file', file]])));
  let wasHeld = false;
  await aClient(t, { idleTimeoutMs: 40, rateWindowMs: 40, minRateBytesPerS: 100 }).streamRange(`${server.url}/file`, {
    offset: 0,
    lengthTotal: file.length,
    signal: never,
    sink: () => {
      if (wasHeld) {
        return;
      }
      wasHeld = true;
      return new Promise((resolve) => setTimeout(resolve, 150));
    },
  });
});

test('when the caller cancels, the sink that is at work is waited for', async (t) => {
  const server = await aServer(t, serveFiles(new Map([['file', randomBytes(1_000_000)]])));
  const controller = new AbortController();
  let isDone = false;
  const options = {
    offset: 0,
    lengthTotal: 1_000_000,
    signal: controller.signal,
    sink: () => {
      controller.abort();
      return new Promise<void>((resolve) =>
        setTimeout(() => {
          isDone = true;
          resolve();
        }, 50),
      );
    },
  };
  await rejectsWith(aClient(t).streamRange(`${server.url}/file`, options), 'CANCELLED');
  assert.equal(isDone, true);
});

test('plain HTTP goes through the configured proxy, and around it where told', async (t) => {
  const origin = await aServer(t, (_, response) => response.end('{"from":"origin"}'));
  const proxy = await aServer(t, (_, response) => response.end('{"from":"proxy"}'));
  const fetchText = async (except: string): Promise<string> => {
    const http = aClient(t, { proxy: { http: proxy.url, https: null, except } });
    const file = await http.fetchBytes(`${origin.url}/x`, { maxBytes: 100, signal: never });
    return file === 'unchanged' ? file : Buffer.from(file.bytes).toString();
  };
  assert.equal(await fetchText(''), '{"from":"proxy"}');
  assert.deepEqual(proxy.paths(), [`${origin.url}/x`]);
  assert.equal(await fetchText('127.0.0.1'), '{"from":"origin"}');
});

test('the environment is not read behind the settings', async (t) => {
  const origin = await aServer(t, (_, response) => response.end('{}'));
  process.env.http_proxy = 'http://127.0.0.1:1';
  t.after(() => delete process.env.http_proxy);
  await aClient(t).fetchBytes(`${origin.url}/x`, { maxBytes: 100, signal: never });
});

test('a CA file that is not there is named', async (t) => {
  const http = aClient(t, { caFile: '/nonexistent/ca.pem' });
  const promise = http.fetchBytes('https://127.0.0.1:1/', { maxBytes: 1, signal: never });
  await rejectsWith(promise, 'CONFIG_UNREADABLE');
});
