// The client behind a real little proxy: plain HTTP, CONNECT, credentials, and the ways around it.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, type TestContext, test } from 'node:test';
import { createHttpClient, defaultHttpSettings, type HttpSettings } from '../../../agent/adapters/http.ts';
import { OtadError } from '../../../agent/core/errors.ts';
import { openCertificates, validNow } from '../../support/certificates.ts';
import { aProxy } from '../../support/loopback-proxy.ts';
import { aServer, aTlsServer, serveFiles } from '../../support/loopback-server.ts';

const certificates = openCertificates();
after(() => certificates.close());
certificates.makeAuthority('authority');
const localhost = certificates.makeServer('server', 'authority', 'DNS:localhost', validNow);
const gateway = certificates.makeServer('gateway', 'authority', 'DNS:gw', validNow);
const signal = new AbortController().signal;
const image = randomBytes(200_000);
const files = serveFiles(new Map([['image', image]]));

const aClient = (t: TestContext, changes: Partial<HttpSettings>) => {
  const http = createHttpClient({ ...defaultHttpSettings, caFile: certificates.caFile('authority'), ...changes });
  t.after(() => http.close());
  return async (url: string, offset = 0): Promise<Buffer> => {
    const pieces: Buffer[] = [];
    const sink = (bytes: Uint8Array): void => void pieces.push(Buffer.from(bytes));
    await http.streamRange(url, { offset, lengthTotal: image.length, sink, signal });
    return Buffer.concat(pieces);
  };
};

test('http goes through the proxy by its URL, https through a tunnel, ranges too', async (t) => {
  const proxy = await aProxy(t);
  const plain = await aServer(t, files);
  const tls = await aTlsServer(t, localhost, files);
  const fetch = aClient(t, { proxy: { http: proxy.url, https: proxy.url, except: '' } });
  // The name is for the proxy to resolve.
  assert.ok((await fetch(`http://updates.invalid:${plain.port}/image`)).equals(image));
  assert.ok((await fetch(`https://localhost:${tls.port}/image`, 150_000)).equals(image.subarray(150_000)));
  assert.deepEqual(proxy.asked, [`GET http://updates.invalid:${plain.port}/image`, `CONNECT localhost:${tls.port}`]);
});

test('goes around the proxy where no_proxy says so', async (t) => {
  const proxy = await aProxy(t);
  const { url } = await aServer(t, files);
  const { port } = new URL(url);
  for (const except of ['*', '127.0.0.1', '127.0.0.0/8', `127.0.0.1:${port}`, 'a.example, 127.0.0.0/8']) {
    assert.ok((await aClient(t, { proxy: { http: proxy.url, https: null, except } })(`${url}/image`)).equals(image));
  }
  assert.deepEqual(proxy.asked, []);
  for (const except of ['', '127.0.0.1:1', '10.0.0.0/8', '.0.0.1']) {
    await aClient(t, { proxy: { http: proxy.url, https: null, except } })(`${url}/image`);
  }
  assert.equal(proxy.asked.length, 4);
});

test('a proxy gets its credentials, and one that refuses is unreachable or an error status, never a bad update', async (t) => {
  const proxy = await aProxy(t, 'gw:secret');
  const plain = await aServer(t, files);
  const tls = await aTlsServer(t, localhost, files);
  const known = proxy.url.replace('http://', 'http://gw:secret@');
  const fetch = aClient(t, { proxy: { http: known, https: known, except: '' } });
  assert.ok((await fetch(`${plain.url}/image`)).equals(image));
  assert.ok((await fetch(`https://localhost:${tls.port}/image`)).equals(image));
  const stranger = aClient(t, { proxy: { http: proxy.url, https: proxy.url, except: '' } });
  for (const url of [`${plain.url}/image`, `https://localhost:${tls.port}/image`]) {
    await assert.rejects(stranger(url), (error) => error instanceof OtadError && error.class === 'transient');
  }
});

test('a certificate for another name is a captive portal through a proxy too', async (t) => {
  const proxy = await aProxy(t);
  const tls = await aTlsServer(t, gateway, files);
  const fetch = aClient(t, { proxy: { http: null, https: proxy.url, except: '' } });
  const isPortal = (error: unknown): boolean => error instanceof OtadError && error.code === 'CAPTIVE_PORTAL';
  await assert.rejects(fetch(`https://localhost:${tls.port}/image`), isPortal);
});
