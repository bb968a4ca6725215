// Signing keys in files of mode 0600 in a folder of mode 0700: either the Ed25519 seed itself, or the command that signs.
// What is read back must be private still, and a seed must give the public key it says. Must never print, log or put a
// seed into an error.

import { randomBytes } from 'node:crypto';
import { lstat, mkdir, open, readdir } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import nacl from 'tweetnacl';
import * as z from 'zod';
import { OtadError } from '../../agent/core/errors.ts';
import { errorCodeOf, writeDurably } from '../durable-file.ts';
import { defaultCommandTimeoutS, signWithCommand } from './command-key.ts';
import {
  keyNamePattern,
  keyNameSchema,
  type PublicKey,
  publicHexSchema,
  type RoleName,
  roleNames,
  type SigningKey,
} from './signing-key.ts';

const keyFileBytesMax = 16_384;
const keyFilesMax = 256;
const seedBytes = 32;
const suffix = '.json';

const common = {
  schema: z.literal(1),
  keytype: z.literal('ed25519'),
  /** What it was made for; what it may sign is in root.json alone. */
  role: z.enum(roleNames).optional(),
  name: keyNameSchema.optional(),
  public: publicHexSchema,
};
const seedFileSchema = z.strictObject({ ...common, seed: z.string().regex(/^[0-9a-f]{64}$/) });
const commandFileSchema = z.strictObject({
  ...common,
  command: z.array(z.string().min(1).max(4096)).min(1).max(64),
  timeoutS: z.number().int().min(1).max(3600).default(defaultCommandTimeoutS),
});
const keyFileSchema = z.union([seedFileSchema, commandFileSchema]);
type KeyFile = z.infer<typeof keyFileSchema>;
type SeedFile = z.infer<typeof seedFileSchema>;

const unusable = (path: string, problem: string, cause?: unknown): OtadError =>
  new OtadError('KEY_UNUSABLE', { path, problem }, { cause });

const deriveKey = (content: SeedFile, path: string): nacl.SignKeyPair => {
  const pair = nacl.sign.keyPair.fromSeed(Buffer.from(content.seed, 'hex'));
  // Signing with a public half that is not the seed's would give the seed away.
  if (Buffer.from(pair.publicKey).toString('hex') !== content.public) {
    throw unusable(path, 'the seed does not give the public key');
  }
  return pair;
};

/** The key pair is derived when it first signs: most runs use half of the keys. */
const signerOf = (content: KeyFile, folder: string, path: string): SigningKey['sign'] => {
  if ('command' in content) {
    const { command: argv, timeoutS } = content;
    return (message) => signWithCommand({ path, argv, folder: resolve(folder), timeoutS }, message);
  }
  let pair: nacl.SignKeyPair | null = null;
  return async (message) => {
    pair ??= deriveKey(content, path);
    return nacl.sign.detached(message, pair.secretKey);
  };
};

/** Files of the time before names are called as their file is. */
const nameOf = (content: KeyFile, fileName: string): string => {
  const stem = basename(fileName, suffix);
  return content.name ?? (keyNamePattern.test(stem) ? stem : content.public.slice(0, 8));
};

const toSigningKey = (content: KeyFile, folder: string, fileName: string): SigningKey => ({
  name: nameOf(content, fileName),
  fileName,
  publicHex: content.public,
  sign: signerOf(content, folder, join(folder, fileName)),
});

const write = async (folder: string, fileName: string, content: KeyFile): Promise<SigningKey> => {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const path = join(folder, fileName);
  const exists = await lstat(path).then(
    () => true,
    () => false,
  );
  if (exists) throw new OtadError('REPOSITORY_EXISTS', { path });
  await writeDurably(path, `${JSON.stringify(content, null, 2)}\n`, 0o600);
  return toSigningKey(content, folder, fileName);
};

export const keyFileName = (role: RoleName, name: string): string =>
  `${name.startsWith(`${role}-`) ? name : `${role}-${name}`}${suffix}`;

/** Makes one key and writes it to the folder. Throws REPOSITORY_EXISTS rather than replace a key. */
export const createKeyFile = async (folder: string, role: RoleName, name: string): Promise<SigningKey> => {
  const seed = randomBytes(seedBytes);
  const publicHex = Buffer.from(nacl.sign.keyPair.fromSeed(seed).publicKey).toString('hex');
  const content: KeyFile = { schema: 1, keytype: 'ed25519', role, name, public: publicHex, seed: seed.toString('hex') };
  return await write(folder, keyFileName(role, name), content);
};

/** Writes the file of a key that a command signs with, once `tryOut` has not thrown. */
export const createCommandKeyFile = async (
  folder: string,
  role: RoleName,
  key: PublicKey,
  command: readonly string[],
  tryOut: (key: SigningKey) => Promise<void>,
): Promise<SigningKey> => {
  const content: KeyFile = {
    schema: 1,
    keytype: 'ed25519',
    role,
    name: key.name,
    public: key.publicHex,
    command: [...command],
    timeoutS: defaultCommandTimeoutS,
  };
  const fileName = keyFileName(role, key.name);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await tryOut(toSigningKey(content, folder, fileName));
  return await write(folder, fileName, content);
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
  const fileNames = names.filter((name) => name.endsWith(suffix) && !name.startsWith('.')).sort();
  if (fileNames.length > keyFilesMax) throw unusable(folder, `holds more than ${keyFilesMax} keys`);
  return await Promise.all(fileNames.map((fileName) => readKeyFile(folder, fileName)));
};

/** The keys of several folders; the same key in two of them counts once. */
export const readKeyFolders = async (folders: readonly string[]): Promise<readonly SigningKey[]> => {
  const keys = (await Promise.all(folders.map(readKeyFiles))).flat();
  return [...new Map(keys.map((key) => [key.publicHex, key])).values()];
};
