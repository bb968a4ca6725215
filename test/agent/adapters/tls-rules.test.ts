// TLS against certificates that openssl makes: dates are passed over, everything else is not.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, type TestContext, test } from 'node:test';
import { createHttpClient, defaultHttpSettings } from '../../../agent/adapters/http.ts';
import { OtadError } from '../../../agent/core/errors.ts';

const folder = mkdtempSync(join(tmpdir(), 'otad-tls-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const inFolder = (name: string): string => join(folder, name);
const openssl = (...args: string[]): void => void execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' });

const configuration = `[ca]
default_ca = d
[d]
new_certs_dir = .
database = index.txt
rand_serial = yes
default_md = sha256
policy = p
unique_subject = no
copy_extensions = copy
[p]
commonName = supplied
[req]
distinguished_name = dn
[dn]
`;

const makeKey = (name: string, subject: string, ...extra: string[]): void =>
  openssl(
    'req',
    '-config',
    'ca.cnf',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
    '-nodes',
    '-keyout',
    `${name}.key`,
    '-subj',
    `/CN=${subject}`,
    ...extra,
  );

const makeAuthority = (name: string): void =>
  makeKey(
    name,
    `TEST ${name}`,
    '-x509',
    '-days',
    '36500',
    '-out',
    `${name}.crt`,
    '-addext',
    'basicConstraints=critical,CA:true',
  );

/** A certificate for `host`, valid in the given span (YYMMDDHHMMSSZ). */
const makeServer = (name: string, authority: string, host: string, from: string, to: string): void => {
  makeKey(name, `TEST ${name}`, '-out', `${name}.csr`, '-addext', `subjectAltName=${host}`);
  openssl(
    'ca',
    '-batch',
    '-notext',
    '-config',
    'ca.cnf',
    '-cert',
    `${authority}.crt`,
    '-keyfile',
    `${authority}.key`,
    '-in',
    `${name}.csr`,
    '-out',
    `${name}.crt`,
    '-startdate',
    from,
    '-enddate',
    to,
  );
};

const prepare = (): void => {
  writeFileSync(inFolder('ca.cnf'), configuration);
  writeFileSync(inFolder('index.txt'), '');
  makeAuthority('authority');
  makeAuthority('stranger');
  const here = 'IP:127.0.0.1';
  makeServer('good', 'authority', here, '200101000000Z', '491231000000Z');
  makeServer('expired', 'authority', here, '200101000000Z', '200102000000Z');
  makeServer('future', 'authority', here, '490101000000Z', '491231000000Z');
  makeServer('elsewhere', 'authority', 'DNS:elsewhere.test', '200101000000Z', '491231000000Z');
  makeServer('expired-elsewhere', 'authority', 'DNS:elsewhere.test', '200101000000Z', '200102000000Z');
  makeServer('expired-by-name', 'authority', 'DNS:localhost', '200101000000Z', '200102000000Z');
  makeServer('strange', 'stranger', here, '200101000000Z', '491231000000Z');
  makeServer('expired-strange', 'stranger', here, '200101000000Z', '200102000000Z');
};
prepare();

const fetchFrom = async (t: TestContext, name: string, caFile: string | null, host = '127.0.0.1') => {
  const options = { key: readFileSync(inFolder(`${name}.key`)), cert: readFileSync(inFolder(`${name}.crt`)) };
  const server = createServer(options, (_, response) => response.end('{}'));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  const http = createHttpClient({ ...defaultHttpSettings, caFile });
  t.after(() => http.close());
  const { port } = server.address() as AddressInfo;
  return http.fetchBytes(`https://${host}:${port}/`, { maxBytes: 10, signal: new AbortController().signal });
};

for (const name of ['good', 'expired', 'future']) {
  test(`speaks to a server of the configured authority: ${name}`, async (t) => {
    assert.notEqual(await fetchFrom(t, name, inFolder('authority.crt')), 'unchanged');
  });
}

test('a name is compared as well when a date is passed over', async (t) => {
  assert.notEqual(await fetchFrom(t, 'expired-by-name', inFolder('authority.crt'), 'localhost'), 'unchanged');
});

const isUnreachable = (error: unknown): boolean => error instanceof OtadError && error.code === 'HTTP_UNREACHABLE';

for (const name of ['elsewhere', 'expired-elsewhere', 'strange', 'expired-strange']) {
  test(`does not speak to a server for another name or of another authority: ${name}`, async (t) => {
    await assert.rejects(fetchFrom(t, name, inFolder('authority.crt')), isUnreachable);
  });
}

test('without a CA file only the built-in authorities count', async (t) => {
  await assert.rejects(fetchFrom(t, 'good', null), isUnreachable);
  await assert.rejects(fetchFrom(t, 'expired', null), isUnreachable);
});
