// Mutual TLS against a real server that demands a certificate of its own authority, with files that openssl made.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { chmodSync, cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, type TestContext, test } from 'node:test';
import type { TLSSocket } from 'node:tls';
import { createHttpClient, defaultHttpSettings } from '../../../agent/adapters/http.ts';
import { openConnections } from '../../../agent/adapters/http-dispatcher.ts';
import { createTraffic } from '../../../agent/adapters/http-traffic.ts';
import { OtadError } from '../../../agent/core/errors.ts';
import { openCertificates, validNow } from '../../support/certificates.ts';

const certificates = openCertificates();
after(() => certificates.close());
certificates.makeAuthority('authority');
certificates.makeAuthority('stranger');
const server = certificates.makeServer('server', 'authority', 'IP:127.0.0.1', validNow);
const first = certificates.makeServer('gateway-1', 'authority', 'DNS:gw', validNow);
const second = certificates.makeServer('gateway-2', 'authority', 'DNS:gw', validNow);
const foreign = certificates.makeServer('gateway-3', 'stranger', 'DNS:gw', validNow);
const caFile = certificates.caFile('authority');
const signal = new AbortController().signal;

/** A server that serves nobody it does not know, and keeps who came. */
const aStrictServer = async (t: TestContext) => {
  const names: string[] = [];
  const options = { ...server, ca: certificates.read('authority.crt'), requestCert: true, rejectUnauthorized: true };
  const strict = createServer(options, (request, response) => {
    names.push(String((request.socket as TLSSocket).getPeerCertificate().subject.CN));
    response.end('{}');
  });
  await new Promise<void>((resolve) => strict.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    strict.closeAllConnections();
    strict.close();
  });
  return { names, url: `https://127.0.0.1:${(strict.address() as AddressInfo).port}/x` };
};

/** One that says by a TLS alert what it does not like, as most servers do; Node's own just hangs up. */
const anOpensslServer = async (t: TestContext, version: string): Promise<string> => {
  const files = ['-cert', 'server.crt', '-key', 'server.key', '-CAfile', 'authority.crt'];
  const args = [
    's_server',
    '-accept',
    '127.0.0.1:0',
    version,
    ...files,
    '-Verify',
    '1',
    '-verify_return_error',
    '-www',
  ];
  const child = spawn('openssl', args, { cwd: dirname(caFile), stdio: ['ignore', 'pipe', 'ignore'] });
  t.after(() => child.kill('SIGKILL'));
  let text = '';
  for await (const piece of child.stdout) {
    text += piece;
    const port = /^ACCEPT 127\.0\.0\.1:(\d+)$/m.exec(text)?.[1];
    if (port !== undefined) return `https://127.0.0.1:${port}/x`;
  }
  throw new Error(`openssl did not listen: ${text}`);
};

const aFolder = (t: TestContext) => {
  const folder = mkdtempSync(join(tmpdir(), 'otad-client-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const files = { certFile: join(folder, 'client.crt'), keyFile: join(folder, 'client.key') };
  const put = (name: 'certFile' | 'keyFile', bytes: Uint8Array): void => {
    // As a renewal does: a new file takes the place of the old one.
    writeFileSync(`${files[name]}.new`, bytes, { mode: 0o600 });
    cpSync(`${files[name]}.new`, files[name]);
    chmodSync(files[name], 0o600);
  };
  return { files, put };
};

const aClient = (t: TestContext, clientCertificate: { certFile: string; keyFile: string } | null) => {
  const http = createHttpClient({ ...defaultHttpSettings, caFile, clientCertificate });
  t.after(() => http.close());
  return (url: string) => http.fetchBytes(url, { maxBytes: 100, signal });
};

const isError =
  (code: string, pattern: RegExp) =>
  (error: unknown): boolean => {
    assert.ok(error instanceof OtadError, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, pattern);
    return true;
  };

test('shows its certificate to a server that demands one, and the renewed one without a restart', async (t) => {
  const { names, url } = await aStrictServer(t);
  const { files, put } = aFolder(t);
  put('certFile', first.cert);
  put('keyFile', first.key);
  const fetch = aClient(t, files);
  await fetch(url);
  await fetch(url);
  // Between the two files of a renewal the old pair goes on.
  put('certFile', second.cert);
  await fetch(url);
  put('keyFile', second.key);
  await fetch(url);
  assert.deepEqual(names, ['TEST gateway-1', 'TEST gateway-1', 'TEST gateway-1', 'TEST gateway-2']);
});

for (const version of ['-tls1_2', '-tls1_3']) {
  test(`says that the server wants a certificate, or refuses ours: ${version}`, async (t) => {
    const url = await anOpensslServer(t, version);
    await assert.rejects(aClient(t, null)(url), isError('HTTP_UNREACHABLE', /problem: .*client certificate/));
    const { files, put } = aFolder(t);
    put('certFile', foreign.cert);
    put('keyFile', foreign.key);
    await assert.rejects(aClient(t, files)(url), isError('HTTP_UNREACHABLE', /problem: .*client certificate/));
  });
}

test('names the file that cannot be used, and why, before it connects', async (t) => {
  const { files, put } = aFolder(t);
  const url = 'https://127.0.0.1:1/';
  const fails = (pattern: RegExp) =>
    assert.rejects(aClient(t, files)(url), isError('CLIENT_CERTIFICATE_UNUSABLE', pattern));
  await fails(/client\.crt, problem: ENOENT/);
  put('certFile', first.cert);
  await fails(/client\.key, problem: ENOENT/);
  put('keyFile', second.key);
  await fails(/is not the key of .*client\.crt/);
  put('keyFile', Buffer.from('-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----\n'));
  await fails(/no private key/);
  put('keyFile', first.key);
  for (const mode of [0o604, 0o660, 0o644]) {
    chmodSync(files.keyFile, mode);
    await fails(new RegExp(`mode ${mode.toString(8)} lets others`));
  }
  chmodSync(files.keyFile, 0o640);
  await assert.rejects(aClient(t, files)(url), isError('HTTP_UNREACHABLE', /ECONNREFUSED/));
});

test('does not show who this gateway is to another host that it was redirected to', async (t) => {
  const { names, url } = await aStrictServer(t);
  const { files, put } = aFolder(t);
  put('certFile', first.cert);
  put('keyFile', first.key);
  const settings = { ...defaultHttpSettings, caFile, clientCertificate: files };
  const connections = await openConnections(settings, createTraffic());
  t.after(() => connections.close());
  const ask = async (isGuarded: boolean): Promise<void> => {
    const { origin, pathname } = new URL(url);
    const answer = await connections
      .dispatcherFor(new URL(url), isGuarded)
      .request({ origin, path: pathname, method: 'GET' });
    await answer.body.dump();
  };
  // A server of Node hangs up on a client that shows nothing.
  await assert.rejects(ask(true), /other side closed|socket hang up|ECONNRESET/);
  await ask(false);
  assert.deepEqual(names, ['TEST gateway-1']);
});
