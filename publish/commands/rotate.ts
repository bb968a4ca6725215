// `otapub rotate`: new keys in place of old ones, for any role.

import { readPublicKey } from '../keys/public-key.ts';
import { rotateKeys } from '../signing/rotation.ts';
import { reportCeremony, splitList } from './ceremony.ts';
import { type Command, parseRole, parseWords, usageError, wholeNumber } from './command.ts';

const help = `usage: otapub rotate DIR ROLE [KEY...] [options]

Puts a new key in the place of each KEY of the role (root, targets, snapshot or timestamp), by name
or by the first 8 digits of its id. A role with one key needs no KEY; ROLE may be a list such as
snapshot,timestamp. Signs a new version of root with the old root keys and the new ones, and signs
again what the old keys signed alone. Devices follow from any root they have.
Root keys that are not here are asked for by a signing request: see otapub sign.
New keys for snapshot or timestamp make devices forget which versions of these they have seen. That
is the way back when somebody has signed absurdly high versions with a stolen key.

options:
  --add                    add one key (or one for each --public-key) instead of replacing any
  --threshold T            from now on T signatures are needed for this role
  --public-key FILE        take this public key (.pub of otapub keygen, or PEM); repeat
  --name NAME[,NAME]       what the keys that are made are called (default: the old name, counted up)
  --new-keys FOLDER        where private keys that are made go (default DIR/keys)
  --keys FOLDER            where private keys are (default DIR/keys); repeat
  --json                   print the result as JSON
`;

const run: Command['run'] = async (args, io) => {
  const { values, positionals } = parseWords(
    args,
    {
      add: { type: 'boolean' },
      threshold: { type: 'string' },
      'public-key': { type: 'string', multiple: true },
      name: { type: 'string' },
      'new-keys': { type: 'string' },
      keys: { type: 'string', multiple: true },
      json: { type: 'boolean' },
    },
    { min: 2, max: 34, names: 'DIR and ROLE' },
  );
  const [folder = '', roleList = '', ...keys] = positionals;
  const roles = (splitList(roleList) ?? []).map(parseRole);
  const files = values['public-key'] ?? [];
  if (values.add === true && keys.length > 0) throw usageError('--add replaces no key: leave out KEY');
  if (files.length > 0 && values.name !== undefined)
    throw usageError('a given public key has its name: leave out --name');
  const names = splitList(values.name);
  const result = await rotateKeys({
    folder,
    wish: {
      roles: [...new Set(roles)],
      keys,
      added: values.add === true ? Math.max(1, files.length, names?.length ?? 0) : 0,
    },
    publicKeys: await Promise.all(files.map(readPublicKey)),
    names,
    newKeyFolder: values['new-keys'],
    threshold: wholeNumber('threshold', values.threshold, { min: 1, max: 32 }),
    keyFolders: values.keys,
    nowMs: io.nowMs(),
  });
  return reportCeremony(io, folder, result, values.json === true);
};

export const rotateCommand: Command = { name: 'rotate', summary: 'put new keys in the place of old ones', help, run };
