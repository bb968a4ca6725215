// `otapub status`: what a publisher looks at before and after a release.

import { type RepositoryStatus, readStatus } from '../repository/repository-status.ts';
import { type Command, formatTable, parseWords } from './command.ts';

const help = `usage: otapub status DIR [--json]

Shows versions, expiry and signers of the metadata, and the current release of each channel.
Expired metadata is marked; sign it again with otapub renew.

options:
  --json                   print the status as JSON
`;

const describeExpiry = (expires: string, daysLeft: number): string =>
  daysLeft < 0 ? `EXPIRED ${expires}` : `${expires} (${daysLeft} days)`;

const describe = ({ name, folder, roles, releases }: RepositoryStatus): readonly string[] => [
  `Repository '${name}' in ${folder}`,
  '',
  ...formatTable([
    ['role', 'version', 'expires', 'signed by', 'keys here'],
    ...roles.map((role) => [
      role.role,
      String(role.version),
      describeExpiry(role.expires, role.daysLeft),
      `${role.signedBy.length} of ${role.keyIds.length}, needs ${role.threshold}: ${role.signedBy.map((id) => id.slice(0, 8)).join(' ')}`,
      role.keysHere.join(' ') || '-',
    ]),
  ]),
  '',
  ...(releases.length === 0
    ? ['No release is published yet.']
    : formatTable([
        ['channel', 'compatible', 'version', 'sequence', 'published', 'waves'],
        ...releases.map((release) => [
          release.channel,
          release.compatible,
          release.version,
          String(release.sequence),
          new Date(release.publishedAtS * 1000).toISOString(),
          release.waves.map((wave) => `${wave.percent}% ${new Date(wave.startAtS * 1000).toISOString()}`).join(', ') ||
            'all',
        ]),
      ])),
];

const run: Command['run'] = async (args, io) => {
  const { values, positionals } = parseWords(args, { json: { type: 'boolean' } }, { min: 1, max: 1, names: 'DIR' });
  const status = await readStatus(positionals[0] ?? '', io.nowMs());
  if (values.json === true) io.print(JSON.stringify(status));
  else for (const line of describe(status)) io.print(line);
  return 0;
};

export const statusCommand: Command = {
  name: 'status',
  summary: 'versions, expiry, signers, current releases',
  help,
  run,
};
