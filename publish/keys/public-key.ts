// Public keys that somebody brings: made on another machine by `otapub keygen`, or taken out of a token or a cloud as PEM.
// A file that holds a private key is refused: it must not travel, and it must not be taken for its public half.

import { createPublicKey } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import * as z from 'zod';
import { OtadError } from '../../agent/core/errors.ts';
import { writeDurably } from '../durable-file.ts';
import { keyNamePattern, keyNameSchema, type PublicKey, publicHexSchema } from './signing-key.ts';

export const publicKeySuffix = '.pub';
const fileBytesMax = 16_384;

const publicFileSchema = z.strictObject({
  schema: z.literal(1),
  keytype: z.literal('ed25519'),
  name: keyNameSchema,
  public: publicHexSchema,
});

export const encodePublicKey = ({ name, publicHex }: PublicKey): string =>
  `${JSON.stringify({ schema: 1, keytype: 'ed25519', name, public: publicHex }, null, 2)}\n`;

export const writePublicKey = async (path: string, key: PublicKey): Promise<void> => {
  await writeDurably(path, encodePublicKey(key));
};

const unusable = (path: string, problem: string, cause?: unknown): OtadError =>
  new OtadError('KEY_UNUSABLE', { path, problem }, { cause });

const fromPem = (path: string, pem: string): PublicKey => {
  let x: unknown;
  try {
    const key = createPublicKey(pem);
    x = key.asymmetricKeyType === 'ed25519' ? key.export({ format: 'jwk' }).x : undefined;
  } catch (cause) {
    throw unusable(path, 'not a public key in PEM', cause);
  }
  if (typeof x !== 'string') throw unusable(path, 'not an Ed25519 key: devices take no other kind');
  const stem = basename(path).replace(/\.[^.]*$/, '');
  const name = keyNamePattern.test(stem) ? stem : 'key';
  return { name, publicHex: Buffer.from(x, 'base64url').toString('hex') };
};

/** Reads a `.pub` file of otapub or a PEM file (its name is the file's). Throws KEY_UNUSABLE. */
export const readPublicKey = async (path: string): Promise<PublicKey> => {
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw unusable(path, 'cannot be read', cause);
  });
  if (text.length > fileBytesMax) throw unusable(path, `larger than ${fileBytesMax} bytes`);
  if (/PRIVATE KEY|"seed"|"command"/.test(text)) {
    throw unusable(path, 'a key file, not its public half; give the .pub file that was made with it');
  }
  if (text.includes('-----BEGIN')) return fromPem(path, text);
  try {
    const { name, public: publicHex } = publicFileSchema.parse(JSON.parse(text));
    return { name, publicHex };
  } catch (cause) {
    throw unusable(path, 'neither a public key of otapub nor PEM', cause);
  }
};
