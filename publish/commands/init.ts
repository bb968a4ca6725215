// `otapub init`: keys, first metadata, and the words about what to keep where.

import { type RoleName, roleNames } from '../keys/key-files.ts';
import { lifetimesSchema } from '../repository/publisher-folder.ts';
import { type InitializedRepository, initRepository, type KeyPlan } from '../repository/repository-init.ts';
import { type Command, parseWords, usageError, wholeNumber } from './command.ts';

const help = `usage: otapub init DIR [options]

Makes DIR with keys and an empty signed repository:
  DIR/keys/        private keys, mode 0600
  DIR/repository/  the plain files to put on any web server
  DIR/root.json    the trusted root to bake into images, as /usr/lib/otad/root.json
Never overwrites anything.

options:
  --name NAME              name of the repository (default: the folder's name)
  --root T/N               T of N keys must sign root metadata (default 2/3)
  --targets T/N            the same for targets, snapshot and timestamp (default 1/1)
  --snapshot T/N
  --timestamp T/N
  --root-days N            how long signatures stand (defaults: root 3650,
  --targets-days N         targets 730, snapshot 365, timestamp 30)
  --snapshot-days N
  --timestamp-days N
  --json                   print the result as JSON
`;

const parsePlan = (role: RoleName, text: string | undefined): KeyPlan | undefined => {
  if (text === undefined) return undefined;
  const match = /^(\d{1,2})\/(\d{1,2})$/.exec(text);
  const plan = { threshold: Number(match?.[1]), count: Number(match?.[2]) };
  if (match === null || plan.threshold < 1 || plan.threshold > plan.count) {
    throw usageError(`--${role} must be THRESHOLD/KEYS such as 2/3, not '${text}'`);
  }
  return plan;
};

const dayS = 86_400;
const daysMax = (lifetimesSchema.shape.root.maxValue ?? dayS) / dayS;

const describe = (made: InitializedRepository): readonly string[] => [
  `Repository '${made.name}' is ready in ${made.paths.folder}`,
  '',
  ...roleNames.map((role) => {
    const { threshold, count } = made.keyPlan[role];
    return `  ${role.padEnd(10)} ${threshold} of ${count} ${count === 1 ? 'key' : 'keys'}, valid until ${made.expires[role]}`;
  }),
  '',
  `Bake into every image, as /usr/lib/otad/root.json:  ${made.paths.root}`,
  `Put on a web server:                                ${made.paths.repository}`,
  '',
  'Move the root keys off this machine now, each to a place of its own. They are only needed to replace keys:',
  ...made.keyFiles.root.map((path) => `  ${path}`),
  'Keep the targets key off the web server. Whoever has it can publish releases:',
  ...made.keyFiles.targets.map((path) => `  ${path}`),
  'Snapshot and timestamp keys may stay where `otapub renew` runs, at least once before the timestamp expires:',
  ...[...made.keyFiles.snapshot, ...made.keyFiles.timestamp].map((path) => `  ${path}`),
];

const run: Command['run'] = async (args, io) => {
  const { values, positionals } = parseWords(
    args,
    {
      name: { type: 'string' },
      root: { type: 'string' },
      targets: { type: 'string' },
      snapshot: { type: 'string' },
      timestamp: { type: 'string' },
      'root-days': { type: 'string' },
      'targets-days': { type: 'string' },
      'snapshot-days': { type: 'string' },
      'timestamp-days': { type: 'string' },
      json: { type: 'boolean' },
    },
    { min: 1, max: 1, names: 'DIR' },
  );
  const plans = roleNames.flatMap((role) => {
    const plan = parsePlan(role, values[role]);
    return plan === undefined ? [] : [[role, plan] as const];
  });
  const lifetimes = roleNames.flatMap((role) => {
    const days = wholeNumber(`${role}-days`, values[`${role}-days`], { min: 1, max: daysMax });
    return days === undefined ? [] : [[role, days * dayS] as const];
  });
  const made = await initRepository({
    folder: positionals[0] ?? '',
    name: values.name,
    keyPlan: Object.fromEntries(plans),
    lifetimesS: Object.fromEntries(lifetimes),
    nowMs: io.nowMs(),
  });
  if (values.json === true) {
    const { folder, root, repository } = made.paths;
    io.print(JSON.stringify({ name: made.name, folder, root, repository, keys: made.keyFiles, expires: made.expires }));
  } else {
    for (const line of describe(made)) io.print(line);
  }
  return 0;
};

export const initCommand: Command = { name: 'init', summary: 'make keys and an empty signed repository', help, run };
