// `otapub revoke`: takes keys out of every role.

import { revokeKeys } from '../signing/rotation.ts';
import { reportCeremony } from './ceremony.ts';
import { type Command, parseWords } from './command.ts';

const help = `usage: otapub revoke DIR KEY... [options]

Takes each KEY, by name or by the first 8 digits of its id, out of every role it serves, publishes
the new root and signs again what that key signed alone. Refuses when a role could not be signed any
more: then otapub rotate puts a new key in its place.
Root keys that are not here are asked for by a signing request: see otapub sign.

options:
  --keys FOLDER            where private keys are (default DIR/keys); repeat
  --json                   print the result as JSON
`;

const run: Command['run'] = async (args, io) => {
  const { values, positionals } = parseWords(
    args,
    { keys: { type: 'string', multiple: true }, json: { type: 'boolean' } },
    { min: 2, max: 33, names: 'DIR and KEY' },
  );
  const [folder = '', ...words] = positionals;
  const result = await revokeKeys({ folder, keyFolders: values.keys, nowMs: io.nowMs() }, words);
  return reportCeremony(io, folder, result, values.json === true);
};

export const revokeCommand: Command = { name: 'revoke', summary: 'take keys out of every role', help, run };
