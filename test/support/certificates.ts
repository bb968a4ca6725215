// Certificates that openssl makes for servers on loopback: an authority, and servers with the right or a wrong name, of a
// stranger, expired or not yet valid. Their keys are made anew in every run and are of no use elsewhere.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

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

/** Days of a certificate as openssl takes them (YYMMDDHHMMSSZ). */
export interface Validity {
  readonly from: string;
  readonly to: string;
}

export const validNow: Validity = { from: '200101000000Z', to: '491231000000Z' };
export const validBefore: Validity = { from: '200101000000Z', to: '200102000000Z' };
export const validLater: Validity = { from: '490101000000Z', to: '491231000000Z' };

export interface KeyPair {
  readonly key: Buffer;
  readonly cert: Buffer;
}

export interface Certificates {
  /** PEM file of an authority made by `makeAuthority`. */
  caFile(authority: string): string;
  read(file: string): Buffer;
  makeAuthority(name: string): void;
  /** `host` as a subjectAltName: 'IP:127.0.0.1', 'DNS:localhost'. */
  makeServer(name: string, authority: string, host: string, validity: Validity): KeyPair;
  close(): void;
}

/** A folder of its own, which `close` removes. */
export const openCertificates = (): Certificates => {
  const folder = mkdtempSync(join(tmpdir(), 'otad-tls-'));
  const inFolder = (name: string): string => join(folder, name);
  const openssl = (...args: string[]): void => void execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' });
  writeFileSync(inFolder('ca.cnf'), configuration);
  writeFileSync(inFolder('index.txt'), '');

  const makeKey = (name: string, ...extra: string[]): void => {
    const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
    openssl('req', '-config', 'ca.cnf', ...curve, '-keyout', `${name}.key`, '-subj', `/CN=TEST ${name}`, ...extra);
  };

  return {
    caFile: (authority) => inFolder(`${authority}.crt`),
    read: (file) => readFileSync(inFolder(file)),
    makeAuthority: (name) => {
      const isAuthority = ['-addext', 'basicConstraints=critical,CA:true'];
      makeKey(name, '-x509', '-days', '36500', '-out', `${name}.crt`, ...isAuthority);
    },
    makeServer: (name, authority, host, { from, to }) => {
      makeKey(name, '-out', `${name}.csr`, '-addext', `subjectAltName=${host}`);
      const signer = ['-cert', `${authority}.crt`, '-keyfile', `${authority}.key`];
      const span = ['-startdate', from, '-enddate', to];
      openssl(
        'ca',
        '-batch',
        '-notext',
        '-config',
        'ca.cnf',
        ...signer,
        '-in',
        `${name}.csr`,
        '-out',
        `${name}.crt`,
        ...span,
      );
      return { key: readFileSync(inFolder(`${name}.key`)), cert: readFileSync(inFolder(`${name}.crt`)) };
    },
    close: () => rmSync(folder, { recursive: true, force: true }),
  };
};
