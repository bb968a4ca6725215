// `otapub init`: keys, first metadata, and the words about what to keep where.

import { type RoleName, roleNames } from '../keys/signing-key.ts';
import { dayS } from '../repository/expiry.ts';
import { type InitializedRepository, type InitOptions, initRepository } from '../repository/repository-init.ts';
import { splitList } from './ceremony.ts';
import { type Command, type CommandIo, parseWords, wholeNumber } from './command.ts';
import { askInit, daysMax, parsePlan } from './init-questions.ts';

const help = `usage: otapub init DIR [options]

Makes DIR with keys and an empty signed repository:
  DIR/keys/        private keys, mode 0600
  DIR/repository/  the plain files to put on any web server
  DIR/root.json    the trusted root to bake into images, as /usr/lib/otad/root.json
Never overwrites anything. Without options it asks, when somebody is at the terminal; each question
has a default that Enter takes. With any option, or without a terminal, the defaults are taken.

options (ROLE is root, targets, snapshot or timestamp):
  --name NAME              name of the repository (default: the folder's name)
  --ROLE T/N               T of N keys must sign (default root 2/3, the others 1/1)
  --ROLE-names A,B,...     what the keys are called (default root-1 and so on); public in root.json
  --ROLE-keys FOLDER       where its private keys go, such as a stick; give it once for all of
                           them or once for each, in the order of the names (default DIR/keys)
  --ROLE-days N            how long signatures stand (default root 3650, targets 730,
                           snapshot 365, timestamp 30)
  --yes                    take the defaults without asking
  --json                   print the result as JSON
`;

const howMany = (count: number): string => `${count} ${count === 1 ? 'key' : 'keys'}`;

const describe = (made: InitializedRepository): readonly string[] => [
  `Repository '${made.name}' is ready in ${made.paths.folder}`,
  '',
  ...roleNames.map((role) => {
    const { threshold, count } = made.keyPlan[role];
    return `  ${role.padEnd(10)} ${threshold} of ${howMany(count)}, valid until ${made.expires[role]}`;
  }),
  '',
  `Bake into every image, as /usr/lib/otad/root.json:  ${made.paths.root}`,
  `Put on a web server:                                ${made.paths.repository}`,
  '',
  'Move the root keys off this machine now, each to a place of its own. They are only needed to replace keys,',
  `and ${made.keyPlan.root.threshold} of them can replace any key; with fewer left, devices can never get a new one:`,
  ...made.keyFiles.root.map((path) => `  ${path}`),
  'Keep the targets key off the web server. Whoever has it can publish releases:',
  ...made.keyFiles.targets.map((path) => `  ${path}`),
  'Snapshot and timestamp keys may stay where `otapub renew` runs, at least once before the timestamp expires:',
  ...[...made.keyFiles.snapshot, ...made.keyFiles.timestamp].map((path) => `  ${path}`),
];

const text = { type: 'string' } as const;
const list = { type: 'string', multiple: true } as const;
const options = {
  ...{ name: text, root: text, targets: text, snapshot: text, timestamp: text },
  ...{ 'root-names': text, 'targets-names': text, 'snapshot-names': text, 'timestamp-names': text },
  ...{ 'root-keys': list, 'targets-keys': list, 'snapshot-keys': list, 'timestamp-keys': list },
  ...{ 'root-days': text, 'targets-days': text, 'snapshot-days': text, 'timestamp-days': text },
  yes: { type: 'boolean' },
  json: { type: 'boolean' },
} as const;

/** The roles for which something was said. */
const perRole = <T>(said: (role: RoleName) => T | undefined): Partial<Record<RoleName, T>> =>
  Object.fromEntries(
    roleNames.flatMap((role) => {
      const value = said(role);
      return value === undefined ? [] : [[role, value] as const];
    }),
  );

const readOptions = (args: readonly string[]) => {
  const { values, positionals } = parseWords(args, options, { min: 1, max: 1, names: 'DIR' });
  const init: InitOptions = {
    folder: positionals[0] ?? '',
    name: values.name,
    keyPlan: perRole((role) => (values[role] === undefined ? undefined : parsePlan(role, values[role]))),
    keyNames: perRole((role) => splitList(values[`${role}-names`])),
    keyFolders: perRole((role) => values[`${role}-keys`]),
    lifetimesS: perRole((role) => {
      const days = wholeNumber(`${role}-days`, values[`${role}-days`], { min: 1, max: daysMax });
      return days === undefined ? undefined : days * dayS;
    }),
  };
  const isSaid = Object.keys(values).length > 0;
  return { init, isSaid, isJson: values.json === true };
};

const run: Command['run'] = async (args, io: CommandIo) => {
  const { init, isSaid, isJson } = readOptions(args);
  const wish = isSaid ? init : await askInit(init, io);
  const made = await initRepository({ ...wish, nowMs: io.nowMs() });
  if (isJson) {
    const { folder, root, repository } = made.paths;
    io.print(JSON.stringify({ name: made.name, folder, root, repository, keys: made.keyFiles, expires: made.expires }));
  } else {
    for (const line of describe(made)) io.print(line);
  }
  return 0;
};

export const initCommand: Command = { name: 'init', summary: 'make keys and an empty signed repository', help, run };
