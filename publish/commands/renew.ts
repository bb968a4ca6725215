// `otapub renew`: keeps a repository from expiring between releases.

import { renewRepository } from '../repository/renewal.ts';
import { type Command, parseWords } from './command.ts';

const help = `usage: otapub renew DIR [options]

Signs the timestamp again, and snapshot and targets too once half of their time is over.
Run it from a timer, more often than the timestamp's lifetime (30 days unless init said otherwise).

options:
  --keys FOLDER            where the private keys are (default DIR/keys); repeat
  --json                   print the new versions as JSON
`;

const run: Command['run'] = async (args, io) => {
  const { values, positionals } = parseWords(
    args,
    { keys: { type: 'string', multiple: true }, json: { type: 'boolean' } },
    { min: 1, max: 1, names: 'DIR' },
  );
  const versions = await renewRepository({ folder: positionals[0] ?? '', keyFolders: values.keys, nowMs: io.nowMs() });
  if (values.json === true) io.print(JSON.stringify(versions));
  else io.print(`Renewed: targets ${versions.targets}, snapshot ${versions.snapshot}, timestamp ${versions.timestamp}`);
  return 0;
};

export const renewCommand: Command = { name: 'renew', summary: 'sign again what is about to expire', help, run };
