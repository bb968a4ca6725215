// The certificate that this gateway shows to its server (mutual TLS): read from two PEM files, and read again when they were
// renewed. It refuses a key that others on this gateway can read, and a key that is not the certificate's.

import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { OtadError } from '../core/errors.ts';

export interface ClientCertificateFiles {
  /** PEM: the certificate, then those that lead to the authority which the server knows. */
  readonly certFile: string;
  /** PEM, not encrypted. */
  readonly keyFile: string;
}

export interface ClientCertificate {
  readonly cert: string;
  readonly key: string;
}

/** Nobody else may read the key; its group may, since a root-owned key reaches otad that way. */
const exposedModes = 0o027;

const unusable = (file: string, problem: string, cause?: unknown): OtadError =>
  new OtadError('CLIENT_CERTIFICATE_UNUSABLE', { file, problem }, { cause });

const readPem = async (file: string): Promise<string> => {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    throw unusable(file, (cause as NodeJS.ErrnoException).code ?? 'cannot be read', cause);
  }
};

const parsed = <T>(file: string, what: string, parse: () => T): T => {
  try {
    return parse();
  } catch (cause) {
    throw unusable(file, `holds no ${what} in PEM form that can be used`, cause);
  }
};

/** Throws CLIENT_CERTIFICATE_UNUSABLE, which names the file and what is wrong with it. */
export const readClientCertificate = async ({
  certFile,
  keyFile,
}: ClientCertificateFiles): Promise<ClientCertificate> => {
  const [cert, key] = [await readPem(certFile), await readPem(keyFile)];
  const { mode } = await stat(keyFile);
  if ((mode & exposedModes) !== 0) {
    const found = (mode & 0o777).toString(8);
    throw unusable(keyFile, `mode ${found} lets others read or change the key; chmod 640 or 600`);
  }
  const leaf = parsed(certFile, 'certificate', () => new X509Certificate(cert));
  const privateKey = parsed(keyFile, 'private key', () => createPrivateKey(key));
  if (!leaf.checkPrivateKey(privateKey)) throw unusable(keyFile, `is not the key of ${certFile}`);
  return { cert, key };
};

/** Changes whenever one of the files was written or replaced. */
export const fingerprintOf = async (files: readonly string[]): Promise<string> => {
  const marks = await Promise.all(
    files.map((file) =>
      stat(file, { bigint: true }).then(
        ({ ino, size, mtimeNs }) => `${ino} ${size} ${mtimeNs}`,
        () => 'none',
      ),
    ),
  );
  return marks.join('\n');
};

/** True while certificate and key of a renewal do not belong together yet: one of the files is still the old one. */
export const isHalfRenewed = async (files: ClientCertificateFiles): Promise<boolean> => {
  try {
    const [cert, key] = [await readFile(files.certFile), await readFile(files.keyFile)];
    return !new X509Certificate(cert).checkPrivateKey(createPrivateKey(key));
  } catch {
    return false;
  }
};
