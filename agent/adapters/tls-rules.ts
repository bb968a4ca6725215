// Which TLS servers are spoken to. As everywhere: a certificate for this name, from a trusted authority. One thing is different:
// its dates are passed over, because a gateway's clock may stand in 1970 and a forgotten renewal must not end updates for ever.
// That costs nothing that counts: TLS only hides what is fetched; what is believed is signed, and expires, by itself.

import { X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { rootCertificates, type TLSSocket } from 'node:tls';
import { OtadError } from '../core/errors.ts';

const chainMax = 8;
const dateErrors: readonly string[] = ['CERT_HAS_EXPIRED', 'CERT_NOT_YET_VALID'];

const pemPattern = (): RegExp => /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

const isIssuedBy = (certificate: X509Certificate, issuer: X509Certificate): boolean =>
  issuer.ca && certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);

/**
 * True when each certificate of the chain is signed by the next, up to an authority. OpenSSL reports one error of a chain; when
 * that is a date, an unknown authority may hide behind it.
 */
const isFromAuthority = (leaf: X509Certificate, authorities: readonly X509Certificate[]): boolean => {
  let certificate = leaf;
  for (let depth = 0; depth < chainMax; depth += 1) {
    const current = certificate;
    if (authorities.some((authority) => isIssuedBy(current, authority))) {
      return true;
    }
    const issuer = current.issuerCertificate;
    if (issuer === undefined || issuer.fingerprint256 === current.fingerprint256 || !isIssuedBy(current, issuer)) {
      return false;
    }
    certificate = issuer;
  }
  return false;
};

/** Said of a server whose certificate is for another name, which is what a captive portal looks like under TLS. */
export const certificateForAnother = 'the certificate is for another name; or the base URL is not right';

const namesMax = 128;

/** Why the server at the other end is not the one that was meant; null when it is. `ca` replaces the built-in authorities. */
export const objectionToServer = (socket: TLSSocket, host: string, ca: string | null): Error | null => {
  if (socket.authorized) {
    return null;
  }
  // Node types it as an Error and gives a code.
  const code = String(socket.authorizationError);
  const objection = Object.assign(new Error(`the server's certificate is not trusted: ${code}`), { code });
  const leaf = socket.getPeerX509Certificate();
  if (leaf === undefined) {
    return objection;
  }
  // Node compares names only where it found no other error.
  const isForHost = (isIP(host) === 0 ? leaf.checkHost(host, { subject: 'never' }) : leaf.checkIP(host)) !== undefined;
  if (!isForHost) {
    const names = leaf.subjectAltName?.slice(0, namesMax) ?? null;
    return new OtadError('CAPTIVE_PORTAL', { host, problem: certificateForAnother, names });
  }
  if (!dateErrors.includes(code)) {
    return objection;
  }
  const pems = ca === null ? rootCertificates : (ca.match(pemPattern()) ?? []);
  const authorities = pems.map((pem) => new X509Certificate(pem));
  return isFromAuthority(leaf, authorities) ? null : objection;
};
