// `otapub keygen`: a key made where it will stay, and the public half that travels.

import { join } from 'node:path';
import { createCommandKeyFile, createKeyFile, keyFileName } from '../keys/key-files.ts';
import { publicKeySuffix, readPublicKey, writePublicKey } from '../keys/public-key.ts';
import { keyNamePattern, type SigningKey } from '../keys/signing-key.ts';
import { signatureOf, signingKeyId } from '../repository/metadata-signing.ts';
import { shortId } from '../repository/root-document.ts';
import { type Command, parseRole, parseWords, required, usageError } from './command.ts';

const help = `usage: otapub keygen FOLDER --role ROLE --name NAME [options] [-- COMMAND ARGUMENT...]

Makes a key in FOLDER and, beside it, NAME.pub: the public half, for otapub rotate --public-key.
With a COMMAND the private half stays where it is, in a token or a cloud. The command reads the
bytes to sign from its standard input and writes the signature (64 raw bytes, hex or base64) to its
standard output; it runs in FOLDER, without a shell, for at most 60 seconds. It is tried once.

options:
  --role ROLE              root, targets, snapshot or timestamp
  --name NAME              of the person or place, such as alice
  --public-key FILE        with a COMMAND: its public key, in PEM
  --json                   print the result as JSON
`;

/** A command that cannot sign is better found now than at a ceremony. */
const tryOut = async (key: SigningKey): Promise<void> => {
  await signatureOf(key, Buffer.from('otapub keygen: a try, not metadata\n'));
};

const run: Command['run'] = async (args, io) => {
  const end = args.indexOf('--');
  const command = end < 0 ? [] : args.slice(end + 1);
  const { values, positionals } = parseWords(
    end < 0 ? args : args.slice(0, end),
    {
      role: { type: 'string' },
      name: { type: 'string' },
      'public-key': { type: 'string' },
      json: { type: 'boolean' },
    },
    { min: 1, max: 1, names: 'FOLDER' },
  );
  const [folder = ''] = positionals;
  const { role: roleWord, name } = required(values, ['role', 'name']);
  const role = parseRole(roleWord);
  if (!keyNamePattern.test(name))
    throw usageError(`'${name}' is no name for a key: letters, digits, . _ -, at most 32`);
  const publicFile = values['public-key'];
  if ((publicFile === undefined) !== (command.length === 0)) {
    throw usageError('--public-key and -- COMMAND go together: the command signs for that key');
  }
  let key: SigningKey;
  if (publicFile === undefined) {
    key = await createKeyFile(folder, role, name);
  } else {
    const { publicHex } = await readPublicKey(publicFile);
    key = await createCommandKeyFile(folder, role, { name, publicHex }, command, tryOut);
  }
  const publicPath = join(folder, `${name}${publicKeySuffix}`);
  await writePublicKey(publicPath, key);
  const privatePath = join(folder, keyFileName(role, name));
  if (values.json === true) {
    io.print(JSON.stringify({ keyId: signingKeyId(key), keyFile: privatePath, publicFile: publicPath }));
    return 0;
  }
  io.print(`Key ${name} (${shortId(signingKeyId(key))})`);
  io.print(
    publicFile === undefined ? `  private, stays here: ${privatePath}` : `  signs by its command: ${privatePath}`,
  );
  io.print(`  public, for otapub rotate --public-key: ${publicPath}`);
  return 0;
};

export const keygenCommand: Command = { name: 'keygen', summary: 'make a key where it will stay', help, run };
