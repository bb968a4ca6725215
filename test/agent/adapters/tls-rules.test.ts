// TLS against certificates that openssl makes: dates are passed over, everything else is not.

import assert from 'node:assert/strict';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { after, type TestContext, test } from 'node:test';
import { createHttpClient, defaultHttpSettings } from '../../../agent/adapters/http.ts';
import { OtadError } from '../../../agent/core/errors.ts';
import {
  type KeyPair,
  openCertificates,
  type Validity,
  validBefore,
  validLater,
  validNow,
} from '../../support/certificates.ts';

const certificates = openCertificates();
after(() => certificates.close());
certificates.makeAuthority('authority');
certificates.makeAuthority('stranger');
const here = 'IP:127.0.0.1';
const elsewhere = 'DNS:elsewhere.test';
const servers = new Map<string, KeyPair>(
  (
    [
      ['good', 'authority', here, validNow],
      ['expired', 'authority', here, validBefore],
      ['future', 'authority', here, validLater],
      ['elsewhere', 'authority', elsewhere, validNow],
      ['expired-elsewhere', 'authority', elsewhere, validBefore],
      ['expired-by-name', 'authority', 'DNS:localhost', validBefore],
      ['strange', 'stranger', here, validNow],
      ['strange-elsewhere', 'stranger', elsewhere, validNow],
      ['expired-strange', 'stranger', here, validBefore],
    ] satisfies [string, string, string, Validity][]
  ).map(([name, ...rest]) => [name, certificates.makeServer(name, ...rest)]),
);
const authority = certificates.caFile('authority');

const fetchFrom = async (t: TestContext, name: string, caFile: string | null, host = '127.0.0.1') => {
  const server = createServer(servers.get(name) ?? {}, (_, response) => response.end('{}'));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  const http = createHttpClient({ ...defaultHttpSettings, caFile });
  t.after(() => http.close());
  const { port } = server.address() as AddressInfo;
  return http.fetchBytes(`https://${host}:${port}/`, { maxBytes: 10, signal: new AbortController().signal });
};

for (const name of ['good', 'expired', 'future']) {
  test(`speaks to a server of the configured authority: ${name}`, async (t) => {
    assert.notEqual(await fetchFrom(t, name, authority), 'unchanged');
  });
}

test('a name is compared as well when a date is passed over', async (t) => {
  assert.notEqual(await fetchFrom(t, 'expired-by-name', authority, 'localhost'), 'unchanged');
});

const isUnreachable = (error: unknown): boolean => error instanceof OtadError && error.code === 'HTTP_UNREACHABLE';

for (const name of ['elsewhere', 'expired-elsewhere', 'strange-elsewhere']) {
  test(`takes a server for another name for a captive portal, whoever signed it: ${name}`, async (t) => {
    const isPortal = (error: unknown): boolean =>
      error instanceof OtadError && error.code === 'CAPTIVE_PORTAL' && /names: DNS:elsewhere\.test/.test(error.message);
    await assert.rejects(fetchFrom(t, name, authority), isPortal);
  });
}

for (const name of ['strange', 'expired-strange']) {
  test(`does not speak to a server of another authority: ${name}`, async (t) => {
    await assert.rejects(fetchFrom(t, name, authority), isUnreachable);
  });
}

test('without a CA file only the built-in authorities count', async (t) => {
  await assert.rejects(fetchFrom(t, 'good', null), isUnreachable);
  await assert.rejects(fetchFrom(t, 'expired', null), isUnreachable);
});
