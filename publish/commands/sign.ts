// `otapub sign`: both ends of offline signing, the machine with the keys and the machine that publishes.

import { applyRequest } from '../signing/application.ts';
import { signOffline } from '../signing/offline-signing.ts';
import { reportSettlement } from './ceremony.ts';
import { type Command, type CommandIo, isYes, parseWords, usageError } from './command.ts';

const help = `usage: otapub sign --request FOLDER --keys KEYS [--root FILE] [--yes]
       otapub sign DIR --apply FOLDER [--keys KEYS]

First form, on the machine that has the keys: shows what a signing request would change, asks, and
adds a signature file to the request's folder. Needs no network and no publisher's folder.
Second form, on the machine that publishes: checks the signatures and that the request still fits,
keeps them, and publishes once there are enough. Exit code 4 while some are missing.

options:
  --request FOLDER         the request's folder, or its request.json
  --apply FOLDER           the same, or a signature file in it
  --keys FOLDER            where private keys are; repeat (for --apply default DIR/keys)
  --root FILE              a root.json of your own that the request must continue
                           (default: trusted.root beside the keys, as otapub init puts it there)
  --yes                    sign without asking
  --json                   print the result as JSON
`;

const confirm = (io: CommandIo, isAgreed: boolean) => async (lines: readonly string[], names: readonly string[]) => {
  for (const line of lines) io.warn(line);
  io.warn('');
  if (isAgreed) return true;
  const answer = await io.ask(`Sign all of this with ${names.join(' and ')}? [y/N] `);
  if (answer === null) throw usageError('nobody is there to ask: read the summary above, then say --yes');
  return isYes(answer);
};

const run: Command['run'] = async (args, io) => {
  const { values, positionals } = parseWords(
    args,
    {
      request: { type: 'string' },
      apply: { type: 'string' },
      keys: { type: 'string', multiple: true },
      root: { type: 'string' },
      yes: { type: 'boolean' },
      json: { type: 'boolean' },
    },
    { min: 0, max: 1, names: 'DIR' },
  );
  const { request, apply, keys } = values;
  const [folder] = positionals;
  if ((request === undefined) === (apply === undefined)) throw usageError('give either --request or --apply');
  if (apply !== undefined) {
    if (folder === undefined) throw usageError("--apply needs the publisher's folder: otapub sign DIR --apply FOLDER");
    const settlement = await applyRequest({ folder, path: apply, keyFolders: keys, nowMs: io.nowMs() });
    return reportSettlement(io, folder, settlement, values.json === true);
  }
  if (folder !== undefined) throw usageError('--request needs no DIR: it works without the publisher');
  if (keys === undefined) throw usageError('--keys is required: the folder of the private keys');
  const written = await signOffline({
    requestPath: request ?? '',
    keyFolders: keys,
    rootPath: values.root,
    confirm: confirm(io, values.yes === true),
  });
  if (values.json === true) io.print(JSON.stringify(written));
  else for (const { keyName, path } of written) io.print(`Signed with ${keyName}: ${path}`);
  return 0;
};

export const signCommand: Command = {
  name: 'sign',
  summary: 'sign a request offline, or apply a signed one',
  help,
  run,
};
