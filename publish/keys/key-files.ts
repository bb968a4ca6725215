// Signing keys in files: one Ed25519 seed a file, mode 0600, in a folder of mode 0700. What is read back must be private
// still and must give the public key it says. Must never print, log or put a seed into an error.

import { randomBytes } from 'node:crypto';
import { mkdir, open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import nacl from 'tweetnacl';
import * as z from 'zod';
import { OtadError } from '../../agent/core/errors.ts';
import { errorCodeOf, writeDurably } from '../durable-file.ts';

export const roleNames = ['root', 'targets', 'snapshot', 'timestamp'] as const;
export type RoleName = (typeof roleNames)[number];

/** A private key in memory. `sign` gives 64 bytes. */
export interface SigningKey {
  readonly role: RoleName;
  /** File name without folder, such as `root-1.json`. */
  readonly fileName: string;
  readonly publicHex: string;
  sign(message: Uint8Array): Uint8Array;
}

const keyFileBytesMax = 4096;
const keyFilesMax = 256;
const seedBytes = 32;

const keyFileSchema = z.strictObject({
  schema: z.literal(1),
  keytype: z.literal('ed25519'),
  role: z.enum(roleNames),
  public: z.string().regex(/^[0-9a-f]{64}$/),
  seed: z.string().regex(/^[0-9a-f]{64}$/),
});
type KeyFile = z.infer<typeof keyFileSchema>;

const unusable = (path: string, problem: string, cause?: unknown): OtadError =>
  new OtadError('KEY_UNUSABLE', { path, problem }, { cause });

const deriveKey = (content: KeyFile, path: string): nacl.SignKeyPair => {
  const pair = nacl.sign.keyPair.fromSeed(Buffer.from(content.seed, 'hex'));
  // Signing with a public half that is not the seed's would give the seed away.
  if (Buffer.from(pair.publicKey).toString('hex') !== content.public) {
    throw unusable(path, 'the seed does not give the public key');
  }
  return pair;
};

/** The key pair is derived when it first signs: most runs use half of the keys. */
const toSigningKey = (content: KeyFile, folder: string, fileName: string): SigningKey => {
  let pair: nacl.SignKeyPair | null = null;
  return {
    role: content.role,
    fileName,
    publicHex: content.public,
    sign: (message) => {
      pair ??= deriveKey(content, join(folder, fileName));
      return nacl.sign.detached(message, pair.secretKey);
    },
  };
};

/** Makes one key and writes it to `folder/role-number.json`. */
export const createKeyFile = async (folder: string, role: RoleName, number: number): Promise<SigningKey> => {
  const seed = randomBytes(seedBytes);
  const fileName = `${role}-${number}.json`;
  const publicHex = Buffer.from(nacl.sign.keyPair.fromSeed(seed).publicKey).toString('hex');
  const content: KeyFile = { schema: 1, keytype: 'ed25519', role, public: publicHex, seed: seed.toString('hex') };
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await writeDurably(join(folder, fileName), `${JSON.stringify(content, null, 2)}\n`, 0o600);
  return toSigningKey(content, folder, fileName);
};

/** Reads through one descriptor, so that the file whose mode was checked is the file that is read. */
const readPrivately = async (path: string): Promise<string> => {
  const handle = await open(path, 'r');
  try {
    const facts = await handle.stat();
    if ((facts.mode & 0o077) !== 0) {
      throw unusable(path, `mode is 0${(facts.mode & 0o777).toString(8)}, others can read it; chmod 0600`);
    }
    if (facts.size > keyFileBytesMax) throw unusable(path, `larger than ${keyFileBytesMax} bytes`);
    return await handle.readFile('utf8');
  } finally {
    await handle.close();
  }
};

const readKeyFile = async (folder: string, fileName: string): Promise<SigningKey> => {
  const path = join(folder, fileName);
  const text = await readPrivately(path);
  try {
    return toSigningKey(keyFileSchema.parse(JSON.parse(text)), folder, fileName);
  } catch {
    // No cause: a parser's message may quote what it read.
    throw unusable(path, 'not a key file of otapub');
  }
};

/** All keys of the folder, by file name. A missing folder holds no keys. */
export const readKeyFiles = async (folder: string): Promise<readonly SigningKey[]> => {
  let names: string[];
  try {
    names = await readdir(folder);
  } catch (error) {
    if (errorCodeOf(error) === 'ENOENT') return [];
    throw unusable(folder, 'cannot be listed', error);
  }
  const fileNames = names.filter((name) => name.endsWith('.json') && !name.startsWith('.')).sort();
  if (fileNames.length > keyFilesMax) throw unusable(folder, `holds more than ${keyFilesMax} keys`);
  return await Promise.all(fileNames.map((fileName) => readKeyFile(folder, fileName)));
};
