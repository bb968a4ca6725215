// `otapub renew`: keeps a repository from expiring between releases.

import type { RoleName } from '../keys/signing-key.ts';
import { renewRepository } from '../repository/renewal.ts';
import { renewRoot, renewTargets } from '../signing/rotation.ts';
import { reportCeremony } from './ceremony.ts';
import { type Command, parseWords, usageError, wholeNumber } from './command.ts';

const help = `usage: otapub renew DIR [root|targets] [options]

Without a role: signs the timestamp again, and snapshot and targets too once half of their time is
over. Run it from a timer, more often than the timestamp's lifetime (30 days unless init said
otherwise). Targets whose key is elsewhere are left, with a warning before they expire.
With root or targets: signs that role again with its own keys, for another lifetime. Keys that are
not here are asked for by a signing request: see otapub sign.

options:
  --floor-epoch N          with root: allow releases up to this floor epoch (see otapub release)
  --keys FOLDER            where the private keys are (default DIR/keys); repeat
  --json                   print the new versions as JSON
`;

const run: Command['run'] = async (args, io) => {
  const { values, positionals } = parseWords(
    args,
    { keys: { type: 'string', multiple: true }, 'floor-epoch': { type: 'string' }, json: { type: 'boolean' } },
    { min: 1, max: 2, names: 'DIR' },
  );
  const [folder = '', role] = positionals;
  const isJson = values.json === true;
  const options = { folder, keyFolders: values.keys, nowMs: io.nowMs() };
  const floorEpoch = wholeNumber('floor-epoch', values['floor-epoch'], { min: 0, max: Number.MAX_SAFE_INTEGER });
  if (floorEpoch !== undefined && role !== 'root')
    throw usageError('--floor-epoch goes with root: only root allows it');
  if (role === 'root') return reportCeremony(io, folder, await renewRoot(options, floorEpoch), isJson);
  if (role === 'targets') return reportCeremony(io, folder, await renewTargets(options), isJson);
  if (role !== undefined) throw usageError(`'${role}' is renewed by itself: name root, targets, or no role`);
  const { versions, renewed, left } = await renewRepository(options);
  for (const { role: late, expires } of left) {
    io.warn(`otapub: ${late} expires ${expires} and its keys are not here: otapub renew ${folder} ${late}`);
  }
  if (isJson) io.print(JSON.stringify({ ...versions, renewed, left }));
  else {
    const kept = (['targets', 'snapshot'] as const).filter((each) => !renewed.includes(each));
    const list = (roles: readonly RoleName[]): string => roles.map((each) => `${each} ${versions[each]}`).join(', ');
    io.print(`Renewed: ${list(renewed)}${kept.length === 0 ? '' : `; as before: ${list(kept)}`}`);
  }
  return 0;
};

export const renewCommand: Command = { name: 'renew', summary: 'sign again what is about to expire', help, run };
